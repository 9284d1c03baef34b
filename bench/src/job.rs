//! What is sent where (a floor post, one message, a batch, a question about a key), and how its
//! answer is read.

use std::sync::Arc;

use bytes::Bytes;
use http::header::HeaderValue;
use http::{Method, Uri};
use serde::Deserialize;

use crate::Outcome;
use crate::client::{Created, Peer, Question};
use crate::payload;

/// What one request carries and how its answer is read.
#[derive(Clone, Copy)]
pub enum Kind {
    /// A bare payload into the sink
    Floor,
    /// One message in one request
    Message,
    /// So many messages in one request
    Batch(u64),
    /// A request without a body; success is all that is asked of it
    Bare,
    /// A proxy's question about a key in a header; refused when it is not good
    Authorize,
    /// A question about a key; refused when it is not good
    GoodKey,
    /// A question about a key of nobody; refused when the answer is anything else
    UnknownKey,
}

/// A key as it is shown.
#[derive(Clone)]
pub enum Shown {
    Body(Bytes),
    Header(HeaderValue),
}

#[derive(Clone)]
pub struct Job {
    pub peer: Peer,
    /// Taken in turn
    pub paths: Arc<[Uri]>,
    /// Taken in turn too; without any the kind makes its own bodies
    shown: Arc<[Shown]>,
    /// Where the turns begin
    first: u64,
    pub kind: Kind,
}

impl Job {
    pub fn new(peer: Peer, path: &str, kind: Kind) -> Outcome<Self> {
        Self::in_turn(peer, &[path.to_owned()], kind)
    }

    pub fn in_turn(peer: Peer, paths: &[String], kind: Kind) -> Outcome<Self> {
        let paths: Result<Arc<[Uri]>, _> = paths.iter().map(|path| path.parse()).collect();
        Ok(Self { peer, paths: paths?, shown: Arc::default(), first: 0, kind })
    }

    /// Shows one key after the other.
    pub fn showing(self, shown: Vec<Shown>) -> Self {
        Self { shown: shown.into(), ..self }
    }

    /// The same, but from another turn on.
    pub fn beginning_at(&self, first: u64) -> Self {
        Self { first, ..self.clone() }
    }

    pub fn question(&self, turn: u64, sent_ns: u64, messages: u64) -> Question {
        let turn = self.first + turn;
        let shown = (turn as usize).checked_rem(self.shown.len()).map(|at| self.shown[at].clone());
        let (body, authorization) = match shown {
            Some(Shown::Body(body)) => (body, None),
            Some(Shown::Header(header)) => (Bytes::new(), Some(header)),
            None => (self.kind.body(sent_ns, messages), None),
        };
        let (method, path) = (self.kind.method(), self.path(turn).clone());
        Question { method, path, body, authorization }
    }

    pub fn path(&self, turn: u64) -> &Uri {
        &self.paths[turn as usize % self.paths.len()]
    }
}

#[derive(Deserialize)]
struct BatchAnswer {
    data: Vec<BatchEntry>,
}

#[derive(Deserialize)]
struct BatchEntry {
    status: u16,
    message: Option<Created>,
}

pub fn message_id(body: &[u8]) -> Outcome<String> {
    Ok(serde_json::from_slice::<Created>(body)?.id)
}

impl Kind {
    pub fn messages(self) -> u64 {
        match self {
            Kind::Batch(size) => size,
            _ => 1,
        }
    }

    fn method(self) -> Method {
        match self {
            Kind::Bare | Kind::Authorize => Method::GET,
            _ => Method::POST,
        }
    }

    /// Reads the body of a successful answer.
    pub fn read(self, body: &[u8]) -> Outcome<Answers> {
        match self {
            Kind::Floor | Kind::Bare | Kind::Authorize => Ok(Answers::default()),
            Kind::Message => {
                Ok(Answers { acknowledged: vec![message_id(body)?], ..Answers::default() })
            }
            Kind::Batch(_) => read_batch(body),
            Kind::GoodKey => Ok(Answers::unless(is_valid(body), body)),
            Kind::UnknownKey => Ok(Answers::unless(is_not_found(body), body)),
        }
    }

    fn body(self, sent_ns: u64, messages: u64) -> Bytes {
        let mut body = String::with_capacity(match self {
            Kind::Floor | Kind::Message | Kind::Batch(_) => {
                (payload::PAYLOAD_BYTES + 64) * messages as usize
            }
            _ => 0,
        });
        match self {
            Kind::Floor => payload::write(&mut body, sent_ns),
            Kind::Message => payload::write_message(&mut body, sent_ns),
            Kind::Batch(_) => write_batch(&mut body, sent_ns, messages),
            Kind::Bare | Kind::Authorize | Kind::GoodKey | Kind::UnknownKey => {}
        }
        body.into()
    }
}

/// What an answer says about the messages of its request.
#[derive(Default)]
pub struct Answers {
    pub acknowledged: Vec<String>,
    pub refused: u64,
    pub first_refusal: Option<String>,
}

impl Answers {
    fn unless(is_expected: bool, body: &[u8]) -> Self {
        if is_expected {
            return Self::default();
        }
        let text = String::from_utf8_lossy(body).into_owned();
        Self { refused: 1, first_refusal: Some(text), ..Self::default() }
    }
}

/// A verdict begins with its two most important words. It is not parsed: the driver has to stay
/// cheaper than the server.
pub fn is_valid(verdict: &[u8]) -> bool {
    verdict.starts_with(br#"{"valid":true,"#)
}

fn is_not_found(verdict: &[u8]) -> bool {
    verdict.starts_with(br#"{"valid":false,"code":"NOT_FOUND""#)
}

fn read_batch(body: &[u8]) -> Outcome<Answers> {
    let batch: BatchAnswer = serde_json::from_slice(body)?;
    let mut answers = Answers::default();
    for entry in batch.data {
        match entry.message {
            Some(message) => answers.acknowledged.push(message.id),
            None => {
                answers.refused += 1;
                answers.first_refusal.get_or_insert(format!("{} in a batch", entry.status));
            }
        }
    }
    Ok(answers)
}

fn write_batch(body: &mut String, sent_ns: u64, messages: u64) {
    body.push_str(r#"{"messages":["#);
    for index in 0..messages {
        if index > 0 {
            body.push(',');
        }
        payload::write_message(body, sent_ns);
    }
    body.push_str("]}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_carries_as_many_messages_as_asked() {
        let body = Kind::Batch(3).body(1_790_000_000_123_456_789, 2);
        let value: Result<serde_json::Value, _> = serde_json::from_slice(&body);
        assert!(
            value.is_ok_and(|value| {
                value["messages"].as_array().is_some_and(|all| all.len() == 2)
            })
        );
    }

    #[test]
    fn keys_are_shown_in_turn_and_only_a_valid_verdict_is_accepted() -> Outcome<()> {
        let job = Job::new(Peer::local(1, None)?, "/verify", Kind::GoodKey)?;
        let shown = ["a", "b", "c"].map(|text| Shown::Body(Bytes::from(text)));
        let job = job.showing(shown.to_vec()).beginning_at(2);
        let bodies = [0, 1, 2].map(|turn| job.question(turn, 0, 1).body);
        assert_eq!(bodies, ["c", "a", "b"]);
        for (verdict, refused) in [
            (r#"{"valid":true,"code":"VALID"}"#, [0, 1]),
            (r#"{"valid":false,"code":"NOT_FOUND","reason":"…"}"#, [1, 0]),
            (r#"{"valid":false,"code":"REVOKED"}"#, [1, 1]),
        ] {
            let kinds = [Kind::GoodKey, Kind::UnknownKey];
            let read = kinds.map(|kind| kind.read(verdict.as_bytes()).map(|read| read.refused));
            assert_eq!(
                [read[0].as_ref().ok(), read[1].as_ref().ok()],
                [Some(&refused[0]), Some(&refused[1])]
            );
        }
        Ok(())
    }

    #[test]
    fn a_batch_answer_is_counted_message_by_message() -> Outcome<()> {
        let answer =
            br#"{"data":[{"status":202,"message":{"id":"msg_1","eventType":"a"}},{"status":422,"problem":{}}]}"#;
        let answers = Kind::Batch(2).read(answer)?;
        assert_eq!(answers.acknowledged, ["msg_1"]);
        assert_eq!(
            (answers.refused, answers.first_refusal.as_deref()),
            (1, Some("422 in a batch"))
        );
        Ok(())
    }
}
