-- Access to Doorbell itself. The twin of postgres/0003_access.sql: same tables, same names.

-- Service tokens are keys of the built-in keyspace.
drop table token;

create table "user" (
    id         text primary key,
    email      text not null unique,
    name       text not null,
    -- On the whole instance; null: only where they are a member.
    role       text,
    enabled    integer not null,
    -- The password's hash, sealed under the instance's key.
    password   blob not null,
    created_at integer not null,
    updated_at integer not null
);

create table member (
    app_id     text not null,
    user_id    text not null,
    role       text not null,
    created_at integer not null,
    updated_at integer not null,
    primary key (app_id, user_id)
) without rowid;
create index member_user on member (user_id, app_id);

-- Of a user, or of somebody in the portal of an app.
create table session (
    id          text primary key,
    user_id     text,
    app_id      text,
    permissions text,
    label       text,
    -- Which refresh token is the current one.
    generation  integer not null,
    created_at  integer not null,
    expires_at  integer not null,
    revoked_at  integer,
    address     text,
    user_agent  text
);
create index session_of_user on session (user_id, id) where user_id is not null;
create index session_app on session (app_id, id) where app_id is not null;
create index session_expires_at on session (expires_at);
