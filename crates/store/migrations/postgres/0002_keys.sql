-- API keys. The twin of sqlite/0002_keys.sql: same tables, same names.
--
-- The body of a row is its noun as JSON, and the tag is over the noun: what is not in the tag is
-- believed by nobody who verifies. The other columns repeat what is searched by. The app '' is
-- the instance itself.

create table keyspace (
    id              text collate "C" primary key,
    uid             text collate "C" unique,
    body            text not null,
    version         bigint not null,
    tag             bytea not null,
    tag_version     integer not null,
    -- Kinds of digests that were imported: which further lookups a token has here.
    import_kinds    text,
    -- When a secret's renewal is announced, counted from its creation.
    notice_after_ms bigint
);

create table key (
    id                text collate "C" primary key,
    keyspace_id       text collate "C" not null,
    app_id            text collate "C" not null,
    owner             text collate "C",
    tags              text,
    enabled           boolean not null,
    revoked_at        bigint,
    expires_at        bigint,
    notice_after_ms   bigint,
    body              text not null,
    version           bigint not null,
    tag               bytea not null,
    tag_version       integer not null,
    last_used_at      bigint,
    last_used_address text,
    last_used_agent   text
);
create index key_app on key (app_id, id);
create index key_owner_app on key (app_id, owner, id) where owner is not null;
create index key_keyspace on key (keyspace_id, id);
create index key_expires_at on key (expires_at)
    where expires_at is not null and revoked_at is null;
create index key_notice on key (id) where notice_after_ms is not null;

create table key_secret (
    id             text collate "C" primary key,
    key_id         text collate "C" not null,
    keyspace_id    text collate "C" not null,
    lookup         bytea unique,
    hash           text not null,
    -- Which pepper the lookup and the hash were made with.
    pepper_version integer not null,
    start          text collate "C" not null,
    created_at     bigint not null,
    -- Until when it is good; null for the current one.
    ends_at        bigint,
    tag            bytea not null,
    tag_version    integer not null,
    last_used_at   bigint
);
create index key_secret_key on key_secret (key_id, id);
create index key_secret_start on key_secret (keyspace_id, start) where lookup is null;

create table key_owner (
    keyspace_id text collate "C" not null,
    app_id      text collate "C" not null,
    name        text collate "C" not null,
    body        text not null,
    version     bigint not null,
    tag         bytea not null,
    tag_version integer not null,
    primary key (keyspace_id, app_id, name)
);
create index key_owner_of_app on key_owner (app_id);

-- What nodes follow to keep what they know of keys: seq order is commit order.
create table key_change (
    seq         bigserial primary key,
    kind        smallint not null,
    id          text collate "C" not null,
    keyspace_id text collate "C" not null,
    app_id      text collate "C" not null,
    at          bigint not null
);
create index key_change_at on key_change (at);

-- How far each node has followed.
create table key_seen (
    node bigint primary key,
    seq  bigint not null,
    at   bigint not null
);

-- Verifications by minute and outcome; l0 to l11 count latencies by bucket.
create table key_usage (
    key_id  text collate "C" not null,
    minute  bigint not null,
    outcome text collate "C" not null,
    count   bigint not null,
    cost    bigint not null,
    l0      bigint not null,
    l1      bigint not null,
    l2      bigint not null,
    l3      bigint not null,
    l4      bigint not null,
    l5      bigint not null,
    l6      bigint not null,
    l7      bigint not null,
    l8      bigint not null,
    l9      bigint not null,
    l10     bigint not null,
    l11     bigint not null,
    primary key (key_id, minute, outcome)
);
create index key_usage_minute on key_usage (minute);
