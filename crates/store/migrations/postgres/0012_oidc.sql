-- Logging in through an identity provider. The twin of sqlite/0012_oidc.sql: same tables, same
-- names.

-- Whom a provider means by a subject.
create table user_identity (
    issuer     text collate "C" not null,
    subject    text collate "C" not null,
    user_id    text collate "C" not null,
    created_at bigint not null,
    primary key (issuer, subject)
);
create index user_identity_user on user_identity (user_id);

-- Logins that came back from a provider: each comes back once.
create table login_return (
    state      text collate "C" primary key,
    expires_at bigint not null
);
create index login_return_expires_at on login_return (expires_at);
