-- Secrets over time: their history, their rotation by policy, and the versions of the key that
-- everything is sealed under. The twin of sqlite/0008_secret.sql: same tables, same names.

-- Every secret an endpoint had. It stays when the secret itself is deleted.
create table secret_history (
    endpoint_id        text collate "C" not null,
    -- The secret's own.
    created_at         bigint not null,
    app_id             text collate "C" not null,
    -- hmac or ed25519; null, like the fingerprint, until the secret is next looked at.
    kind               text,
    fingerprint        text,
    public_key         text,
    -- created, rotated, or policy.
    reason             text not null,
    -- Who made it; null when it was made before history was kept.
    actor              text,
    -- Until when it signs; null for the current one.
    ends_at            bigint,
    revoked_at         bigint,
    revoked_by         text,
    -- Whether its coming was published.
    announced          boolean not null,
    -- A check of whether the receiver accepts it.
    check_requested_at bigint,
    -- Until when a process carries it out.
    check_leased_until bigint,
    checked_at         bigint,
    check_outcome      text,
    check_detail       text,
    primary key (endpoint_id, created_at)
);
create index secret_history_app on secret_history (app_id);
create index secret_history_unannounced on secret_history (created_at) where not announced;
create index secret_history_unread on secret_history (created_at) where fingerprint is null;
create index secret_history_check on secret_history (check_requested_at)
    where check_requested_at is not null and checked_at is null;
insert into secret_history (endpoint_id, created_at, app_id, reason, ends_at, announced)
    select s.endpoint_id, s.created_at, e.app_id, 'created', s.expires_at, true
    from secret s join endpoint e on e.id = s.endpoint_id;

-- When an endpoint's secret is renewed, instead of what the instance says.
create table secret_policy (
    endpoint_id   text collate "C" primary key,
    app_id        text collate "C" not null,
    -- Null: never.
    every_days    integer,
    grace_seconds bigint not null,
    notice_days   integer not null,
    updated_at    bigint not null
);
create index secret_policy_app on secret_policy (app_id);

-- Notices that were given.
create table secret_notice (
    endpoint_id       text collate "C" primary key,
    app_id            text collate "C" not null,
    secret_created_at bigint not null,
    due_at            bigint not null,
    -- When it is renewed: never sooner than the notice promises.
    rotates_at        bigint not null
);
create index secret_notice_app on secret_notice (app_id);
create index secret_current on secret (created_at) where expires_at is null;

-- Versions of the master key in use: the newest one seals. The check value shows that a process
-- holds the right key.
create table vault_version (
    version     integer primary key,
    check_value bytea not null,
    since       bigint not null
);
insert into vault_version (version, check_value, since)
    select 1, sealed, 0 from instance where name = 'vault_check';
-- The newest version that the process knows.
alter table node add column vault_version integer not null default 1;
