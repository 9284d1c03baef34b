-- The audit log: entries are appended and never changed. The twin of postgres/0004_audit.sql.

create table audit (
    seq           integer primary key,
    at            integer not null,
    actor_kind    text not null,
    actor_id      text,
    actor_name    text not null,
    actor_address text,
    request_id    text,
    action        text not null,
    target        text not null,
    app_id        text,
    state_before  text,
    state_after   text,
    -- Chains the entry to the one before it.
    hash          blob not null
);
create index audit_target on audit (target, seq);
create index audit_app on audit (app_id, seq);

-- Where the chain stands: 'head' is its newest entry. The tag shows that we wrote the mark.
create table audit_mark (
    name text primary key,
    seq  integer not null,
    hash blob not null,
    tag  blob not null
);
