//! The versions of the master key, and everything that is sealed under them.
//!
//! A process knows the versions in its secrets file, and shows the newest in its row of `node`.
//! When every living process knows a newer one than is in use, whoever sees it first takes it into
//! use and starts the task that seals everything anew ([`reseal`]); so there is no moment at which
//! a process meets what it cannot open. An old version can be dropped when nothing is under it.

mod reseal;

use model::audit::{Actor, Change};
use model::task::{Progress, Task, TaskStatus, Work};
use model::vault::KEY_LEN;
use model::{AppId, TaskId};
use serde_json::json;

use crate::audit::shown;
use crate::db::on;
use crate::{Result, Store, StoreError, audit, rows, tasks};

pub use reseal::SealedUnder;

const SHOW: &str = "update node set vault_version = $2 where id = $1 and vault_version <> $2";
const KNOWN_TO_ALL: &str = "select min(vault_version) from node";
const DROP: &str = "delete from vault_version where version = $1 \
    and version < (select max(version) from vault_version)";
const DROP_FIRST_CHECK: &str = "delete from instance where name = 'vault_check' and $1 = 1";

/// What became of a version that was to be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VaultDrop {
    Dropped,
    /// So many values are under it.
    InUse(i64),
    /// It is the one that seals.
    Newest,
    /// It was dropped before, or there never was one.
    NotThere,
}

impl Store {
    /// Takes in what the secrets file holds by now.
    ///
    /// # Errors
    /// When these are too many versions.
    pub fn learn_vault_keys(&self, versions: &[(u8, [u8; KEY_LEN])]) -> Result<()> {
        Ok(self.0.vault.learn(versions)?)
    }

    /// The version that this process seals under, and the newest that it knows.
    #[must_use]
    pub fn vault_version(&self) -> (u8, u8) {
        (self.0.vault.seals_under(), self.0.vault.newest())
    }

    /// Shows what this process knows, takes a version into use that all know, and seals under the
    /// newest in use. To be called every few seconds.
    ///
    /// # Errors
    /// When the database fails, or a version in use is not known here.
    pub async fn follow_vault(&self) -> Result<()> {
        let vault = &self.0.vault;
        let newest = vault.newest();
        let mut in_use = self.newest_vault_version().await?;
        if newest > in_use {
            self.show_vault_version(newest).await?;
            let known: Option<i32> = on!(self.db().reader(), c => {
                sqlx::query_scalar(KNOWN_TO_ALL).fetch_one(c).await
            })?;
            // No process has joined: this one is alone.
            let known = known.map_or(newest, |known| u8::try_from(known).unwrap_or(0).min(newest));
            if known > in_use {
                self.use_vault_version(known).await?;
                in_use = known;
            }
        }
        if in_use != vault.seals_under() && in_use > 0 {
            if !vault.knows(in_use) {
                return Err(StoreError::VaultVersionMissing(in_use));
            }
            vault.seal_under(in_use)?;
        }
        Ok(())
    }

    pub(crate) async fn show_vault_version(&self, version: u8) -> Result<()> {
        let mut tx = self.db().begin().await?;
        on!(&mut tx, c => sqlx::query(SHOW)
            .bind(self.0.node).bind(i32::from(version)).execute(&mut **c).await.map(drop))?;
        tx.commit().await
    }

    /// From now on it seals, and everything older is sealed anew. Of several processes one does it.
    async fn use_vault_version(&self, version: u8) -> Result<()> {
        let now = self.now();
        let mut tx = self.db().begin().await?;
        if !self.insert_vault_version(&mut tx, version).await? {
            return Ok(());
        }
        let task = Task {
            id: TaskId::new(now, self.entropy()),
            app_id: None::<AppId>,
            status: TaskStatus::Running,
            work: Work::Reseal { version },
            progress: Progress::default(),
            created_at: now,
            updated_at: now,
        };
        tasks::insert(&mut tx, &task).await?;
        let by = Actor::system("vault");
        let change = Change {
            action: "vault.use",
            target: version.to_string(),
            app_id: None,
            before: None,
            after: Some(json!({ "version": version, "task": shown::task(&task) })),
        };
        audit::append(self, &mut tx, &by, change).await?;
        tx.commit().await?;
        tracing::info!(version, "everything is sealed under a new version of the master key");
        self.0.wake.ring_tasks();
        Ok(())
    }

    /// Takes a version out of use that nothing is sealed under.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn drop_vault_version(&self, version: u8, by: &Actor) -> Result<VaultDrop> {
        let in_use = self.vault_versions().await?;
        if in_use.last().is_some_and(|(newest, _)| *newest == version) {
            return Ok(VaultDrop::Newest);
        }
        let under = self.sealed_under().await?;
        let values: i64 = under.iter().map(|under| under.of(version)).sum();
        if values > 0 {
            return Ok(VaultDrop::InUse(values));
        }
        let mut tx = self.db().begin().await?;
        let dropped = on!(&mut tx, c => sqlx::query(DROP)
            .bind(i32::from(version)).execute(&mut **c).await.map(|done| done.rows_affected()))?;
        if dropped == 0 {
            return Ok(VaultDrop::NotThere);
        }
        on!(&mut tx, c => sqlx::query(DROP_FIRST_CHECK)
            .bind(i32::from(version)).execute(&mut **c).await.map(drop))?;
        let change = Change {
            action: "vault.drop",
            target: version.to_string(),
            app_id: None,
            before: Some(json!({ "version": version })),
            after: None,
        };
        audit::append(self, &mut tx, by, change).await?;
        tx.commit().await?;
        Ok(VaultDrop::Dropped)
    }

    /// The versions in use, the oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn vault_versions_in_use(&self) -> Result<Vec<u8>> {
        Ok(self.vault_versions().await?.into_iter().map(|(version, _)| version).collect())
    }
}

/// The first byte of what is sealed.
fn byte(version: &[u8]) -> Result<u8> {
    version.first().copied().ok_or_else(|| rows::corrupt("sealed value", "it is empty"))
}
