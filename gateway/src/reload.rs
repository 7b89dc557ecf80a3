//! Settings that change while the gateway runs: on SIGHUP, and when the file has changed. Those that can be others at once are;
//! those that need a restart are named.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;

use crate::audit::Audit;
use crate::audit::event::{Action, Change, Event};
use crate::config::{Config, Loaded, Source};
use crate::observe::health::Health;

/// The settings that can be others at once. New connections keep to new limits.
pub const AT_ONCE: &[&str] = &[
    "admin.users",
    "audit.adminRequests",
    "clients.loginTimeoutSeconds",
    "clients.maxConnections",
    "clients.maxFrameBytes",
    "clients.maxInFlight",
    "clients.maxReauthMs",
    "log.level",
    "nodes.drainSeconds",
    "passthrough.aclEnabled",
];

/// How often the file is looked at: it counts once it stays the same.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The settings of this process.
#[derive(Debug)]
pub struct Settings {
    source: Source,
    /// As they were when it began: what needs a restart is as here.
    begun: Loaded,
    /// As they are now, where they can be others at once.
    now: Loaded,
    /// What was told last.
    told: Option<String>,
}

/// What is to be done with settings that were read again.
#[derive(Debug, PartialEq)]
struct Outcome {
    /// Settings that are others from now on.
    changed: Vec<&'static str>,
    /// Settings that are others since the process began, and need a restart.
    waiting: Vec<&'static str>,
}

impl Settings {
    /// Those that hold.
    pub fn new(source: Source, loaded: Loaded) -> Self {
        Self { source, begun: loaded.clone(), now: loaded, told: None }
    }

    /// As they were when the process began.
    pub fn begun(&self) -> &Config {
        &self.begun.config
    }

    /// Looks for other settings, for as long as it is polled, and has them applied.
    ///
    /// # Errors
    /// The operating system's, when it gives no signals.
    pub async fn follow(
        mut self,
        health: &Health,
        audit: &Audit,
        apply: impl AsyncFn(Arc<Config>) -> Result<(), String>,
    ) -> std::io::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut used, mut looked) = (self.text().await, None);
        loop {
            let asked = tokio::select! {
                _ = hangup.recv() => true,
                _ = ticks.tick() => false,
            };
            let text = self.text().await;
            let settled = text != used && looked.as_ref() == Some(&text);
            looked = Some(text.clone());
            if !asked && !settled {
                continue;
            }
            used = text;
            let outcome = match self.source.load() {
                Ok(loaded) => self.take_over(loaded, audit, &apply).await,
                Err(error) => Err(error.to_string()),
            };
            self.tell(outcome, asked, health);
        }
    }

    /// What the file says, or why it cannot be read.
    async fn text(&self) -> Result<Vec<u8>, String> {
        let Some(file) = self.source.file().map(PathBuf::from) else { return Ok(Vec::new()) };
        tokio::fs::read(file).await.map_err(|error| error.to_string())
    }

    async fn take_over(
        &mut self,
        loaded: Loaded,
        audit: &Audit,
        apply: &impl AsyncFn(Arc<Config>) -> Result<(), String>,
    ) -> Result<Outcome, String> {
        let outcome = compare(&self.begun, &self.now, &loaded);
        if !outcome.changed.is_empty() {
            apply(Arc::new(loaded.config.clone())).await?;
        }
        for setting in &outcome.changed {
            let (kind, name) = ("Settings".into(), (*setting).into());
            audit.record(Event::new(Action::ConfigurationChanged { change: Change::Updated, kind, name }));
        }
        self.now = loaded;
        Ok(outcome)
    }

    fn tell(&mut self, outcome: Result<Outcome, String>, asked: bool, health: &Health) {
        let place = self.source.file().map_or("the settings".to_owned(), |file| file.display().to_string());
        let trouble = match outcome {
            Err(reason) => Some(format!("changed settings cannot be used, the former ones go on holding: {reason}")),
            Ok(Outcome { changed, waiting }) => {
                if !changed.is_empty() {
                    tracing::info!("{place}: other settings hold from now on: {}", changed.join(", "));
                } else if waiting.is_empty() && (asked || self.told.is_some()) {
                    tracing::info!("{place}: every setting holds as it is written there");
                }
                let waiting = (!waiting.is_empty()).then(|| waiting.join(", "));
                waiting.map(|named| format!("changed settings that hold only after a restart: {named}"))
            }
        };
        if let Some(trouble) = trouble.as_ref().filter(|trouble| asked || self.told.as_ref() != Some(*trouble)) {
            tracing::warn!("{place}: {trouble}");
        }
        health.set_settings(trouble.clone());
        self.told = trouble;
    }
}

fn compare(begun: &Loaded, now: &Loaded, loaded: &Loaded) -> Outcome {
    let at_once = |path: &&'static str| AT_ONCE.contains(path);
    let changed = now.given.differing(&loaded.given).into_iter().filter(at_once).collect();
    let mut waiting: Vec<_> = begun.given.differing(&loaded.given).into_iter().filter(|path| !at_once(path)).collect();
    // A file of physical clusters has settings too.
    let upstreams = |config: &Config| (config.upstream.clone(), config.failover.clone());
    if !waiting.iter().any(|path| path.starts_with("upstream."))
        && upstreams(&begun.config) != upstreams(&loaded.config)
    {
        waiting.push("upstream.selector");
    }
    Outcome { changed, waiting }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(text: &str) -> Loaded {
        Config::parse(&format!("{{upstream: {{bootstrapServers: 'k:1'}}, {text}}}"), []).unwrap()
    }

    #[test]
    fn what_can_be_another_at_once_is_told_from_what_needs_a_restart() {
        let begun = loaded("clients: {maxInFlight: 5, portStart: 7000}");
        let other = loaded("clients: {maxInFlight: 6, portStart: 7001}, admin: {users: [{username: a, password: b}]}");
        let outcome = compare(&begun, &begun, &other);
        assert_eq!(outcome.changed, ["clients.maxInFlight", "admin.users"]);
        assert_eq!(outcome.waiting, ["clients.portStart"]);
        // A second look finds nothing new to do, and still names what waits.
        assert_eq!(compare(&begun, &other, &other), Outcome { changed: vec![], waiting: vec!["clients.portStart"] });
        // As it was when the process began, nothing waits any more.
        assert_eq!(compare(&begun, &other, &begun).waiting, [] as [&str; 0]);
    }

    #[test]
    fn no_secret_shows() {
        let loaded = loaded("admin: {users: [{username: a, password: s3cret}]}");
        let settings = Settings::new(Source::new(None, [("P".to_owned(), "s3cret".to_owned())]), loaded);
        assert!(!format!("{settings:?}").contains("s3cret"));
    }

    #[test]
    fn every_setting_that_can_change_is_one() {
        let shown = include_str!("../../fixtures/configs/valid/gateway.yaml");
        for path in AT_ONCE {
            let key = path.rsplit('.').next().unwrap();
            assert!(shown.contains(&format!("{key}:")), "{path}");
        }
    }
}
