-- Access to Doorbell itself. The twin of sqlite/0003_access.sql: same tables, same names.

-- Service tokens are keys of the built-in keyspace.
drop table token;

create table "user" (
    id         text collate "C" primary key,
    email      text collate "C" not null unique,
    name       text not null,
    -- On the whole instance; null: only where they are a member.
    role       text,
    enabled    boolean not null,
    -- The password's hash, sealed under the instance's key.
    password   bytea not null,
    created_at bigint not null,
    updated_at bigint not null
);

create table member (
    app_id     text collate "C" not null,
    user_id    text collate "C" not null,
    role       text not null,
    created_at bigint not null,
    updated_at bigint not null,
    primary key (app_id, user_id)
);
create index member_user on member (user_id, app_id);

-- Of a user, or of somebody in the portal of an app.
create table session (
    id          text collate "C" primary key,
    user_id     text collate "C",
    app_id      text collate "C",
    permissions text,
    label       text collate "C",
    -- Which refresh token is the current one.
    generation  bigint not null,
    created_at  bigint not null,
    expires_at  bigint not null,
    revoked_at  bigint,
    address     text,
    user_agent  text
);
create index session_of_user on session (user_id, id) where user_id is not null;
create index session_app on session (app_id, id) where app_id is not null;
create index session_expires_at on session (expires_at);
