-- What the schedule of keys remembers. The twin of postgres/0005_key_tokens.sql: same tables,
-- same names.

-- The token of a secret that a policy renewed. It waits, sealed, for its key's app to collect
-- it, once.
create table key_token (
    key_id     text primary key,
    secret_id  text not null,
    sealed     blob not null,
    created_at integer not null,
    -- Until when it waits.
    ends_at    integer not null
) without rowid;
create index key_token_ends_at on key_token (ends_at);

-- That the renewal of a secret was announced, and for when.
create table key_rotation (
    key_id    text primary key,
    secret_id text not null,
    due_at    integer not null,
    rotate_at integer not null
) without rowid;

-- Up to which moment reminders were published.
create table key_mark (
    name text primary key,
    at   integer not null
) without rowid;

create index key_secret_ends_at on key_secret (ends_at) where ends_at is not null;
