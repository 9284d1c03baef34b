//! Endpoints. Each has a lane, made and deleted with it.

mod edit;

use model::audit::{Actor, Change};
use model::endpoint::{Disabled, DisabledReason, Endpoint};
use model::filter::Filter;
use model::retry::RetrySchedule;
use model::secret::SecretReason;
use model::signature::Secret;
use model::{AppId, EndpointId, Timestamp};
use sqlx::FromRow;

use crate::audit::{self, shown};
use crate::db::{Tx, on};
use crate::operations::event;
use crate::page::{Page, PageQuery};
use crate::rows::{self, Map};
use crate::{Result, Store, StoreError, apps, breakers, failing, lanes, secrets};

macro_rules! columns {
    () => {
        "id, app_id, uid, url, description, event_types, channels, throttle_rate, \
         max_in_flight, metadata, headers, disabled_at, disabled_reason, disabled_note, paused_at, \
         retry_schedule, body_signature, created_at, updated_at"
    };
}

const FIND_IN_APP: &str =
    concat!("select ", columns!(), " from endpoint where app_id = $1 and (id = $2 or uid = $2)");
const LIST_ASCENDING: &str = concat!(
    "select ",
    columns!(),
    " from endpoint where app_id = $1 and id > $2 and id < $3 order by id limit $4"
);
const LIST_DESCENDING: &str = concat!(
    "select ",
    columns!(),
    " from endpoint where app_id = $1 and id > $2 and id < $3 order by id desc limit $4"
);
pub(crate) const ALL_OF_APP: &str =
    concat!("select ", columns!(), " from endpoint where app_id = $1 order by id");
const INSERT: &str = concat!(
    "insert into endpoint (",
    columns!(),
    ") values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, \
     $11, $12, $13, $14, $15, $16, $17, $18, $19)"
);
const UPDATE: &str = "update endpoint set uid = $3, url = $4, description = $5, \
    event_types = $6, channels = $7, throttle_rate = $8, max_in_flight = $9, metadata = $10, \
    headers = $11, disabled_at = $12, disabled_reason = $13, disabled_note = $14, \
    paused_at = $15, retry_schedule = $16, body_signature = $17, updated_at = $18 \
    where id = $1 and app_id = $2";
const DELETE: &str = "delete from endpoint where id = $1 and app_id = $2";
const DISABLE_IF_ENABLED: &str = "update endpoint set disabled_at = $2, disabled_reason = $3, \
    updated_at = $2 where id = $1 and app_id = $4 and disabled_at is null";

#[derive(FromRow)]
pub(crate) struct Row {
    id: String,
    app_id: String,
    uid: Option<String>,
    url: String,
    description: String,
    event_types: String,
    channels: String,
    throttle_rate: Option<i32>,
    max_in_flight: Option<i32>,
    metadata: String,
    headers: Option<Vec<u8>>,
    disabled_at: Option<i64>,
    disabled_reason: Option<String>,
    disabled_note: Option<String>,
    paused_at: Option<i64>,
    retry_schedule: Option<String>,
    body_signature: Option<String>,
    created_at: i64,
    updated_at: i64,
}

/// Where sealed headers belong.
pub(crate) fn headers_context(endpoint: &str) -> String {
    format!("endpoint.headers/{endpoint}")
}

impl Store {
    pub(crate) fn endpoint_of(&self, row: Row) -> Result<Endpoint> {
        let headers = match &row.headers {
            Some(sealed) => {
                let plain = self.0.vault.open(&headers_context(&row.id), sealed)?;
                serde_json::from_slice(&plain).map_err(|error| rows::corrupt("headers", error))?
            }
            None => Map::new(),
        };
        let disabled = row.disabled_at.map(|at| Disabled {
            at: Timestamp(at),
            reason: DisabledReason::parse(row.disabled_reason.as_deref().unwrap_or_default()),
            note: row.disabled_note,
        });
        Ok(Endpoint {
            id: rows::id(&row.id)?,
            app_id: rows::id(&row.app_id)?,
            uid: row.uid,
            url: row.url,
            description: row.description,
            filter: Filter {
                event_types: rows::json(&row.event_types)?,
                channels: rows::json(&row.channels)?,
            },
            throttle_rate: row.throttle_rate.map(rows::count),
            max_in_flight: row.max_in_flight.map(rows::count),
            metadata: rows::json::<Map>(&row.metadata)?,
            headers,
            disabled,
            paused_at: rows::moment(row.paused_at),
            retry_schedule: row.retry_schedule.as_deref().map(schedule).transpose()?,
            body_signature: row.body_signature.as_deref().map(rows::json).transpose()?,
            created_at: Timestamp(row.created_at),
            updated_at: Timestamp(row.updated_at),
        })
    }

    /// The endpoint with this id or uid, if it is this app's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn endpoint_in_app(&self, app: AppId, endpoint: &str) -> Result<Option<Endpoint>> {
        let row: Option<Row> = on!(self.db().reader(), c => sqlx::query_as(FIND_IN_APP)
            .bind(app.as_str()).bind(endpoint).fetch_optional(c).await)?;
        row.map(|row| self.endpoint_of(row)).transpose()
    }

    /// # Errors
    /// When the database fails.
    pub async fn endpoints_in_app(&self, app: AppId, query: &PageQuery) -> Result<Page<Endpoint>> {
        let keyset = query.keyset();
        let sql = if keyset.ascending { LIST_ASCENDING } else { LIST_DESCENDING };
        let rows: Vec<Row> = on!(self.db().reader(), c => sqlx::query_as(sql)
            .bind(app.as_str()).bind(&keyset.above).bind(&keyset.below).bind(keyset.fetch())
            .fetch_all(c).await)?;
        let found =
            rows.into_iter().map(|row| self.endpoint_of(row)).collect::<Result<Vec<_>>>()?;
        Ok(keyset.page(found, |endpoint| endpoint.id.to_string()))
    }

    /// False when the uid is taken.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_endpoint(
        &self,
        endpoint: &Endpoint,
        secret: &Secret,
        by: &Actor,
    ) -> Result<bool> {
        let mut tx = self.db().begin().await?;
        apps::touch(&mut tx, endpoint.app_id).await?;
        if !self.write(&mut tx, INSERT, endpoint).await? {
            return Ok(false);
        }
        let origin = secrets::Origin {
            app: endpoint.app_id,
            endpoint: endpoint.id,
            created_at: endpoint.created_at,
            reason: SecretReason::Created,
            by,
        };
        secrets::insert(self, &mut tx, &origin, secret).await?;
        lanes::insert(&mut tx, endpoint).await?;
        let change = change("endpoint.create", endpoint, None, Some(endpoint));
        audit::append(self, &mut tx, by, change).await?;
        tx.commit().await?;
        self.announce_endpoint(event::ENDPOINT_CREATED, endpoint, endpoint.created_at).await;
        Ok(true)
    }

    /// Saves every field; holds or frees its queue as it is now disabled, paused, or neither.
    /// False when the uid is taken.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn update_endpoint(&self, endpoint: &Endpoint, by: &Actor) -> Result<bool> {
        Ok(self.save_endpoint(None, endpoint, by).await?.is_some())
    }

    /// The same for an endpoint that was `seen` before: what the wish does not change is left as
    /// it has become. Answers what is stored now; none when the uid is taken.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn edit_endpoint(
        &self,
        seen: &Endpoint,
        wished: &Endpoint,
        by: &Actor,
    ) -> Result<Option<Endpoint>> {
        self.save_endpoint(Some(seen), wished, by).await
    }

    async fn save_endpoint(
        &self,
        seen: Option<&Endpoint>,
        wished: &Endpoint,
        by: &Actor,
    ) -> Result<Option<Endpoint>> {
        let mut tx = self.db().begin().await?;
        let before = self.take_endpoint(&mut tx, wished.app_id, wished.id).await?;
        let Some(before) = before else { return Ok(Some(wished.clone())) };
        let after = seen.map_or_else(|| wished.clone(), |seen| edit::merged(seen, wished, &before));
        if !self.write(&mut tx, UPDATE, &after).await? {
            return Ok(None);
        }
        lanes::set_hold(&mut tx, &after, self.now()).await?;
        if before.disabled.is_some() && after.disabled.is_none() {
            failing::delete(&mut tx, after.id).await?;
        }
        let verb = shown::endpoint_verb(&before, &after);
        let change = change(verb, &after, Some(&before), Some(&after));
        audit::append(self, &mut tx, by, change).await?;
        tx.commit().await?;
        if before.is_held() && !after.is_held() {
            self.0.slots.lock().release(&after.id);
        }
        self.0.wake.ring_queue();
        self.announce_update(&before, &after).await;
        Ok(Some(after))
    }

    /// The endpoint before a change. All changes of one app's endpoints begin here, at the app's
    /// row: they wait for each other, and each sees what the one before has left.
    async fn take_endpoint(
        &self,
        tx: &mut Tx,
        app: AppId,
        endpoint: EndpointId,
    ) -> Result<Option<Endpoint>> {
        apps::touch(tx, app).await?;
        let row: Option<Row> = on!(tx, c => sqlx::query_as(FIND_IN_APP)
            .bind(app.as_str()).bind(endpoint.as_str()).fetch_optional(&mut **c).await)?;
        row.map(|row| self.endpoint_of(row)).transpose()
    }

    async fn write(&self, tx: &mut Tx, sql: &'static str, endpoint: &Endpoint) -> Result<bool> {
        let headers = if endpoint.headers.is_empty() {
            None
        } else {
            let plain = rows::to_json(&endpoint.headers)?;
            Some(self.0.vault.seal(&headers_context(endpoint.id.as_str()), plain.as_bytes())?)
        };
        let event_types = rows::to_json(&endpoint.filter.event_types)?;
        let channels = rows::to_json(&endpoint.filter.channels)?;
        let metadata = rows::to_json(&endpoint.metadata)?;
        let body_signature = endpoint.body_signature.as_ref().map(rows::to_json).transpose()?;
        let disabled = endpoint.disabled.as_ref();
        let done = on!(tx, c => {
            let query = sqlx::query(sql)
                .bind(endpoint.id.as_str())
                .bind(endpoint.app_id.as_str())
                .bind(&endpoint.uid)
                .bind(&endpoint.url)
                .bind(&endpoint.description)
                .bind(event_types)
                .bind(channels)
                .bind(endpoint.throttle_rate.map(rows::small))
                .bind(endpoint.max_in_flight.map(rows::small))
                .bind(metadata)
                .bind(headers)
                .bind(disabled.map(|disabled| disabled.at.0))
                .bind(disabled.map(|disabled| disabled.reason.as_str()))
                .bind(disabled.and_then(|disabled| disabled.note.as_ref()))
                .bind(rows::ms(endpoint.paused_at))
                .bind(endpoint.retry_schedule.as_ref().map(ToString::to_string))
                .bind(body_signature);
            // An update keeps the moment of creation.
            let query = if sql == INSERT { query.bind(endpoint.created_at.0) } else { query };
            query.bind(endpoint.updated_at.0).execute(&mut **c).await.map(drop)
        })
        .map_err(StoreError::from);
        match done {
            Err(error) if error.is_unique_violation() => Ok(false),
            done => done.map(|()| true),
        }
    }

    /// Deletes the endpoint with its secrets and lane; its deliveries are left to the purge
    /// task. False when the app has no such endpoint.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_endpoint(
        &self,
        app: AppId,
        endpoint: EndpointId,
        by: &Actor,
    ) -> Result<bool> {
        let mut tx = self.db().begin().await?;
        let before = self.take_endpoint(&mut tx, app, endpoint).await?;
        let Some(before) = before else { return Ok(false) };
        on!(&mut tx, c => sqlx::query(DELETE)
            .bind(endpoint.as_str()).bind(app.as_str())
            .execute(&mut **c).await.map(drop))?;
        secrets::delete_all(&mut tx, endpoint).await?;
        lanes::delete(&mut tx, endpoint).await?;
        breakers::delete(&mut tx, endpoint).await?;
        failing::delete(&mut tx, endpoint).await?;
        let change = change("endpoint.delete", &before, Some(&before), None);
        audit::append(self, &mut tx, by, change).await?;
        tx.commit().await?;
        self.announce_endpoint(event::ENDPOINT_DELETED, &before, self.now()).await;
        Ok(true)
    }

    /// Disables the endpoint, keeping its queue. False when it was disabled already or is gone.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn disable_endpoint_if_enabled(
        &self,
        app: AppId,
        endpoint: EndpointId,
        reason: DisabledReason,
        by: &Actor,
    ) -> Result<bool> {
        let now = self.now();
        let mut tx = self.db().begin().await?;
        let before = self.take_endpoint(&mut tx, app, endpoint).await?;
        let Some(before) = before.filter(|before| before.disabled.is_none()) else {
            return Ok(false);
        };
        on!(&mut tx, c => sqlx::query(DISABLE_IF_ENABLED)
            .bind(endpoint.as_str()).bind(now.0).bind(reason.as_str()).bind(app.as_str())
            .execute(&mut **c).await.map(drop))?;
        lanes::hold_for_good(&mut tx, app, endpoint).await?;
        let disabled = Some(Disabled::new(now, reason));
        let after = Endpoint { disabled, updated_at: now, ..before.clone() };
        let change = change("endpoint.disable", &after, Some(&before), Some(&after));
        audit::append(self, &mut tx, by, change).await?;
        tx.commit().await?;
        self.announce_endpoint(event::ENDPOINT_DISABLED, &after, now).await;
        Ok(true)
    }
}

fn change(
    action: &'static str,
    of: &Endpoint,
    before: Option<&Endpoint>,
    after: Option<&Endpoint>,
) -> Change {
    Change {
        action,
        target: of.id.to_string(),
        app_id: Some(of.app_id),
        before: before.map(shown::endpoint),
        after: after.map(shown::endpoint),
    }
}

pub(crate) fn schedule(text: &str) -> Result<RetrySchedule> {
    text.parse().map_err(|error| rows::corrupt("retry schedule", error))
}
