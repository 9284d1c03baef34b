-- Times are Unix milliseconds, ids text in ASCII order, lists and maps JSON text.
-- The twin of sqlite/0001_start.sql: same tables, same names.

create table app (
    id            text collate "C" primary key,
    uid           text collate "C" unique,
    name          text collate "C" not null,
    throttle_rate integer,
    metadata      text not null,
    -- Raised with every change that concerns delivery; caches compare it.
    version       bigint not null default 1,
    created_at    bigint not null,
    updated_at    bigint not null
);

create table endpoint (
    id              text collate "C" primary key,
    app_id          text collate "C" not null,
    uid             text collate "C",
    url             text not null,
    description     text not null,
    event_types     text not null,
    channels        text not null,
    throttle_rate   integer,
    max_in_flight   integer,
    metadata        text not null,
    headers         bytea,
    disabled_at     bigint,
    disabled_reason text,
    paused_at       bigint,
    retry_schedule  text,
    body_signature  text,
    created_at      bigint not null,
    updated_at      bigint not null,
    unique (app_id, uid)
);
create index endpoint_app on endpoint (app_id, id);

create table secret (
    endpoint_id text collate "C" not null,
    created_at  bigint not null,
    sealed      bytea not null,
    -- Until when an old secret still signs; null for the current one.
    expires_at  bigint,
    primary key (endpoint_id, created_at)
);

create table event_type (
    name           text collate "C" primary key,
    id             text collate "C" not null,
    description    text not null,
    archived       boolean not null,
    deprecated     boolean not null,
    schemas        text,
    feature_flags  text,
    group_name     text,
    retry_schedule text,
    created_at     bigint not null,
    updated_at     bigint not null
);

create table message (
    id                 text collate "C" primary key,
    app_id             text collate "C" not null,
    event_type         text not null,
    event_id           text collate "C",
    idempotency_key    text,
    payload            bytea,
    content_type       text,
    channels           text,
    tags               text,
    deliver_at         bigint,
    outcome            smallint not null,
    created_at         bigint not null,
    payload_expires_at bigint
);
create index message_app on message (app_id, id);
create unique index message_event_id on message (app_id, event_id) where event_id is not null;
create unique index message_idempotency_key on message (idempotency_key)
    where idempotency_key is not null;
create index message_payload_expires_at on message (payload_expires_at)
    where payload_expires_at is not null;

-- A delivery's id begins with its message's: no index by message is needed.
create table delivery (
    id          text collate "C" primary key,
    app_id      text collate "C" not null,
    endpoint_id text collate "C" not null,
    state       smallint not null check (state between 0 and 4),
    trigger     smallint not null default 0,
    -- Queued: when it may be tried. Leased: when the lease ends.
    due_at      bigint not null,
    lease_owner bigint,
    attempts    integer not null default 0,
    last_status integer,
    last_error  smallint,
    parent_id   text collate "C",
    root_id     text collate "C",
    created_at  bigint not null,
    settled_at  bigint
);
create index delivery_endpoint on delivery (endpoint_id, id);
create index delivery_queue on delivery (endpoint_id, due_at, id) where state = 0;
create index delivery_lease on delivery (due_at) where state = 1;

-- One row per endpoint: the head of its queue. Claims look here, never at the backlog.
create table lane (
    endpoint_id text collate "C" primary key,
    app_id      text collate "C" not null,
    next_due_at bigint not null,
    -- Nothing is claimed before: paused, disabled, throttled or slowed.
    hold_until  bigint not null
);
create index lane_due on lane (greatest(next_due_at, hold_until));
create index lane_app on lane (app_id);

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
);
create index attempt_endpoint on attempt (endpoint_id, at, id);

-- Final outcomes of deliveries, summed when they are settled.
create table usage (
    endpoint_id text collate "C" not null,
    hour        bigint not null,
    state       smallint not null,
    deliveries  bigint not null,
    primary key (endpoint_id, hour, state)
);

create table token (
    id         text collate "C" primary key,
    name       text collate "C" not null,
    hash       bytea not null unique,
    created_at bigint not null
);

-- Answers to requests that carried an Idempotency-Key, other than publishing.
create table answer (
    key         text collate "C" primary key,
    fingerprint text not null,
    -- Null while the first request is still being answered.
    status      integer,
    sealed      bytea,
    expires_at  bigint not null
);
create index answer_expires_at on answer (expires_at);

create table task (
    id         text collate "C" primary key,
    app_id     text collate "C",
    status     text not null,
    work       text not null,
    progress   text not null,
    created_at bigint not null,
    updated_at bigint not null
);
create index task_running on task (id) where status = 'running';

-- Processes that may hold leases.
create table node (
    id         bigint primary key,
    started_at bigint not null
);

-- A value sealed under the instance's key: it shows that a process holds the right secrets.
create table instance (
    name   text primary key,
    sealed bytea not null
);
