-- Logging in through an identity provider. The twin of postgres/0012_oidc.sql: same tables, same
-- names.

-- Whom a provider means by a subject.
create table user_identity (
    issuer     text not null,
    subject    text not null,
    user_id    text not null,
    created_at integer not null,
    primary key (issuer, subject)
) without rowid;
create index user_identity_user on user_identity (user_id);

-- Logins that came back from a provider: each comes back once.
create table login_return (
    state      text primary key,
    expires_at integer not null
) without rowid;
create index login_return_expires_at on login_return (expires_at);
