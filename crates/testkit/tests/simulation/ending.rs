//! The evening: everything heals, and after a while nothing may be left. Then what is stored is
//! read around the store, and must tell the same story.

use std::collections::BTreeMap;

use model::delivery::State;
use model::message::Outcome;
use model::replay::MAX_DEPTH;
use model::retry::RetrySchedule;
use rusqlite::Row;
use testkit::START;

use crate::checker::{Reason, Verdict};
use crate::day::Day;
use crate::events::Event;
use crate::world::DAY_MS;

/// The longest that the rest of a schedule can take, with what it waited for.
const PATIENCE_DAYS: u64 = 14;
const MAX_STEPS: usize = 50_000;

/// A delivery with what is told of its attempts.
struct Told {
    id: String,
    state: i16,
    attempts: i64,
    parent_id: Option<String>,
    root_id: Option<String>,
    depth: Option<i64>,
    recorded: i64,
    first: Option<i64>,
    last: Option<i64>,
}

const DELIVERIES: &str = "select d.id, d.state, d.attempts, d.parent_id, d.root_id, d.depth, \
    (select count(*) from attempt a where a.id between 'atmpt_' || substr(d.id, 5) and \
    'atmpt_' || substr(d.id, 5) || '~') as recorded, \
    (select min(a.number) from attempt a where a.id between 'atmpt_' || substr(d.id, 5) and \
    'atmpt_' || substr(d.id, 5) || '~') as first, \
    (select max(a.number) from attempt a where a.id between 'atmpt_' || substr(d.id, 5) and \
    'atmpt_' || substr(d.id, 5) || '~') as last from delivery d order by d.id";
impl Told {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            state: row.get(1)?,
            attempts: row.get(2)?,
            parent_id: row.get(3)?,
            root_id: row.get(4)?,
            depth: row.get(5)?,
            recorded: row.get(6)?,
            first: row.get(7)?,
            last: row.get(8)?,
        })
    }
}

const MESSAGES: &str = "select m.id, m.outcome, (select count(*) from delivery d where \
    d.trigger = 0 and d.id between 'dlv_' || substr(m.id, 5) and \
    'dlv_' || substr(m.id, 5) || '~') from message m";
const DISABLED: &str = "select app_id, id from endpoint where disabled_at is not null";
const PAUSED: &str = "select app_id, id from endpoint where paused_at is not null";
const OPEN_FOR_GOOD: &str =
    "select app_id, endpoint_id from breaker where state = 1 and until = 9223372036854775807";
const CHANGES: &str = "select endpoint_id, version, from_state, to_state, actor is not null, at \
    from breaker_change order by endpoint_id, version";

impl Day {
    /// Heals everything and waits until nothing is left to be done.
    pub async fn finish(&mut self) -> Verdict {
        self.is_over = true;
        while self.nodes.len() < 2 {
            self.start().await;
        }
        let last = START.plus_ms((1 + PATIENCE_DAYS) * DAY_MS);
        let mut steps = 0;
        loop {
            let (now, open) = (self.now(), self.open());
            if open == 0 {
                break;
            }
            if now >= last || steps > MAX_STEPS {
                return Err(format!("lost: {open} deliveries never end"));
            }
            self.free_all().await;
            self.after(61_000, Event::Rescue);
            let until = now.plus_ms(DAY_MS / 4);
            while self.now() < until {
                self.step(until).await?;
                steps += 1;
            }
        }
        self.check_promises()?;
        self.check_deliveries()?;
        self.check_breakers()
    }

    /// Deliveries that are not final.
    fn open(&self) -> usize {
        let sql = "select id from delivery where state in (0, 1)";
        self.database.all(sql, |_| Ok(())).len()
    }

    /// Ends every hold that nothing else would end.
    async fn free_all(&mut self) {
        let of_app = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
        for (sql, reason) in [(DISABLED, Reason::Disabled), (PAUSED, Reason::Paused)] {
            for (app, endpoint) in self.database.all(sql, of_app) {
                self.free(app.parse().unwrap(), endpoint.parse().unwrap(), reason).await;
            }
        }
        for (app, endpoint) in self.database.all(OPEN_FOR_GOOD, of_app) {
            self.close_breaker(app.parse().unwrap(), endpoint.parse().unwrap()).await;
        }
    }

    /// What was acknowledged is there, with a delivery for each endpoint that was enabled.
    fn check_promises(&self) -> Verdict {
        let read = |row: &Row<'_>| Ok((row.get(0)?, (row.get(1)?, row.get(2)?)));
        let told: BTreeMap<String, (i64, i64)> =
            self.database.all(MESSAGES, read).into_iter().collect();
        for promised in &self.promised {
            let Some((outcome, deliveries)) = told.get(promised.id.as_str()) else {
                return Err(format!("lost: {} was acknowledged and is gone", promised.id));
            };
            if (*outcome == Outcome::FannedOut as i64) != (*deliveries > 0) {
                return Err(format!("lost: {} has {deliveries} deliveries", promised.id));
            }
        }
        Ok(())
    }

    fn check_deliveries(&mut self) -> Verdict {
        let rows = self.database.all(DELIVERIES, Told::read);
        let most = i64::try_from(RetrySchedule::default().delays_ms().len()).unwrap();
        let by_id: BTreeMap<&str, &Told> = rows.iter().map(|row| (row.id.as_str(), row)).collect();
        for row in &rows {
            let Told { id, attempts, .. } = row;
            let state = State::from_code(row.state);
            if row.recorded != *attempts {
                return Err(format!(
                    "lost: {id} made {attempts} attempts, {} are told",
                    row.recorded
                ));
            }
            if *attempts > 0 && (row.first, row.last) != (Some(1), Some(*attempts)) {
                return Err(format!("lost: attempts of {id} are missing"));
            }
            if *attempts > most {
                return Err(format!("schedule: {id} was tried {attempts} times"));
            }
            if state == State::Failed && *attempts != most {
                return Err(format!("final: {id} was given up after {attempts} attempts"));
            }
            check_chain(row, &by_id)?;
        }
        let told = rows.len();
        self.note("deliveries", told);
        Ok(())
    }

    fn check_breakers(&mut self) -> Verdict {
        let read = |row: &Row<'_>| {
            let by_hand: bool = row.get(4)?;
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, by_hand, row.get(5)?))
        };
        let rows: Vec<(String, i64, i16, i16, bool, i64)> = self.database.all(CHANGES, read);
        let mut before: BTreeMap<&str, (i64, i16)> = BTreeMap::new();
        for (endpoint, version, from, to, by_hand, at) in &rows {
            let (latest, state) = before.get(endpoint.as_str()).copied().unwrap_or((0, 0));
            let is_legal = *by_hand || matches!((from, to), (0, 1) | (1, 2) | (2, 0 | 1));
            if *version != latest + 1 || *from != state || !is_legal {
                return Err(format!(
                    "breaker: {endpoint} moved from {from} to {to} as its change {version}, after \
                     change {latest} to {state}, at {at}"
                ));
            }
            before.insert(endpoint, (*version, *to));
        }
        for (_, _, _, to, by_hand, _) in &rows {
            let what = match (to, by_hand) {
                (1, false) => "breakers opened",
                (0, false) => "breakers closed",
                _ => continue,
            };
            self.course.totals.count(what);
        }
        Ok(())
    }
}

/// A chain ends at its root, one step at a time.
fn check_chain(row: &Told, by_id: &BTreeMap<&str, &Told>) -> Verdict {
    let Some(parent) = &row.parent_id else { return Ok(()) };
    let bad = |why: &str| Err(format!("chain: {} {why}", row.id));
    let Some(parent) = by_id.get(parent.as_str()) else { return bad("has a parent that is gone") };
    if row.depth.unwrap_or(0) != parent.depth.unwrap_or(0) + 1 {
        return bad("is not one step below its parent");
    }
    if row.depth.unwrap_or(0) > i64::from(MAX_DEPTH) {
        return bad("is too far from its root");
    }
    let root = parent.root_id.as_ref().unwrap_or(&parent.id);
    if row.root_id.as_ref() != Some(root) {
        return bad("has another root than its parent");
    }
    let (mut at, mut steps) = (*parent, 0);
    while let Some(next) = at.parent_id.as_ref().and_then(|id| by_id.get(id.as_str())) {
        steps += 1;
        if steps > by_id.len() {
            return bad("is its own ancestor");
        }
        at = next;
    }
    if at.id == *root { Ok(()) } else { bad("does not come from its root") }
}
