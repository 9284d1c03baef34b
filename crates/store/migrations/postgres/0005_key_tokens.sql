-- What the schedule of keys remembers. The twin of sqlite/0005_key_tokens.sql: same tables,
-- same names.

-- The token of a secret that a policy renewed. It waits, sealed, for its key's app to collect
-- it, once.
create table key_token (
    key_id     text collate "C" primary key,
    secret_id  text collate "C" not null,
    sealed     bytea not null,
    created_at bigint not null,
    -- Until when it waits.
    ends_at    bigint not null
);
create index key_token_ends_at on key_token (ends_at);

-- That the renewal of a secret was announced, and for when.
create table key_rotation (
    key_id    text collate "C" primary key,
    secret_id text collate "C" not null,
    due_at    bigint not null,
    rotate_at bigint not null
);

-- Up to which moment reminders were published.
create table key_mark (
    name text primary key,
    at   bigint not null
);

create index key_secret_ends_at on key_secret (ends_at) where ends_at is not null;
