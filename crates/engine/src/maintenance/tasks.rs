//! Background tasks: each is taken step by step; every step commits with its progress.

use model::filter::Filter;
use model::task::{Selection, Task, TaskStatus, Work};
use store::{Store, StoreError};

/// Steps of one task in one turn; the next turn goes on.
const MAX_STEPS: usize = 10_000;

/// # Errors
/// When the database fails.
pub async fn run(store: Store) -> Result<(), StoreError> {
    for mut task in store.running_tasks().await? {
        match filter_for(&store, &task).await? {
            Some(filter) => run_one(&store, &mut task, &filter).await?,
            None => fail(&store, task, "the endpoint is gone").await?,
        }
    }
    Ok(())
}

async fn run_one(store: &Store, task: &mut Task, filter: &Filter) -> Result<(), StoreError> {
    for _ in 0..MAX_STEPS {
        if !store.step_task(task, filter).await? || task.status != TaskStatus::Running {
            break;
        }
    }
    tracing::info!(task = %task.id, kind = task.work.kind(), done = task.progress.done, "task");
    Ok(())
}

/// What the task's endpoint wants; none when it is gone. Only messages that it never got are
/// held against its filter: what was delivered once was wanted.
async fn filter_for(store: &Store, task: &Task) -> Result<Option<Filter>, StoreError> {
    let Selection { app_id, endpoint_id, .. } = match &task.work {
        Work::Recover(selection) | Work::BulkReplay(selection) | Work::ReplayMissing(selection) => {
            selection
        }
        Work::Purge { .. } => return Ok(Some(Filter::default())),
    };
    let endpoint = store.endpoint_in_app(*app_id, endpoint_id.as_str()).await?;
    let is_missing = matches!(task.work, Work::ReplayMissing(_));
    Ok(endpoint.map(|endpoint| if is_missing { endpoint.filter } else { Filter::default() }))
}

async fn fail(store: &Store, mut task: Task, why: &str) -> Result<(), StoreError> {
    task.status = TaskStatus::Failed;
    task.progress.error = Some(why.to_owned());
    store.advance_task_if_running(&task).await.map(drop)
}
