//! The gateway: Kafka's protocol in, Kafka's protocol out, and virtual clusters in between.
//!
//! Settings come in by `config`; `admin` takes declarations, keeps them in `store` and publishes the `world` that they
//! make; `authn` says who a client is; `observe` counts. A module imports lower ranks only (ARCHITECTURE.md).

pub mod admin;
pub mod authn;
pub mod config;
pub mod observe;
pub mod store;
pub mod world;

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use admin::{Admin, ClientAccess};
use authn::sasl::Authenticator;
use authn::tokens::TokenKey;
use config::{Config, HostPort};
use observe::health::Health;
use observe::metrics::Metrics;
use world::World;

/// Why the gateway could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("cannot listen on {address} for {purpose}: {source}")]
    Listen { address: String, purpose: &'static str, source: std::io::Error },
    #[error("the admin API ended: {0}")]
    Admin(std::io::Error),
    #[error("cannot wait for signals: {0}")]
    Signals(std::io::Error),
    #[error("the operating system gives no random bytes")]
    NoRandomness,
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(config: Config) -> Result<(), RunError> {
    let (sender, _world) = watch::channel(Arc::new(World::empty()));
    let (health, metrics) = (Arc::<Health>::default(), Arc::<Metrics>::default());
    let admin = Admin::new(
        sender,
        config.admin.users.clone(),
        authenticator(&config)?,
        ClientAccess {
            bootstrap: HostPort { host: config.clients.advertised_host.clone(), port: config.clients.port_start },
            security_protocol: config.clients.security_protocol,
        },
        health,
        metrics,
    );
    let listener = listen(&config.admin.bind_host, config.admin.port, "the admin API").await?;
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    admin::serve(listener, Arc::new(admin), shutdown).await.map_err(RunError::Admin)
}

fn authenticator(config: &Config) -> Result<Arc<Authenticator>, RunError> {
    let tokens = match &config.tokens.signing_key {
        Some(key) => TokenKey::new(key),
        None => {
            tracing::info!("tokens.signingKey is not set: made a random one, so tokens end with this process");
            TokenKey::random().map_err(|_| RunError::NoRandomness)?
        }
    };
    Authenticator::new(tokens).map(Arc::new).map_err(|_| RunError::NoRandomness)
}

async fn listen(host: &str, port: u16, purpose: &'static str) -> Result<TcpListener, RunError> {
    let address = HostPort { host: host.to_owned(), port }.to_string();
    TcpListener::bind(&address).await.map_err(|source| RunError::Listen { address, purpose, source })
}
