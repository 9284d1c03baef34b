-- Maintenance windows. The twin of postgres/0007_window.sql: same tables, same names.

create table maintenance_window (
    id           text primary key,
    -- Empty: every app's deliveries are held.
    app_id       text not null,
    -- A list of endpoints of the app; null: all of them.
    endpoint_ids text,
    name         text not null,
    reason       text not null,
    -- Once or recurring, as JSON.
    plan         text not null,
    enabled      integer not null,
    -- An occurrence that began before was ended then.
    ended_at     integer,
    -- The occurrence that is or comes next; null when there is none.
    starts_at    integer,
    ends_at      integer,
    -- Whether its start was announced.
    announced    integer not null,
    -- When the next announcement is due; null when there is nothing to say.
    next_at      integer,
    -- Raised with every change; who advances a window names the one it saw.
    version      integer not null default 1,
    created_at   integer not null,
    updated_at   integer not null
) without rowid;
create index maintenance_window_app on maintenance_window (app_id, id);
create index maintenance_window_next_at on maintenance_window (next_at) where next_at is not null;

-- Raised with every change of a window of the whole instance: route caches compare it together
-- with their app's version.
create table instance_version (
    name    text primary key,
    version integer not null
) without rowid;
insert into instance_version (name, version) values ('routes', 0);
