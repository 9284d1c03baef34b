-- API keys. The twin of postgres/0002_keys.sql: same tables, same names.
--
-- The body of a row is its noun as JSON, and the tag is over the noun: what is not in the tag is
-- believed by nobody who verifies. The other columns repeat what is searched by. The app '' is
-- the instance itself.

create table keyspace (
    id              text primary key,
    uid             text unique,
    body            text not null,
    version         integer not null,
    tag             blob not null,
    tag_version     integer not null,
    -- Kinds of digests that were imported: which further lookups a token has here.
    import_kinds    text,
    -- When a secret's renewal is announced, counted from its creation.
    notice_after_ms integer
) without rowid;

create table key (
    id                text primary key,
    keyspace_id       text not null,
    app_id            text not null,
    owner             text,
    tags              text,
    enabled           integer not null,
    revoked_at        integer,
    expires_at        integer,
    notice_after_ms   integer,
    body              text not null,
    version           integer not null,
    tag               blob not null,
    tag_version       integer not null,
    last_used_at      integer,
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
    id             text primary key,
    key_id         text not null,
    keyspace_id    text not null,
    lookup         blob unique,
    hash           text not null,
    -- Which pepper the lookup and the hash were made with.
    pepper_version integer not null,
    start          text not null,
    created_at     integer not null,
    -- Until when it is good; null for the current one.
    ends_at        integer,
    tag            blob not null,
    tag_version    integer not null,
    last_used_at   integer
);
create index key_secret_key on key_secret (key_id, id);
create index key_secret_start on key_secret (keyspace_id, start) where lookup is null;

create table key_owner (
    keyspace_id text not null,
    app_id      text not null,
    name        text not null,
    body        text not null,
    version     integer not null,
    tag         blob not null,
    tag_version integer not null,
    primary key (keyspace_id, app_id, name)
) without rowid;
create index key_owner_of_app on key_owner (app_id);

-- What nodes follow to keep what they know of keys: seq order is commit order.
create table key_change (
    seq         integer primary key autoincrement,
    kind        integer not null,
    id          text not null,
    keyspace_id text not null,
    app_id      text not null,
    at          integer not null
);
create index key_change_at on key_change (at);

-- How far each node has followed.
create table key_seen (
    node integer primary key,
    seq  integer not null,
    at   integer not null
);

-- Verifications by minute and outcome; l0 to l11 count latencies by bucket.
create table key_usage (
    key_id  text not null,
    minute  integer not null,
    outcome text not null,
    count   integer not null,
    cost    integer not null,
    l0      integer not null,
    l1      integer not null,
    l2      integer not null,
    l3      integer not null,
    l4      integer not null,
    l5      integer not null,
    l6      integer not null,
    l7      integer not null,
    l8      integer not null,
    l9      integer not null,
    l10     integer not null,
    l11     integer not null,
    primary key (key_id, minute, outcome)
) without rowid;
create index key_usage_minute on key_usage (minute);
