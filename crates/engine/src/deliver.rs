//! One delivery: sign, send, judge, settle. No SQL, and no database is held during the call.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use model::attempt::{Attempt, AttemptDetail, ErrorKind, Headers};
use model::audit::Actor;
use model::endpoint::DisabledReason;
use model::failing::FailureBudget;
use model::retry::{self, Judgement, Next};
use model::{AttemptId, Timestamp};
use store::{After, Lease, Settlement, Store, StoreError};

use crate::breaker::{self, Breakers};
use crate::http::{Answer, Failure, HttpClient, Sent};
use crate::outcomes::Outcomes;
use crate::outgoing::Outgoing;
use crate::request::{self, HeaderStyle, Prepared, Requests};

/// A lease must live this much longer than an attempt can take, or it is given back unused.
const SETTLE_MARGIN_MS: u64 = 5_000;
/// The longest that one slow answer holds a whole endpoint when it does not say how long.
const MAX_HOLD_MS: u64 = 60_000;

/// What every delivery needs. One per process.
#[derive(Debug)]
pub struct Deliverer<O = HttpClient> {
    pub(crate) store: Store,
    pub(crate) http: O,
    pub(crate) requests: Requests,
    pub(crate) breakers: Breakers,
    pub(crate) outcomes: Outcomes,
    /// The longest an attempt may take.
    pub(crate) timeout_ms: u64,
}

/// What a [`Deliverer`] is made with.
#[derive(Debug)]
pub struct DelivererOptions {
    pub header_style: HeaderStyle,
    pub user_agent: HeaderValue,
    pub failure_budget: FailureBudget,
    pub timeout_ms: u64,
}

impl<O: Outgoing> Deliverer<O> {
    #[must_use]
    pub fn new(store: Store, http: O, options: DelivererOptions) -> Self {
        Self {
            store,
            http,
            requests: Requests::new(options.header_style, options.user_agent),
            breakers: Breakers::default(),
            outcomes: Outcomes::new(options.failure_budget),
            timeout_ms: options.timeout_ms,
        }
    }

    /// Hands what attempts came to over to the store.
    ///
    /// # Errors
    /// When the database fails; what was not taken is handed over at the next turn.
    pub async fn flush_outcomes(&self) -> Result<(), StoreError> {
        self.outcomes.flush(&self.store).await
    }

    pub async fn deliver(self: Arc<Self>, lease: Lease) {
        let mut slot = Slot { store: &self.store, lease: &lease, is_settled: false };
        if lease.probe {
            Box::pin(self.breakers.begin_probe(&self.store, &lease)).await;
        }
        let (settlement, disable) = self.attempt(&lease).await;
        let ended = self.store.clock().now();
        let verdict = self.breakers.observe(&lease, settlement.attempt.as_ref(), ended);
        let is_held = settlement.hold_until.is_some();
        let outcome = self.outcomes.of(&lease, &settlement, ended);
        let is_ours = match self.store.settle(settlement).await {
            Ok(is_ours) => is_ours,
            Err(error) => {
                tracing::warn!(delivery = %lease.delivery_id, %error, "not settled");
                return;
            }
        };
        slot.is_settled = true;
        if let Some(outcome) = outcome.filter(|_| is_ours) {
            self.outcomes.note(*outcome);
        }
        if let Some(verdict) = verdict {
            Box::pin(self.breakers.act(&self.store, &lease, verdict, is_held)).await;
        }
        if disable {
            Box::pin(self.disable(&lease)).await;
        }
    }

    /// What becomes of the delivery, and whether its endpoint is to be disabled.
    async fn attempt(&self, lease: &Lease) -> (Settlement, bool) {
        let now = self.store.clock().now();
        if let Some(until) = self.breakers.held(lease, now) {
            return (breaker::given_back(lease, until), false);
        }
        // It may have waited in memory while its lease ran out or a window began.
        if lease.until < now.plus_ms(self.timeout_ms + SETTLE_MARGIN_MS)
            || lease.route.windows.until(now).is_some()
        {
            return (lease.settlement(None, After::Released), false);
        }
        let Some(payload) = lease.envelope.payload.clone() else {
            let attempt = unsent(lease, now, ErrorKind::PayloadGone, "the payload was erased");
            return (lease.settlement(Some(attempt), After::Failed), false);
        };
        let (attempt, judgement) = match self.requests.prepared(&lease.route) {
            Ok(prepared) => self.send(lease, &prepared, payload, now).await,
            Err(why) => {
                let attempt = unsent(lease, now, ErrorKind::Internal, &why);
                (attempt, retry::judge(None, None, now))
            }
        };
        if attempt.succeeded() {
            return (lease.settlement(Some(attempt), After::Succeeded), false);
        }
        // Boxed: the common path stays small.
        Box::pin(self.failed(lease, attempt, &judgement)).await
    }

    async fn send(
        &self,
        lease: &Lease,
        prepared: &Prepared,
        payload: Bytes,
        now: Timestamp,
    ) -> (Attempt, Judgement) {
        let headers = self.requests.headers(lease, prepared, &payload, now);
        let shown = request::shown(&headers);
        let sent = self.http.send(&prepared.target, headers, payload).await;
        let ended = self.store.clock().now();
        let (answer, status) = match &sent.answer {
            Ok(answer) => (Some(answer), Some(answer.status)),
            Err(failure) => (failure.partial.as_ref(), None),
        };
        let retry_after = answer.and_then(|answer| header(answer, "retry-after"));
        let judgement = retry::judge(status, retry_after, ended);
        (record(lease, shown, sent), judgement)
    }

    /// When to try again, if at all.
    async fn failed(
        &self,
        lease: &Lease,
        attempt: Attempt,
        judgement: &Judgement,
    ) -> (Settlement, bool) {
        let now = self.store.clock().now();
        let schedule = self.store.retry_schedule(&lease.route, &lease.envelope.event_type).await;
        let next = match schedule {
            Ok(schedule) => schedule.next(attempt.number, judgement, now, self.store.entropy()),
            // The database is away: settling will wait for it, and so will the next try.
            Err(_) => Next::RetryAt(now.plus_ms(MAX_HOLD_MS)),
        };
        let after = match next {
            Next::Done => After::Succeeded,
            Next::RetryAt(due) => After::RetryAt(due),
            Next::GiveUp => After::Failed,
        };
        let mut settlement = lease.settlement(Some(attempt), after);
        if judgement.slow_endpoint {
            settlement.hold_until = Some(hold_until(judgement, next, now));
        }
        (settlement, judgement.disable_endpoint)
    }

    async fn disable(&self, lease: &Lease) {
        let endpoint = &lease.route.endpoint;
        let gone = DisabledReason::Gone;
        let by = Actor::system("delivery");
        let disabled =
            self.store.disable_endpoint_if_enabled(endpoint.app_id, endpoint.id, gone, &by).await;
        match disabled {
            Ok(true) => tracing::info!(endpoint = %endpoint.id, "disabled: it answered 410 Gone"),
            Ok(false) => {}
            Err(error) => tracing::error!(endpoint = %endpoint.id, %error, "not disabled"),
        }
    }
}

/// How long nothing is started for an endpoint that asked us to slow down.
fn hold_until(judgement: &Judgement, next: Next, now: Timestamp) -> Timestamp {
    if let Some(retry_after_ms) = judgement.retry_after_ms {
        return now.plus_ms(retry_after_ms);
    }
    match next {
        Next::RetryAt(due) => due.min(now.plus_ms(MAX_HOLD_MS)),
        Next::Done | Next::GiveUp => now.plus_ms(MAX_HOLD_MS),
    }
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    let found = answer.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value)
}

fn record(lease: &Lease, request_headers: Headers, sent: Sent) -> Attempt {
    let (answer, error, message) = match sent.answer {
        Ok(answer) if (200..300).contains(&answer.status) => (Some(answer), None, None),
        Ok(answer) => (Some(answer), Some(ErrorKind::Status), None),
        Err(Failure { kind, message, partial }) => (partial, Some(kind), Some(message)),
    };
    let mut attempt = blank(lease, sent.at);
    attempt.duration_ms = sent.duration_ms;
    attempt.error = error;
    attempt.detail.request_headers = request_headers;
    attempt.detail.address = sent.address;
    attempt.detail.error = message;
    attempt.detail.timing = sent.timing;
    if let Some(Answer { status, headers, body, cut }) = answer {
        attempt.status_code = Some(status);
        attempt.response_body = body;
        attempt.detail.response_headers = headers;
        attempt.detail.response_cut = cut;
    }
    attempt
}

fn unsent(lease: &Lease, now: Timestamp, error: ErrorKind, why: &str) -> Attempt {
    let mut attempt = blank(lease, now);
    attempt.error = Some(error);
    attempt.detail.error = Some(why.to_owned());
    attempt
}

fn blank(lease: &Lease, at: Timestamp) -> Attempt {
    let number = lease.attempts + 1;
    let endpoint = &lease.route.endpoint;
    Attempt {
        id: AttemptId::new(&lease.delivery_id, number),
        app_id: endpoint.app_id,
        endpoint_id: endpoint.id,
        number,
        trigger: lease.trigger,
        at,
        duration_ms: 0,
        status_code: None,
        error: None,
        response_body: Vec::new(),
        detail: AttemptDetail { url: endpoint.url.clone(), ..AttemptDetail::default() },
    }
}

/// Gives the slot back if the delivery ends without being settled, for instance by a panic.
struct Slot<'a> {
    store: &'a Store,
    lease: &'a Lease,
    is_settled: bool,
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if !self.is_settled {
            self.store.abandon(self.lease);
        }
    }
}
