//! `doorbell serve`: store → engine → router → listen → shut down, one screen.

use std::time::Duration;

use api::serve::ServeOptions;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::assembly::{self, Opened, StartError};
use crate::config::Config;
use crate::{lock, tls};

/// Files and connections that this process asks to be allowed.
const MAX_OPEN_FILES: u64 = 65_536;

pub async fn serve(config: Config) -> Result<(), StartError> {
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
    let token = first_token(&config, &opened).await?;
    warn_of_allowed_targets(&config);

    let (stop, stopping) = watch::channel(false);
    let mut parts = JoinSet::new();
    if roles.worker {
        opened.store.join().await?;
        parts.spawn(assembly::engine(&config, opened.store.clone())?.run(stopping.clone()));
    }
    if roles.api {
        let listener = TcpListener::bind(&config.server.listen).await.map_err(|error| {
            StartError::Other(format!("cannot listen on {}: {error}", config.server.listen))
        })?;
        greet(&config, &listener, token.as_deref())?;
        let state = assembly::app_state(&config, opened.store.clone(), opened.pepper)?;
        let options = serve_options(&config)?;
        parts.spawn(api::serve::serve(listener, api::router::router(state), options, stopping));
    }

    wait_for_signal().await?;
    tracing::info!("stopping: finishing what is under way");
    tokio::spawn(exit_at_next_signal());
    stop.send_replace(true);
    let limit = Duration::from_millis(config.server.shutdown_timeout_ms);
    let finished =
        tokio::time::timeout(limit, async { while parts.join_next().await.is_some() {} });
    if finished.await.is_err() {
        tracing::warn!("not everything finished in time; its leases are freed");
        parts.shutdown().await;
    }
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
async fn first_token(config: &Config, opened: &Opened) -> Result<Option<String>, StartError> {
    if let Some(token) = &config.auth.admin_token {
        let hash = opened.pepper.hash(token.expose());
        opened.store.insert_token("from the configuration", &hash).await?;
        return Ok(None);
    }
    if opened.store.has_tokens().await? {
        return Ok(None);
    }
    let token = model::token::generate(&opened.entropy);
    opened.store.insert_token("first", &opened.pepper.hash(&token)).await?;
    Ok(Some(token))
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

async fn wait_for_signal() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Whoever signals twice does not want to wait. Leases are rescued by the next start.
async fn exit_at_next_signal() {
    if wait_for_signal().await.is_ok() {
        std::process::exit(1);
    }
}
