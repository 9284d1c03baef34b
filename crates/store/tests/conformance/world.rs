//! What several modules need: odd text, walks over lists, and deliveries in a given state.

use model::delivery::State;
use model::{AppId, DeliveryId, EndpointId, MessageId};
use sqlx::{Connection, PgConnection, SqliteConnection};
use store::{After, DeliveryRow, Lease, NewMessage, Order, Page, PageQuery, Published};
use testkit::TestStore;
use testkit::test_store::{Started, attempt, new_message};

/// What a careless statement or encoder would trip over.
pub const ODD: &str = "O'Hara \"quoted\" \\back\\ \n\t$1 ? %_ ;-- 🚪 Ünï \u{202e}\u{feff} \u{1}";

pub fn pages(limit: u32) -> PageQuery {
    PageQuery { limit, iterator: None, order: Order::Ascending }
}

/// A page of what identifies its items.
pub fn keys<T>(page: Page<T>, key: impl Fn(&T) -> String) -> Page<String> {
    Page {
        data: page.data.iter().map(key).collect(),
        done: page.done,
        iterator: page.iterator,
        prev_iterator: page.prev_iterator,
    }
}

/// Walks a list forth in pages of three and back again, in both orders; `expected` ascends.
pub async fn walk(expected: &[String], list: impl AsyncFn(PageQuery) -> Page<String>) {
    assert!(expected.len() > 6, "a walk takes at least three pages");
    for order in [Order::Ascending, Order::Descending] {
        let mut expected = expected.to_vec();
        if order == Order::Descending {
            expected.reverse();
        }
        let mut query = PageQuery { limit: 3, iterator: None, order };
        let mut walked: Vec<Page<String>> = Vec::new();
        loop {
            let page = list(query.clone()).await;
            query.iterator = page.iterator.clone();
            let done = page.done;
            walked.push(page);
            if done {
                break;
            }
            assert!(walked.len() <= expected.len(), "the list never ends");
        }
        let found: Vec<String> = walked.iter().flat_map(|page| page.data.clone()).collect();
        assert_eq!(found, expected, "forth, {order:?}");
        let beyond = list(query.clone()).await;
        assert!(beyond.data.is_empty() && beyond.done, "nothing follows the last page");
        while let Some(page) = walked.pop() {
            query.iterator = page.prev_iterator;
            let back = list(query.clone()).await;
            let before = walked.last().map(|page| page.data.clone()).unwrap_or_default();
            assert_eq!(back.data, before, "back, {order:?}");
        }
    }
}

/// An app with one endpoint that wants everything.
pub async fn app_with_endpoint(db: &TestStore) -> (AppId, EndpointId) {
    let app = db.app().await;
    (app, db.endpoint(app).await)
}

/// Publishes `n` equal messages at once.
pub async fn publish(db: &TestStore, app: AppId, n: usize) -> Vec<Published> {
    publish_all(db, vec![new_message(app); n]).await
}

pub async fn publish_all(db: &TestStore, messages: Vec<NewMessage>) -> Vec<Published> {
    let answers = db.ingest_batch(messages).await.unwrap();
    answers.into_iter().map(|answer| answer.unwrap()).collect()
}

/// Settles a lease as its deliverer does, with an answer of this status.
pub async fn settle(db: &TestStore, lease: &Lease, status: u16, after: After) -> bool {
    let attempt = attempt(lease, db.clock.now(), Some(status));
    db.settle(lease.settlement(Some(attempt), after)).await.unwrap()
}

/// Publishes one message and settles its only delivery.
pub async fn settled(
    db: &TestStore,
    started: &mut Started,
    message: NewMessage,
    status: u16,
    after: After,
) -> Lease {
    db.ingest(message).await.unwrap();
    let lease = started.next().await;
    assert!(settle(db, &lease, status, after).await);
    lease
}

pub async fn delivery_of(db: &TestStore, app: AppId, lease: &Lease) -> DeliveryRow {
    db.delivery_in_app(app, lease.delivery_id).await.unwrap().expect("the delivery")
}

pub async fn state_of(db: &TestStore, app: AppId, lease: &Lease) -> State {
    delivery_of(db, app, lease).await.delivery.state
}

/// Sends a message to an endpoint once more, as it is.
pub async fn resend(
    db: &TestStore,
    app: AppId,
    endpoint: EndpointId,
    message: MessageId,
) -> DeliveryId {
    let wish = store::Resend::new(app, endpoint, message);
    db.resend(&wish, &testkit::by()).await.unwrap().expect("the chain may grow")
}

/// Claims until nothing more is due; answers how many deliveries that were.
pub async fn claim_all(db: &TestStore) -> usize {
    let mut count = 0;
    loop {
        let claimed = db.claim().await.unwrap();
        if claimed.count == 0 {
            return count;
        }
        count += claimed.count;
    }
}

/// What a statement reads past the store: one row, one value.
pub async fn raw<T>(db: &TestStore, sql: &'static str) -> T
where
    T: Send + Unpin,
    T: for<'r> sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    let url = db.database.url();
    if db.database.is_postgres() {
        let mut connection = PgConnection::connect(url).await.unwrap();
        return sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
    }
    let mut connection = SqliteConnection::connect(url).await.unwrap();
    sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
}

/// Changes something past the store.
pub async fn execute(db: &TestStore, sql: &'static str) {
    db.database.execute(sql).await;
}
