//! Pages of deliveries in several states: one page of each, merged.

use model::AppId;
use store::{DeliveryQuery, DeliveryRow, Page, Store};

use crate::page::cut;
use crate::problem::Result;
use crate::status::Wanted;

/// A page of an app's deliveries, as far as they are wanted. It may hold fewer than asked for
/// although more follow, if what was tried has to be told from what was not.
pub(crate) async fn page_of(
    store: &Store,
    app: AppId,
    query: &DeliveryQuery,
    wanted: Wanted,
) -> Result<Page<DeliveryRow>> {
    let mut page = match wanted.states {
        [] => store.deliveries_in_app(app, query).await?,
        [one] => {
            let query = DeliveryQuery { state: Some(*one), ..query.clone() };
            store.deliveries_in_app(app, &query).await?
        }
        _ => merged(store, app, query, wanted).await?,
    };
    page.data.retain(|row| wanted.has(&row.delivery));
    Ok(page)
}

async fn merged(
    store: &Store,
    app: AppId,
    query: &DeliveryQuery,
    wanted: Wanted,
) -> Result<Page<DeliveryRow>> {
    let (mut rows, mut done) = (Vec::new(), true);
    for state in wanted.states {
        let query = DeliveryQuery { state: Some(*state), ..query.clone() };
        let page = store.deliveries_in_app(app, &query).await?;
        done &= page.done;
        rows.extend(page.data);
    }
    rows.sort_by_key(|row| row.delivery.id);
    let mut page = cut(rows, &query.page, |row| row.delivery.id.to_string());
    page.done &= done;
    Ok(page)
}
