//! Keeps what listeners offer as fresh as its files: on SIGHUP, when they are others by their times and lengths, and by reading
//! them from time to time.

use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::server::{Refreshed, ServerTls};
use crate::observe::health::Health;
use crate::observe::metrics::{CertificateExpiry, Metrics};

/// A certificate that ends within this time is worth a warning.
const SOON: Duration = Duration::from_secs(14 * DAY);
const DAY: u64 = 24 * 60 * 60;
/// How often files' times and lengths are looked at. They count once they stay the same: a key and its certificate are written
/// one after the other.
const GLANCE_EVERY: Duration = Duration::from_millis(300);
/// How often the warning is said.
const REMIND_EVERY: Duration = Duration::from_secs(DAY);

/// Looks at the files until dropped. Without TLS it waits for ever. `told` hears of each change: that it is used, or why not.
///
/// # Errors
/// The operating system's, when it gives no signals.
pub async fn watch(
    servers: impl IntoIterator<Item = Arc<ServerTls>>,
    every: Duration,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    told: impl Fn(Result<(), String>),
) -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let servers = distinct(servers);
    if servers.is_empty() {
        // The signal's own meaning, to end the process, would be a surprise to who reloads a fleet.
        loop {
            let _ = hangup.recv().await;
        }
    }
    report(&servers, &metrics);
    remind(&servers);
    let mut reminded = Instant::now();
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut glances = Glances::new(&servers).await;
    loop {
        let asked = next(&mut hangup, &mut ticks, &mut glances, &servers).await;
        let looked = tokio::task::spawn_blocking({
            let servers = servers.clone();
            // Files and, of encrypted keys, a derivation that takes its time.
            move || servers.iter().map(|server| server.refresh()).collect::<Vec<_>>()
        });
        let Ok(looked) = looked.await else { continue };
        conclude(&looked, asked, &health, &metrics).into_iter().for_each(&told);
        report(&servers, &metrics);
        if reminded.elapsed() >= REMIND_EVERY || looked.contains(&Refreshed::Changed) {
            remind(&servers);
            reminded = Instant::now();
        }
    }
}

/// Listeners that offer the same share it.
fn distinct(servers: impl IntoIterator<Item = Arc<ServerTls>>) -> Vec<Arc<ServerTls>> {
    let mut distinct: Vec<Arc<ServerTls>> = Vec::new();
    for server in servers {
        if !distinct.iter().any(|known| Arc::ptr_eq(known, &server)) {
            distinct.push(server);
        }
    }
    distinct
}

/// Waits for a reason to read the files; tells whether it was asked for.
async fn next(hangup: &mut Signal, ticks: &mut Interval, glances: &mut Glances, servers: &[Arc<ServerTls>]) -> bool {
    tokio::select! {
        _ = hangup.recv() => true,
        _ = ticks.tick() => false,
        () = glances.changed(servers) => false,
    }
}

/// What tells a file from the one before: where it is, how long it is, when it was written.
type Prints = Vec<Option<(u64, u64, i64, i64)>>;

/// What files looked like from outside.
struct Glances {
    /// When they were read last.
    read: Prints,
    /// A moment ago.
    last: Prints,
    ticks: Interval,
}

impl Glances {
    async fn new(servers: &[Arc<ServerTls>]) -> Self {
        let read = prints(servers).await;
        let mut ticks = interval_at(Instant::now() + GLANCE_EVERY, GLANCE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { last: read.clone(), read, ticks }
    }

    /// Waits until files are others than when they were read.
    async fn changed(&mut self, servers: &[Arc<ServerTls>]) {
        loop {
            let _ = self.ticks.tick().await;
            let now = prints(servers).await;
            let settled = now == self.last;
            self.last.clone_from(&now);
            if settled && now != self.read {
                self.read = now;
                return;
            }
        }
    }
}

async fn prints(servers: &[Arc<ServerTls>]) -> Prints {
    let files = servers.iter().flat_map(|server| server.files()).collect::<Vec<_>>();
    let mut prints = Prints::with_capacity(files.len());
    for file in files {
        let found = tokio::fs::metadata(file).await.ok();
        prints.push(found.map(|found| (found.ino(), found.len(), found.mtime(), found.mtime_nsec())));
    }
    prints
}

fn conclude(looked: &[Refreshed], asked: bool, health: &Health, metrics: &Metrics) -> Option<Result<(), String>> {
    let refused = looked.iter().find_map(|refreshed| match refreshed {
        Refreshed::Refused(error) => Some((true, error)),
        Refreshed::StillRefused(error) => Some((asked, error)),
        Refreshed::Unchanged | Refreshed::Changed => None,
    });
    let changed = looked.contains(&Refreshed::Changed);
    if let Some((say, error)) = refused {
        if say {
            metrics.tls_reloaded(false);
            tracing::error!(%error, "changed certificates cannot be used; clients still get the old ones");
        }
        health.set_certificates(Some(format!("clients still get the old certificates: {error}")));
        return say.then(|| Err(error.to_string()));
    }
    health.set_certificates(None);
    if changed {
        metrics.tls_reloaded(true);
        tracing::info!("certificates have changed: new connections get the new ones, open ones live on");
    } else if asked {
        tracing::info!("SIGHUP: certificates are as they were");
    }
    changed.then_some(Ok(()))
}

fn report(servers: &[Arc<ServerTls>], metrics: &Metrics) {
    metrics.set_certificates(servers.iter().flat_map(|server| server.certificates()).collect());
}

fn remind(servers: &[Arc<ServerTls>]) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut certificates = servers.iter().flat_map(|server| server.certificates()).collect::<Vec<_>>();
    certificates.sort();
    certificates.dedup();
    for certificate in certificates {
        if let Some(warning) = warning(&certificate, now) {
            tracing::warn!("{warning}");
        }
    }
}

/// What to say about a certificate at this second since 1970.
fn warning(certificate: &CertificateExpiry, now: u64) -> Option<String> {
    let CertificateExpiry { place, subject, not_after } = certificate;
    let left = not_after - i64::try_from(now).unwrap_or(i64::MAX);
    if left < 0 {
        return Some(format!("{place}: the certificate of {subject} has expired; renew it"));
    }
    let days = left.unsigned_abs() / DAY;
    (left.unsigned_abs() <= SOON.as_secs())
        .then(|| format!("{place}: the certificate of {subject} expires in {days} days; renew it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_that_end_soon_are_told() {
        let at = |not_after| CertificateExpiry { place: "p".into(), subject: "CN=x".into(), not_after };
        let now = 1_000_000_000;
        assert_eq!(warning(&at(1_000_000_000 + 15 * 86_400), now), None);
        let soon = warning(&at(1_000_000_000 + 3 * 86_400 + 5), now);
        assert_eq!(soon.as_deref(), Some("p: the certificate of CN=x expires in 3 days; renew it"));
        let gone = warning(&at(999_999_999), now);
        assert_eq!(gone.as_deref(), Some("p: the certificate of CN=x has expired; renew it"));
    }

    #[test]
    fn refused_files_show_until_they_are_right() {
        let (health, metrics) = (Health::default(), Metrics::default());
        let error = super::super::server::ServerTlsError::NoTrust;
        let told = conclude(&[Refreshed::Unchanged, Refreshed::Refused(error.clone())], false, &health, &metrics);
        assert_eq!(told, Some(Err(error.to_string())));
        assert_eq!(conclude(&[Refreshed::StillRefused(error)], false, &health, &metrics), None, "it was told");
        assert!(health.certificates().unwrap().contains("old certificates"));
        assert!(metrics.render().contains("gateway_certificate_reloads_total{result=\"refused\"} 1\n"));
        assert_eq!(conclude(&[Refreshed::Changed], false, &health, &metrics), Some(Ok(())));
        assert_eq!(health.certificates(), None);
        assert!(metrics.render().contains("gateway_certificate_reloads_total{result=\"used\"} 1\n"));
    }
}
