-- Times are Unix milliseconds, ids text in ASCII order, lists and maps JSON text.
-- The twin of postgres/0001_start.sql: same tables, same names.

create table app (
    id            text primary key,
    uid           text unique,
    name          text not null,
    throttle_rate integer,
    metadata      text not null,
    -- Raised with every change that concerns delivery; caches compare it.
    version       integer not null default 1,
    created_at    integer not null,
    updated_at    integer not null
) without rowid;

create table endpoint (
    id              text primary key,
    app_id          text not null,
    uid             text,
    url             text not null,
    description     text not null,
    event_types     text not null,
    channels        text not null,
    throttle_rate   integer,
    max_in_flight   integer,
    metadata        text not null,
    headers         blob,
    disabled_at     integer,
    disabled_reason text,
    paused_at       integer,
    retry_schedule  text,
    body_signature  text,
    created_at      integer not null,
    updated_at      integer not null,
    unique (app_id, uid)
);
create index endpoint_app on endpoint (app_id, id);

create table secret (
    endpoint_id text not null,
    created_at  integer not null,
    sealed      blob not null,
    -- Until when an old secret still signs; null for the current one.
    expires_at  integer,
    primary key (endpoint_id, created_at)
) without rowid;

create table event_type (
    name           text primary key,
    id             text not null,
    description    text not null,
    archived       integer not null,
    deprecated     integer not null,
    schemas        text,
    feature_flags  text,
    group_name     text,
    retry_schedule text,
    created_at     integer not null,
    updated_at     integer not null
);

create table message (
    id                 text primary key,
    app_id             text not null,
    event_type         text not null,
    event_id           text,
    idempotency_key    text,
    payload            blob,
    content_type       text,
    channels           text,
    tags               text,
    deliver_at         integer,
    outcome            integer not null,
    created_at         integer not null,
    payload_expires_at integer
);
create index message_app on message (app_id, id);
create unique index message_event_id on message (app_id, event_id) where event_id is not null;
create unique index message_idempotency_key on message (idempotency_key)
    where idempotency_key is not null;
create index message_payload_expires_at on message (payload_expires_at)
    where payload_expires_at is not null;

-- A delivery's id begins with its message's: no index by message is needed.
create table delivery (
    id          text primary key,
    app_id      text not null,
    endpoint_id text not null,
    state       integer not null check (state between 0 and 4),
    trigger     integer not null default 0,
    -- Queued: when it may be tried. Leased: when the lease ends.
    due_at      integer not null,
    lease_owner integer,
    attempts    integer not null default 0,
    last_status integer,
    last_error  integer,
    parent_id   text,
    root_id     text,
    created_at  integer not null,
    settled_at  integer
) without rowid;
create index delivery_endpoint on delivery (endpoint_id, id);
create index delivery_queue on delivery (endpoint_id, due_at, id) where state = 0;
create index delivery_lease on delivery (due_at) where state = 1;

-- One row per endpoint: the head of its queue. Claims look here, never at the backlog.
create table lane (
    endpoint_id text primary key,
    app_id      text not null,
    next_due_at integer not null,
    -- Nothing is claimed before: paused, disabled, throttled or slowed.
    hold_until  integer not null
) without rowid;
create index lane_due on lane (max(next_due_at, hold_until));
create index lane_app on lane (app_id);

create table attempt (
    id            text primary key,
    app_id        text not null,
    endpoint_id   text not null,
    number        integer not null,
    trigger       integer not null,
    at            integer not null,
    duration_ms   integer not null,
    status_code   integer,
    error         integer,
    response_body blob,
    detail        text not null
);
create index attempt_endpoint on attempt (endpoint_id, at, id);

-- Final outcomes of deliveries, summed when they are settled.
create table usage (
    endpoint_id text not null,
    hour        integer not null,
    state       integer not null,
    deliveries  integer not null,
    primary key (endpoint_id, hour, state)
) without rowid;

create table token (
    id         text primary key,
    name       text not null,
    hash       blob not null unique,
    created_at integer not null
);

-- Answers to requests that carried an Idempotency-Key, other than publishing.
create table answer (
    key         text primary key,
    fingerprint text not null,
    -- Null while the first request is still being answered.
    status      integer,
    sealed      blob,
    expires_at  integer not null
) without rowid;
create index answer_expires_at on answer (expires_at);

create table task (
    id         text primary key,
    app_id     text,
    status     text not null,
    work       text not null,
    progress   text not null,
    created_at integer not null,
    updated_at integer not null
) without rowid;
create index task_running on task (id) where status = 'running';

-- Processes that may hold leases.
create table node (
    id         integer primary key,
    started_at integer not null
);

-- A value sealed under the instance's key: it shows that a process holds the right secrets.
create table instance (
    name   text primary key,
    sealed blob not null
);
