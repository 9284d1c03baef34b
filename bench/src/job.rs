//! What is posted where: a floor post, one message, or a batch, and how its answer is read.

use std::sync::Arc;

use bytes::Bytes;
use http::Uri;
use serde::Deserialize;

use crate::Outcome;
use crate::client::{Created, Peer};
use crate::payload;

/// What one post carries and how its answer is read.
#[derive(Clone, Copy)]
pub enum Kind {
    /// A bare payload into the sink
    Floor,
    /// One message in one request
    Message,
    /// So many messages in one request
    Batch(u64),
}

#[derive(Clone)]
pub struct Job {
    pub peer: Peer,
    /// Taken in turn
    pub paths: Arc<[Uri]>,
    pub kind: Kind,
}

impl Job {
    pub fn new(peer: Peer, path: &str, kind: Kind) -> Outcome<Self> {
        Self::in_turn(peer, &[path.to_owned()], kind)
    }

    pub fn in_turn(peer: Peer, paths: &[String], kind: Kind) -> Outcome<Self> {
        let paths: Result<Arc<[Uri]>, _> = paths.iter().map(|path| path.parse()).collect();
        Ok(Self { peer, paths: paths?, kind })
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
            Kind::Floor | Kind::Message => 1,
            Kind::Batch(size) => size,
        }
    }

    /// Reads the body of a successful answer.
    pub fn read(self, body: &[u8]) -> Outcome<Answers> {
        match self {
            Kind::Floor => Ok(Answers::default()),
            Kind::Message => {
                Ok(Answers { acknowledged: vec![message_id(body)?], ..Answers::default() })
            }
            Kind::Batch(_) => read_batch(body),
        }
    }

    pub fn body(self, sent_ns: u64, messages: u64) -> Bytes {
        let mut body = String::with_capacity((payload::PAYLOAD_BYTES + 64) * messages as usize);
        match self {
            Kind::Floor => payload::write(&mut body, sent_ns),
            Kind::Message => payload::write_message(&mut body, sent_ns),
            Kind::Batch(_) => write_batch(&mut body, sent_ns, messages),
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
