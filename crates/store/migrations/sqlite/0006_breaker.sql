-- Circuit breakers. The twin of postgres/0006_breaker.sql: same tables, same names.

-- The breaker of an endpoint that has failed enough to open once. Most have none.
create table breaker (
    endpoint_id  text primary key,
    app_id       text not null,
    state        integer not null check (state between 0 and 2),
    -- Transitions so far: who makes the next one names the last one seen.
    version      integer not null,
    -- Openings so far; what was started before one says nothing about the time after it.
    era          integer not null,
    -- Openings since it was last closed: pauses grow with them.
    opened_times integer not null,
    since        integer not null,
    -- Open: when probing begins.
    until        integer not null,
    -- Probes that succeeded since it is half-open.
    successes    integer not null,
    by_hand      integer not null,
    reason       text not null,
    -- What was counted when it came to this, as JSON.
    figures      text not null
) without rowid;
create index breaker_app on breaker (app_id);

-- Every transition there was.
create table breaker_change (
    endpoint_id text not null,
    version     integer not null,
    app_id      text not null,
    at          integer not null,
    from_state  integer not null,
    to_state    integer not null,
    until       integer not null,
    -- Who did it by hand; null: it came so.
    actor       text,
    reason      text not null,
    figures     text not null,
    primary key (endpoint_id, version)
) without rowid;
create index breaker_change_at on breaker_change (at);

-- Thresholds that an app or an endpoint has instead of the instance's, as JSON.
create table breaker_threshold (
    owner_id   text primary key,
    app_id     text not null,
    thresholds text not null
) without rowid;
create index breaker_threshold_app on breaker_threshold (app_id);

-- What piled up during a hold is drained at a bounded rate, and nothing overtakes it. 0: there is
-- nothing of the kind; 1: the hold goes on; else the moment it was over: what became due later is
-- not part of it.
alter table lane add column drains integer not null default 0;
