//! Usage of keys: verifications by minute and outcome with their latencies, and when a key was
//! used last. Nodes sum in memory and hand in batches; what is here is added to.

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::key::decide::Code;
use model::{KeyId, KeySecretId, Timestamp};
use serde_json::json;
use sqlx::FromRow;

use crate::db::on;
use crate::key_rows::{OverRows, over_rows};
use crate::{Result, Store, key_changes, rows};

/// Upper bounds of the buckets of latency, microseconds. The last bucket has none.
pub const LATENCY_BOUNDS_US: [u64; 11] =
    [2, 5, 10, 20, 50, 100, 500, 1_000, 10_000, 100_000, 1_000_000];
pub const LATENCY_BUCKETS: usize = LATENCY_BOUNDS_US.len() + 1;
/// Rows of one statement, at the most.
pub const MAX_USAGE_BATCH: usize = 5_000;
/// Secrets touched in one transaction, at the most: whoever changes keys waits for it.
pub const MAX_TOUCHED: usize = 500;
/// Rows of one answer, at the most.
pub const MAX_USAGE_ROWS: i64 = 50_000;
/// Rows deleted in one transaction.
const PRUNE_STEP: i64 = 10_000;
/// Characters of a user agent that are kept.
const MAX_USER_AGENT_CHARS: usize = 256;

macro_rules! columns {
    () => {
        "key_id, minute, outcome, count, cost, l0, l1, l2, l3, l4, l5, l6, l7, l8, l9, l10, l11"
    };
}

// In key order, so that two nodes never wait for each other in a circle.
const ADD: OverRows = over_rows!(
    concat!(
        "insert into key_usage (",
        columns!(),
        ") select value->>0, cast(value->>1 as bigint), value->>2, cast(value->>3 as bigint), \
         cast(value->>4 as bigint), cast(value->>5 as bigint), cast(value->>6 as bigint), \
         cast(value->>7 as bigint), cast(value->>8 as bigint), cast(value->>9 as bigint), \
         cast(value->>10 as bigint), cast(value->>11 as bigint), cast(value->>12 as bigint), \
         cast(value->>13 as bigint), cast(value->>14 as bigint), cast(value->>15 as bigint), \
         cast(value->>16 as bigint) from "
    ),
    "where true order by 1, 2, 3 on conflict (key_id, minute, outcome) do update set \
     count = key_usage.count + excluded.count, cost = key_usage.cost + excluded.cost, \
     l0 = key_usage.l0 + excluded.l0, l1 = key_usage.l1 + excluded.l1, \
     l2 = key_usage.l2 + excluded.l2, l3 = key_usage.l3 + excluded.l3, \
     l4 = key_usage.l4 + excluded.l4, l5 = key_usage.l5 + excluded.l5, \
     l6 = key_usage.l6 + excluded.l6, l7 = key_usage.l7 + excluded.l7, \
     l8 = key_usage.l8 + excluded.l8, l9 = key_usage.l9 + excluded.l9, \
     l10 = key_usage.l10 + excluded.l10, l11 = key_usage.l11 + excluded.l11"
);
const OF_KEY: &str = concat!(
    "select ",
    columns!(),
    " from key_usage where key_id = $1 and minute >= $2 and minute < $3 \
     order by minute, outcome limit $4"
);
const PRUNE: &str = "delete from key_usage where (key_id, minute, outcome) in \
    (select key_id, minute, outcome from key_usage where minute < $1 order by minute limit $2)";
const TOUCH_SECRETS: OverRows = over_rows!(
    "update key_secret set last_used_at = u.at from \
     (select value->>0 as id, cast(value->>1 as bigint) as at from ",
    ") u where key_secret.id = u.id \
     and (key_secret.last_used_at is null or key_secret.last_used_at < u.at)"
);
// Two secrets of one key may be among them: the later use counts.
const TOUCH_KEYS: OverRows = over_rows!(
    "update key set last_used_at = u.at, last_used_address = u.address, last_used_agent = u.agent \
     from (select s.key_id, t.at, t.address, t.agent, \
     row_number() over (partition by s.key_id order by t.at desc) as place from \
     (select value->>0 as id, cast(value->>1 as bigint) as at, value->>2 as address, \
     value->>3 as agent from ",
    ") t join key_secret s on s.id = t.id) u where u.place = 1 and key.id = u.key_id \
     and (key.last_used_at is null or key.last_used_at < u.at)"
);

/// Verifications of one key with one outcome in one minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRow {
    pub key_id: KeyId,
    /// The start of the minute.
    pub minute: Timestamp,
    pub outcome: Code,
    pub count: u64,
    pub cost: u64,
    /// How many verifications by bucket, see [`LATENCY_BOUNDS_US`].
    pub latency: [u64; LATENCY_BUCKETS],
}

/// When, from where and by what a key was used last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastUse {
    pub at: Timestamp,
    pub address: Option<IpAddr>,
    pub user_agent: Option<String>,
}

#[derive(FromRow)]
struct Row {
    key_id: String,
    minute: i64,
    outcome: String,
    count: i64,
    cost: i64,
    #[sqlx(flatten)]
    latency: Buckets,
}

#[derive(FromRow)]
struct Buckets {
    l0: i64,
    l1: i64,
    l2: i64,
    l3: i64,
    l4: i64,
    l5: i64,
    l6: i64,
    l7: i64,
    l8: i64,
    l9: i64,
    l10: i64,
    l11: i64,
}

impl Buckets {
    fn counts(&self) -> [u64; LATENCY_BUCKETS] {
        let Self { l0, l1, l2, l3, l4, l5, l6, l7, l8, l9, l10, l11 } = *self;
        [l0, l1, l2, l3, l4, l5, l6, l7, l8, l9, l10, l11].map(unsigned)
    }
}

impl TryFrom<Row> for UsageRow {
    type Error = crate::StoreError;

    fn try_from(row: Row) -> Result<Self> {
        let outcome = serde_json::from_value(json!(row.outcome));
        Ok(Self {
            key_id: rows::id(&row.key_id)?,
            minute: Timestamp(row.minute),
            outcome: outcome.map_err(|error| rows::corrupt("outcome", error))?,
            count: unsigned(row.count),
            cost: unsigned(row.cost),
            latency: row.latency.counts(),
        })
    }
}

fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

impl Store {
    /// Adds to what is there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_key_usage(&self, usage: &[UsageRow]) -> Result<()> {
        for batch in usage.chunks(MAX_USAGE_BATCH) {
            let list = rows::to_json(&summed(batch))?;
            let mut tx = self.db().begin().await?;
            let sql = ADD.of(self.db());
            on!(&mut tx, c => sqlx::query(sql).bind(&list).execute(&mut **c).await.map(drop))?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// The minutes that begin in the range, in order; [`MAX_USAGE_ROWS`] at the most.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn key_usage(
        &self,
        key: KeyId,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<UsageRow>> {
        let rows: Vec<Row> = on!(self.db().reader(), c => sqlx::query_as(OF_KEY)
            .bind(key.as_str()).bind(since.0).bind(until.0).bind(MAX_USAGE_ROWS)
            .fetch_all(c).await)?;
        rows.into_iter().map(UsageRow::try_from).collect()
    }

    /// Notes the last use of secrets and their keys. Never back in time.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn touch_keys(&self, uses: &[(KeySecretId, LastUse)]) -> Result<()> {
        for batch in latest(uses).chunks(MAX_TOUCHED) {
            let list = rows::to_json(&batch)?;
            // It changes many rows of keys: with the lock of those who change keys, nobody
            // waits in a circle. Between two steps they have their turn.
            let mut tx = key_changes::begin(self).await?;
            for sql in [TOUCH_SECRETS.of(self.db()), TOUCH_KEYS.of(self.db())] {
                on!(&mut tx, c => sqlx::query(sql).bind(&list).execute(&mut **c).await.map(drop))?;
            }
            tx.commit().await?;
        }
        Ok(())
    }

    /// Deletes the minutes before that moment; answers how many rows.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn prune_key_usage(&self, before: Timestamp) -> Result<u64> {
        let mut pruned = 0;
        loop {
            let mut tx = self.db().begin().await?;
            let step = on!(&mut tx, c => sqlx::query(PRUNE).bind(before.0).bind(PRUNE_STEP)
                .execute(&mut **c).await.map(|done| done.rows_affected()))?;
            tx.commit().await?;
            pruned += step;
            if step == 0 {
                return Ok(pruned);
            }
        }
    }
}

/// One statement touches each row once.
fn summed(batch: &[UsageRow]) -> Vec<serde_json::Value> {
    let mut sums: BTreeMap<(KeyId, Timestamp, Code), UsageRow> = BTreeMap::new();
    for row in batch {
        let Some(sum) = sums.get_mut(&(row.key_id, row.minute, row.outcome)) else {
            sums.insert((row.key_id, row.minute, row.outcome), row.clone());
            continue;
        };
        sum.count += row.count;
        sum.cost = sum.cost.saturating_add(row.cost);
        for (bucket, n) in sum.latency.iter_mut().zip(row.latency) {
            *bucket += n;
        }
    }
    let list = |row: &UsageRow| {
        let mut columns =
            vec![json!(row.key_id), json!(row.minute.0), json!(row.outcome), json!(row.count)];
        columns.push(json!(signed(row.cost)));
        columns.extend(row.latency.map(|n| json!(n)));
        columns.into()
    };
    sums.values().map(list).collect()
}

fn latest(batch: &[(KeySecretId, LastUse)]) -> Vec<serde_json::Value> {
    let mut latest: BTreeMap<KeySecretId, &LastUse> = BTreeMap::new();
    for (secret, last_use) in batch {
        let known = latest.entry(*secret).or_insert(last_use);
        if known.at < last_use.at {
            *known = last_use;
        }
    }
    let list = |(secret, last_use): (&KeySecretId, &&LastUse)| {
        let agent = last_use.user_agent.as_deref().map(legible);
        json!([secret, last_use.at.0, last_use.address, agent])
    };
    latest.iter().map(list).collect()
}

/// A header is whatever a client sends: without control characters, and not endless.
fn legible(user_agent: &str) -> String {
    user_agent.chars().filter(|c| !c.is_control()).take(MAX_USER_AGENT_CHARS).collect()
}
