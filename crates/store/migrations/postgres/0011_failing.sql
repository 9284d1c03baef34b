-- The failure budget. The twin of sqlite/0011_failing.sql: same tables, same names.

-- Endpoints that have failed since some moment without any success. Most are not here.
create table failing (
    endpoint_id     text collate "C" primary key,
    app_id          text collate "C" not null,
    since           bigint not null,
    last_failure_at bigint not null,
    failures        bigint not null,
    -- How many of them were far apart from the one before that was counted so, and its moment.
    far_apart       integer not null,
    far_apart_at    bigint not null,
    -- The share of the budget that was warned of last, in percent.
    warned          integer not null
);
create index failing_app on failing (app_id);

-- Why somebody disabled it, in their words.
alter table endpoint add column disabled_note text;
