-- Secrets over time: their history, their rotation by policy, and the versions of the key that
-- everything is sealed under. The twin of postgres/0008_secret.sql: same tables, same names.

-- Every secret an endpoint had. It stays when the secret itself is deleted.
create table secret_history (
    endpoint_id        text not null,
    -- The secret's own.
    created_at         integer not null,
    app_id             text not null,
    -- hmac or ed25519; null, like the fingerprint, until the secret is next looked at.
    kind               text,
    fingerprint        text,
    public_key         text,
    -- created, rotated, or policy.
    reason             text not null,
    -- Who made it; null when it was made before history was kept.
    actor              text,
    -- Until when it signs; null for the current one.
    ends_at            integer,
    revoked_at         integer,
    revoked_by         text,
    -- Whether its coming was published.
    announced          integer not null,
    -- A check of whether the receiver accepts it.
    check_requested_at integer,
    -- Until when a process carries it out.
    check_leased_until integer,
    checked_at         integer,
    check_outcome      text,
    check_detail       text,
    primary key (endpoint_id, created_at)
) without rowid;
create index secret_history_app on secret_history (app_id);
create index secret_history_unannounced on secret_history (created_at) where not announced;
create index secret_history_unread on secret_history (created_at) where fingerprint is null;
create index secret_history_check on secret_history (check_requested_at)
    where check_requested_at is not null and checked_at is null;
insert into secret_history (endpoint_id, created_at, app_id, reason, ends_at, announced)
    select s.endpoint_id, s.created_at, e.app_id, 'created', s.expires_at, 1
    from secret s join endpoint e on e.id = s.endpoint_id;

-- When an endpoint's secret is renewed, instead of what the instance says.
create table secret_policy (
    endpoint_id   text primary key,
    app_id        text not null,
    -- Null: never.
    every_days    integer,
    grace_seconds integer not null,
    notice_days   integer not null,
    updated_at    integer not null
) without rowid;
create index secret_policy_app on secret_policy (app_id);

-- Notices that were given.
create table secret_notice (
    endpoint_id       text primary key,
    app_id            text not null,
    secret_created_at integer not null,
    due_at            integer not null,
    -- When it is renewed: never sooner than the notice promises.
    rotates_at        integer not null
) without rowid;
create index secret_notice_app on secret_notice (app_id);
create index secret_current on secret (created_at) where expires_at is null;

-- Versions of the master key in use: the newest one seals. The check value shows that a process
-- holds the right key.
create table vault_version (
    version     integer primary key,
    check_value blob not null,
    since       integer not null
) without rowid;
insert into vault_version (version, check_value, since)
    select 1, sealed, 0 from instance where name = 'vault_check';
-- The newest version that the process knows.
alter table node add column vault_version integer not null default 1;
