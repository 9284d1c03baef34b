//! After a start: the filter over all living lookups, then the credentials themselves, page by
//! page in the background, so that no key has to wait for its first reading.

use model::KeySecretId;
use store::MAX_WARM_UP;

use crate::credentials::Credentials;
use crate::upkeep::held_under;

/// Credentials read in one statement.
const PAGE: u32 = 2_000;

/// Builds the filter anew. What changes meanwhile is added to it by whoever applies changes.
pub(crate) async fn load_filter(credentials: &Credentials) -> store::Result<()> {
    let memory = &credentials.memory;
    memory.begin_filter(credentials.store.count_key_secrets().await?);
    let filled = fill_filter(credentials).await;
    if filled.is_ok() {
        memory.finish_filter();
    } else {
        memory.abandon_filter();
    }
    filled
}

async fn fill_filter(credentials: &Credentials) -> store::Result<()> {
    let mut after: Option<KeySecretId> = None;
    loop {
        let page = credentials.store.lookups_page(after, MAX_WARM_UP).await?;
        for row in &page {
            let upgraded = credentials.peppers.upgrade_lookup(row.tag_version, row.lookup);
            upgraded.iter().for_each(|lookup| credentials.memory.add_living(lookup));
        }
        match page.last() {
            Some(last) if page.len() >= MAX_WARM_UP as usize => after = Some(last.secret_id),
            _ => return Ok(()),
        }
    }
}

/// Reads credentials until all are held, or as many as there is room for.
pub(crate) async fn load_entries(credentials: &Credentials) -> store::Result<()> {
    let mut after: Option<KeySecretId> = None;
    loop {
        let mark = credentials.memory.changes.mark();
        let page = credentials.store.credentials_page(after, PAGE).await?;
        let (read, last) = (page.len(), page.last().map(|row| row.secret.value.id));
        for credential in page {
            let Some(lookup) = held_under(credentials, &credential.secret) else { continue };
            if let Ok(Some(entry)) = credentials.check(credential) {
                // What changed meanwhile is held already, or will be asked for.
                credentials.memory.warm(lookup, &entry, mark);
            }
        }
        if read < PAGE as usize || credentials.memory.is_full() {
            return Ok(());
        }
        after = last;
        tokio::task::yield_now().await;
    }
}
