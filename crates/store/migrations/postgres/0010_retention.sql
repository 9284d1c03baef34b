-- Retention and housekeeping. The twin of sqlite/0010_retention.sql; only here attempts are
-- partitioned, so that a day of them is dropped and not deleted.

-- What an app keeps for other times than the instance; null: as the instance.
create table retention (
    app_id       text collate "C" primary key,
    payload_days integer,
    attempt_days integer,
    message_days integer
);

-- When each chore is next due. Who moves it on does it.
create table housekeeping (
    chore   text collate "C" primary key,
    next_at bigint not null
);

-- What was done, as JSON.
create table housekeeping_run (
    chore       text collate "C" not null,
    started_at  bigint not null,
    duration_ms bigint not null,
    report      text not null,
    primary key (chore, started_at)
);
create index housekeeping_run_started_at on housekeeping_run (started_at);

-- One partition for each day of messages: an attempt's id begins with its message's time. What has
-- no partition of its own goes to the default one.
alter table attempt rename to attempt_before;
alter index attempt_pkey rename to attempt_before_pkey;
alter index attempt_endpoint rename to attempt_before_endpoint;
create table attempt (
    id            text collate "C" primary key,
    app_id        text collate "C" not null,
    endpoint_id   text collate "C" not null,
    number        integer not null,
    trigger       smallint not null,
    at            bigint not null,
    duration_ms   integer not null,
    status_code   integer,
    error         smallint,
    response_body bytea,
    detail        text not null
) partition by range (id);
create index attempt_endpoint on attempt (endpoint_id, at, id);
create table attempt_default partition of attempt default;

-- What there is becomes the first partition, up to the end of its newest message's day.
do $$
declare
    digits constant text := '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
    newest text;
    ms     bigint := 0;
    bound  text := '';
begin
    select max(id) into newest from attempt_before;
    if newest is null then
        drop table attempt_before;
        return;
    end if;
    -- Eight characters of time follow 'atmpt_'.
    for place in 7..14 loop
        ms := ms * 62 + strpos(digits, substr(newest, place, 1)) - 1;
    end loop;
    ms := (ms / 86400000 + 1) * 86400000;
    for place in 1..8 loop
        bound := substr(digits, (ms % 62)::integer + 1, 1) || bound;
        ms := ms / 62;
    end loop;
    execute format(
        'alter table attempt attach partition attempt_before for values from (minvalue) to (%L)',
        'atmpt_' || bound
    );
end $$;

-- Rows of these change often: they are cleaned before a share of a large table has changed.
alter table delivery set
    (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);
alter table lane set
    (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
alter table usage set (fillfactor = 70);
