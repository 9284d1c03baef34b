-- Retention and housekeeping. The twin of postgres/0010_retention.sql; only there attempts are
-- partitioned.

-- What an app keeps for other times than the instance; null: as the instance.
create table retention (
    app_id       text primary key,
    payload_days integer,
    attempt_days integer,
    message_days integer
) without rowid;

-- When each chore is next due. Who moves it on does it.
create table housekeeping (
    chore   text primary key,
    next_at integer not null
) without rowid;

-- What was done, as JSON.
create table housekeeping_run (
    chore       text not null,
    started_at  integer not null,
    duration_ms integer not null,
    report      text not null,
    primary key (chore, started_at)
) without rowid;
create index housekeeping_run_started_at on housekeeping_run (started_at);
