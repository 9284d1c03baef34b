//! Which user of ours a person is, whom the provider names.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use model::access::{Role, User, normal_email};
use model::audit::Actor;
use model::oidc::id_token::Person;
use model::{UserId, name};
use store::Identity;

use super::OidcOptions;
use crate::AppState;
use crate::problem::{Code, Problem, Result};

const PASSWORD_BYTES: usize = 32;

/// The user, found or made as the operator wishes.
pub(super) async fn user(
    state: &AppState,
    options: &OidcOptions,
    person: Person,
    actor: impl Fn(&User) -> Actor,
) -> Result<User> {
    let email = verified_email(&person);
    if !is_of(&options.email_domains, email.as_deref()) {
        return Err(nobody("Addresses of this domain may not log in here."));
    }
    let identity = Identity { issuer: options.issuer.clone(), subject: person.subject.clone() };
    let known = state.store.user_by_identity(&identity).await?;
    let user = match (known, email) {
        (Some(user), _) => user,
        (None, None) => return Err(nobody("The identity provider has verified no address.")),
        (None, Some(email)) => {
            let found = state.store.user_by_email(&email).await?.map(|(user, _)| user);
            match (found, options.default_role) {
                (Some(user), _) if options.link_by_email && user.enabled => {
                    link(state, &identity, user, &actor).await?
                }
                (None, Some(role)) => {
                    let user = new_user(state, email, person.name, role);
                    make(state, &identity, user, &actor).await?
                }
                _ => return Err(nobody("No user here belongs to this account.")),
            }
        }
    };
    if user.enabled { Ok(user) } else { Err(nobody("This user is disabled.")) }
}

fn verified_email(person: &Person) -> Option<String> {
    person.email.as_deref().filter(|_| person.email_verified).and_then(normal_email)
}

/// Without domains anybody is; with them nobody who has no verified address.
fn is_of(domains: &[String], email: Option<&str>) -> bool {
    let domain = email.and_then(|email| email.rsplit_once('@')).map(|(_, domain)| domain);
    domains.is_empty()
        || domain.is_some_and(|domain| domains.iter().any(|one| one.eq_ignore_ascii_case(domain)))
}

async fn link(
    state: &AppState,
    identity: &Identity,
    user: User,
    actor: &impl Fn(&User) -> Actor,
) -> Result<User> {
    if state.store.link_identity(identity, user.id, &actor(&user)).await? {
        return Ok(user);
    }
    Err(met())
}

async fn make(
    state: &AppState,
    identity: &Identity,
    user: User,
    actor: &impl Fn(&User) -> Actor,
) -> Result<User> {
    // A password that nobody knows: the account is found by its identity alone.
    let mut password = [0; PASSWORD_BYTES];
    state.store.entropy().fill(&mut password);
    let password = STANDARD_NO_PAD.encode(password);
    let hash = state.access.passwords.hash(&password).await.map_err(|_| crate::auth::busy())?;
    if state.store.insert_user_of(identity, &user, &hash, &actor(&user)).await? {
        return Ok(user);
    }
    Err(met())
}

fn new_user(state: &AppState, email: String, called: Option<String>, role: Role) -> User {
    let now = state.store.clock().now();
    let called = called.filter(|called| name::check_text(called).is_ok() && !called.is_empty());
    User {
        id: UserId::new(now, state.store.entropy()),
        name: called.unwrap_or_else(|| email.clone()),
        email,
        role: Some(role),
        enabled: true,
        created_at: now,
        updated_at: now,
    }
}

/// The same person logged in twice at this very moment.
fn met() -> Problem {
    Problem::new(Code::Conflict, "This account is just being linked. Log in again.")
}

fn nobody(why: &'static str) -> Problem {
    Problem::new(Code::Forbidden, why)
}
