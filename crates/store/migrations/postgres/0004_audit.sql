-- The audit log: entries are appended and never changed. The twin of sqlite/0004_audit.sql.

create table audit (
    seq           bigint primary key,
    at            bigint not null,
    actor_kind    text not null,
    actor_id      text collate "C",
    actor_name    text not null,
    actor_address text,
    request_id    text,
    action        text collate "C" not null,
    target        text collate "C" not null,
    app_id        text collate "C",
    state_before  text,
    state_after   text,
    -- Chains the entry to the one before it.
    hash          bytea not null
);
create index audit_target on audit (target, seq);
create index audit_app on audit (app_id, seq);

-- Where the chain stands: 'head' is its newest entry. The tag shows that we wrote the mark.
create table audit_mark (
    name text primary key,
    seq  bigint not null,
    hash bytea not null,
    tag  bytea not null
);
