//! `doorbell serve`: store → engine → router → listen → shut down, one screen.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use api::access::service::{self, NewServiceToken};
use api::serve::ServeOptions;
use keys::Keys;
use model::access::Role;
use store::{KeyQuery, Store};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::assembly::{self, StartError};
use crate::config::Config;
use crate::{lock, secrets, tls};

const COUNT_EVERY: Duration = Duration::from_secs(2);
/// How often the secrets file is looked at for a new version of the master key.
const VAULT_EVERY: Duration = Duration::from_secs(5);

/// Files and connections that this process asks to be allowed.
const MAX_OPEN_FILES: u64 = 65_536;

pub async fn serve(config: Config) -> Result<(), StartError> {
    let mut signals = Signals::listen()?;
    // A connection is a file; many systems allow a process only 1,024 until it asks for more.
    if let Err(error) = rlimit::increase_nofile_limit(MAX_OPEN_FILES) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    let roles = config.server.roles;
    let url = config.database_url();
    let _lock =
        if roles.worker { lock::lock_sqlite(&url).map_err(StartError::Other)? } else { None };
    let opened = assembly::open(&config).await?;
    assembly::prepare(&opened.store, config.database.migrate).await?;
    let keys = assembly::keys(&config, &opened).await?;
    let token = first_token(&config, &keys).await?;
    warn_of_allowed_targets(&config);

    let (stop, stopping) = watch::channel(false);
    let mut parts = JoinSet::new();
    parts.spawn(count_nodes(opened.store.clone(), opened.nodes.clone(), stopping.clone()));
    parts.spawn(follow_vault(
        opened.store.clone(),
        config.server.data_dir.clone(),
        stopping.clone(),
    ));
    // Revocations wait for every process that has joined. Of a SQLite file one process alone is it.
    if roles.worker || url.starts_with("postgres") {
        opened.store.join().await?;
    }
    if roles.worker {
        parts.spawn(assembly::engine(&config, opened.store.clone())?.run(stopping.clone()));
        parts.spawn(keys.clone().run_schedule(stopping.clone()));
    }
    if roles.api {
        let listener = TcpListener::bind(&config.server.listen).await.map_err(|error| {
            StartError::Other(format!("cannot listen on {}: {error}", config.server.listen))
        })?;
        greet(&config, &listener, token.as_deref())?;
        let state = assembly::app_state(&config, opened.store.clone(), keys.clone())?;
        let options = serve_options(&config)?;
        parts.spawn(api::serve::serve(listener, api::router::router(state), options, stopping));
    }

    signals.next().await;
    tracing::info!("stopping: finishing what is under way");
    tokio::spawn(exit_at_next(signals));
    stop.send_replace(true);
    let limit = Duration::from_millis(config.server.shutdown_timeout_ms);
    let finished =
        tokio::time::timeout(limit, async { while parts.join_next().await.is_some() {} });
    if finished.await.is_err() {
        tracing::warn!("not everything finished in time; its leases are freed");
        parts.shutdown().await;
    }
    keys.close().await;
    opened.store.close().await;
    tracing::info!("stopped");
    Ok(())
}

fn serve_options(config: &Config) -> Result<ServeOptions, StartError> {
    let server = &config.server;
    let tls = match (&server.tls_cert, &server.tls_key) {
        (Some(certificate), Some(key)) => {
            Some(tls::server_config(certificate, key).map_err(StartError::Other)?)
        }
        _ => None,
    };
    Ok(ServeOptions {
        max_connections: server.max_connections,
        header_timeout_ms: server.header_timeout_ms,
        tls,
        drain_ms: server.shutdown_timeout_ms,
    })
}

/// The token to show: one that was made just now, because there was none.
async fn first_token(config: &Config, keys: &Keys) -> Result<Option<String>, StartError> {
    let by = assembly::operator();
    if let Some(token) = &config.auth.admin_token {
        let new = NewServiceToken::with_role("from the configuration", Role::Owner);
        service::adopt(keys, new, token.expose(), &by).await?;
        return Ok(None);
    }
    // Keys without an app are the instance's own.
    if !keys.store().keys(&KeyQuery::default()).await?.data.is_empty() {
        return Ok(None);
    }
    let new = NewServiceToken::with_role("first", Role::Owner);
    Ok(Some(service::mint(keys, new, &by).await?.token))
}

#[expect(clippy::print_stdout, reason = "the newcomer's first lines")]
fn greet(config: &Config, listener: &TcpListener, token: Option<&str>) -> Result<(), StartError> {
    let scheme = if config.server.tls_cert.is_some() { "https" } else { "http" };
    let address = listener.local_addr()?;
    let base = config.server.public_url.clone().unwrap_or(format!("{scheme}://{address}"));
    println!("Doorbell {} listens on {base}", env!("CARGO_PKG_VERSION"));
    println!("  API docs     {base}/docs");
    println!("  Data folder  {}", config.server.data_dir.display());
    if let Some(token) = token {
        println!("  Admin token  {token}");
        println!("               Shown once. `doorbell token create` makes another.");
    }
    Ok(())
}

fn warn_of_allowed_targets(config: &Config) {
    for network in &config.delivery.targets_allow {
        tracing::warn!(%network, "endpoints may be in this network, private or not");
    }
}

/// Limits that Redis cannot share out are divided by the number of living processes.
async fn count_nodes(store: Store, nodes: Arc<AtomicU32>, mut stopping: watch::Receiver<bool>) {
    loop {
        match store.confirmations().await {
            Ok(living) => {
                let count = u32::try_from(living.len()).unwrap_or(u32::MAX).max(1);
                nodes.store(count, Ordering::Relaxed);
            }
            Err(error) => tracing::debug!(%error, "living nodes not counted"),
        }
        tokio::select! {
            () = tokio::time::sleep(COUNT_EVERY) => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
    }
}

/// Takes in what `doorbell vault rotate` adds to the secrets file, and seals under what is in use.
async fn follow_vault(store: Store, data_dir: PathBuf, mut stopping: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(VAULT_EVERY) => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
        match secrets::load(&data_dir).map(|secrets| store.learn_vault_keys(&secrets.vault_keys)) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the master key's versions are not taken in"),
            Err(error) => tracing::error!(%error, "the secrets file is not read again"),
        }
        if let Err(error) = store.follow_vault().await {
            tracing::error!(%error, "the version of the master key stays as it is");
        }
    }
}

/// Requests to stop. They are listened to from the very start: one that comes while the process
/// is still starting is not lost.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Whoever signals twice does not want to wait. Leases are rescued by the next start.
async fn exit_at_next(mut signals: Signals) {
    signals.next().await;
    std::process::exit(1);
}
