-- The failure budget. The twin of postgres/0011_failing.sql: same tables, same names.

-- Endpoints that have failed since some moment without any success. Most are not here.
create table failing (
    endpoint_id     text primary key,
    app_id          text not null,
    since           integer not null,
    last_failure_at integer not null,
    failures        integer not null,
    -- How many of them were far apart from the one before that was counted so, and its moment.
    far_apart       integer not null,
    far_apart_at    integer not null,
    -- The share of the budget that was warned of last, in percent.
    warned          integer not null
) without rowid;
create index failing_app on failing (app_id);

-- Why somebody disabled it, in their words.
alter table endpoint add column disabled_note text;
