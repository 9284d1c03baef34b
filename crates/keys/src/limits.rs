//! The limits of one verification, asked all at once: either each has room, or nothing is taken.

use std::borrow::Cow;

use model::key::decide::Code;

use crate::entry::Entry;
use crate::limiter::{Limiter, Outcome, Standing, Take};
use crate::{Verdict, VerifyRequest};

/// Makes a valid verdict a limited one when there is no room.
pub(crate) async fn take(limiter: &Limiter, request: &VerifyRequest<'_>, verdict: &mut Verdict) {
    let Some(entry) = verdict.entry.clone() else { return };
    let unknown = request.limits.iter().filter(|used| !has(&entry, used.name));
    verdict.unknown_limits = unknown.map(|used| used.name.to_owned()).collect();
    let takes: Vec<Take<'_>> = takes(request, &entry).collect();
    if takes.is_empty() {
        return;
    }
    let outcome = limiter.take(&takes, request.consume).await;
    verdict.degraded = outcome.is_degraded();
    if !outcome.allowed {
        verdict.code = Code::RateLimited;
        verdict.reason = Cow::Owned(reason(&outcome));
        verdict.retry_after_ms = outcome.retry_after_ms();
    }
    verdict.limits = outcome.limits;
}

fn reason(outcome: &Outcome) -> String {
    let exceeded = outcome.limits.iter().filter(|standing| standing.exceeded);
    let texts = exceeded.map(|standing| {
        let Standing { name, limit, window_ms, .. } = standing;
        format!("`{name}` ({limit} in {window_ms} ms)")
    });
    format!("a limit is reached: {}", texts.collect::<Vec<_>>().join(", "))
}

/// Automatic limits at the request's cost, and those that it names at their own.
fn takes<'a>(request: &'a VerifyRequest<'_>, entry: &'a Entry) -> impl Iterator<Item = Take<'a>> {
    entry.limits.iter().filter_map(|bound| {
        let named = request.limits.iter().find(|used| used.name == bound.limit.name);
        let cost = match named {
            Some(used) => used.cost,
            None if bound.limit.automatic => request.cost,
            None => return None,
        };
        Some(Take { limit: &bound.limit, subject: bound.subject, cost })
    })
}

fn has(entry: &Entry, name: &str) -> bool {
    entry.limits.iter().any(|bound| bound.limit.name == name)
}
