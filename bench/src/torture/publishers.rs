//! Publishers that do not give up, and the ledger they write.
//!
//! A publisher writes the id of an acknowledged message into the ledger before it publishes the
//! next one. What was not acknowledged it publishes again, over a new connection if need be.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::Outcome;
use crate::client::Connection;
use crate::job::{Job, message_id};
use crate::measure::unix_nanos;
use crate::options::TortureOptions;
use crate::payload;

const PAUSE_BEFORE_RETRY: Duration = Duration::from_millis(20);
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
const LOAD_DEADLINE: Duration = Duration::from_secs(1_800);

/// One line for each acknowledged id. The file survives the server, whose end it is there for,
/// so the operating system's buffer is safe enough.
pub struct Ledger {
    file: Arc<File>,
    path: PathBuf,
}

impl Ledger {
    pub fn create(path: &Path) -> Outcome<Self> {
        let file = File::options().create_new(true).append(true).open(path)?;
        Ok(Self { file: Arc::new(file), path: path.to_owned() })
    }

    pub fn read_back(&self) -> Outcome<Vec<String>> {
        let text = std::fs::read_to_string(&self.path)?;
        Ok(text.lines().map(str::to_owned).collect())
    }
}

pub struct Publishers {
    tasks: JoinSet<Outcome<()>>,
    acknowledged: watch::Receiver<u64>,
    attempts: Arc<AtomicU64>,
}

/// What all publishers share.
struct Load {
    job: Job,
    messages: u64,
    taken: AtomicU64,
    attempts: Arc<AtomicU64>,
    acknowledged: watch::Sender<u64>,
    ledger: Arc<File>,
}

impl Publishers {
    pub fn start(job: &Job, torture: &TortureOptions, ledger: &Ledger) -> Self {
        let (sender, acknowledged) = watch::channel(0);
        let attempts = Arc::new(AtomicU64::new(0));
        let load = Arc::new(Load {
            job: job.clone(),
            messages: torture.messages,
            taken: AtomicU64::new(0),
            attempts: Arc::clone(&attempts),
            acknowledged: sender,
            ledger: Arc::clone(&ledger.file),
        });
        let mut tasks = JoinSet::new();
        for _ in 0..torture.publishers {
            tasks.spawn(Arc::clone(&load).publish_all());
        }
        Self { tasks, acknowledged, attempts }
    }

    pub fn acknowledged(&self) -> watch::Receiver<u64> {
        self.acknowledged.clone()
    }

    /// Waits until everything is acknowledged; tells how many posts that took.
    pub async fn finish(mut self) -> Outcome<u64> {
        let all = async {
            while let Some(done) = self.tasks.join_next().await {
                done??;
            }
            Outcome::Ok(())
        };
        timeout(LOAD_DEADLINE, all).await.map_err(|_| "publishing did not end in time")??;
        Ok(self.attempts.load(Ordering::Relaxed))
    }
}

impl Load {
    async fn publish_all(self: Arc<Self>) -> Outcome<()> {
        let mut connection = None;
        while self.taken.fetch_add(1, Ordering::Relaxed) < self.messages {
            let id = self.publish_until_acknowledged(&mut connection).await?;
            (&*self.ledger).write_all(format!("{id}\n").as_bytes())?;
            self.acknowledged.send_modify(|count| *count += 1);
        }
        Ok(())
    }

    /// Bounded by the deadline of the whole load.
    async fn publish_until_acknowledged(
        &self,
        connection: &mut Option<Connection>,
    ) -> Outcome<String> {
        loop {
            self.attempts.fetch_add(1, Ordering::Relaxed);
            match timeout(ANSWER_DEADLINE, self.publish(connection)).await {
                Ok(Ok(Some(id))) => return Ok(id),
                Ok(Ok(None)) => {}
                Ok(Err(_)) | Err(_) => *connection = None,
            }
            sleep(PAUSE_BEFORE_RETRY).await;
        }
    }

    /// An id, or nothing when the server would not take the message.
    async fn publish(&self, slot: &mut Option<Connection>) -> Outcome<Option<String>> {
        let connection = match slot {
            Some(connection) => connection,
            None => slot.insert(Connection::open(&self.job.peer).await?),
        };
        let mut body = String::with_capacity(2 * payload::PAYLOAD_BYTES);
        payload::write_message(&mut body, unix_nanos());
        let answer = connection.post(self.job.path(0), Bytes::from(body)).await?;
        match answer.status.is_success() {
            true => Ok(Some(message_id(&answer.body)?)),
            false => Ok(None),
        }
    }
}
