//! Where the lines go. Each sink has a chain of its own, so that what one could not take breaks no other's.

mod file;
mod stdout;
mod topic;

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::chain::{Chain, Hasher};
use super::event::{Action, Event};
use super::record::{record, uuid};
use crate::config;
use crate::observe::metrics::Metrics;
use crate::upstream::cluster::Cluster;
use crate::upstream::topic_log::LogError;

/// So many lines wait for a sink that does not take any: a few megabytes.
const WAITING: usize = 10_000;
/// So many lines are written at a time.
const AT_ONCE: usize = 500;
/// After a failure the next attempt waits this long, then twice as long, and so on.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Why lines could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The file can't be read or written.
    #[error("audit file {path}: {source}")]
    File {
        /// As it was set.
        path: String,
        /// What happened.
        source: std::io::Error,
    },
    /// Kafka did not take them.
    #[error(transparent)]
    Topic(LogError),
    /// The standard output is closed.
    #[error("standard output: {0}")]
    Stdout(std::io::Error),
}

/// A place for lines.
#[derive(Debug)]
enum Sink {
    File(file::FileSink),
    Stdout(stdout::StdoutSink),
    Topic(Box<topic::TopicSink>),
}

impl Sink {
    fn name(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Stdout(_) => "stdout",
            Self::Topic(_) => "topic",
        }
    }

    /// After SIGHUP: whoever renamed the file is done.
    async fn reopen(&mut self) {
        if let Self::File(file) = self
            && let Err(error) = file.reopen().await
        {
            tracing::warn!(%error, "the audit file could not be opened anew; trying again at the next event");
        }
    }

    /// Keeps lines, all or none; after an error the same ones may be given again.
    async fn append(&mut self, lines: &[String]) -> Result<(), SinkError> {
        match self {
            Self::File(file) => file.append(lines).await,
            Self::Stdout(stdout) => stdout.append(lines).await,
            Self::Topic(topic) => topic.append(lines).await,
        }
    }
}

/// A sink that is ready, with its chain.
#[derive(Debug)]
pub(super) struct Ready {
    sink: Sink,
    chain: Chain,
    because: &'static str,
}

/// Opens what is set.
///
/// # Errors
/// [`SinkError`]: a gateway that was told to keep a record does not run without.
pub(super) async fn open(
    settings: &config::Audit,
    node: &str,
    cluster: &Arc<Cluster>,
) -> Result<Vec<Ready>, SinkError> {
    let hasher = || Hasher::new(settings.chain_key.as_ref().map(|key| key.reveal().as_bytes()));
    let fresh = |sink| Ready { sink, chain: Chain::new(hasher(), uuid()), because: "the gateway started" };
    let mut ready = Vec::new();
    if let Some(settings) = &settings.file {
        let (file, last) = file::FileSink::open(settings).await?;
        ready.push(match last.map(|line| behind(&line, hasher())) {
            None => fresh(Sink::File(file)),
            Some(Ok(chain)) => Ready {
                sink: Sink::File(file),
                chain,
                because: "the gateway started and goes on behind the last line of the file",
            },
            Some(Err(because)) => Ready { because, ..fresh(Sink::File(file)) },
        });
    }
    if settings.stdout {
        ready.push(fresh(Sink::Stdout(stdout::StdoutSink)));
    }
    if let Some(settings) = &settings.topic {
        let topic = topic::TopicSink::new(settings, Arc::clone(cluster), node);
        ready.push(fresh(Sink::Topic(Box::new(topic))));
    }
    Ok(ready)
}

/// The chain whose last line this is, or why there is none to go on with.
fn behind(line: &[u8], hasher: Hasher) -> Result<Chain, &'static str> {
    const NOT_WHOLE: &str = "the last line of the file is not one of a chain: it may be cut off";
    const OTHER: &str =
        "the last line of the file does not have the hash that it claims: it was changed, or the key was";
    let (canonical, hash) = super::chain::split(line).ok_or(NOT_WHOLE)?;
    let read: serde_json::Value = serde_json::from_slice(line).map_err(|_| NOT_WHOLE)?;
    let (id, sequence) = (read["chain"]["id"].as_str(), read["chain"]["sequence"].as_u64());
    let (Some(id), Some(sequence)) = (id, sequence) else { return Err(NOT_WHOLE) };
    if hasher.hash(&canonical) != hash {
        return Err(OTHER);
    }
    Ok(Chain::behind(hasher, id.to_owned(), sequence, hash.to_owned()))
}

impl Ready {
    pub(super) fn name(&self) -> &'static str {
        self.sink.name()
    }

    /// Where lines for it go in.
    pub(super) fn queue() -> (mpsc::Sender<Arc<str>>, mpsc::Receiver<Arc<str>>) {
        mpsc::channel(WAITING)
    }

    /// Chains and keeps records until there are no more.
    pub(super) async fn keep(self, node: String, mut records: mpsc::Receiver<Arc<str>>, metrics: Arc<Metrics>) {
        let Self { mut sink, mut chain, because } = self;
        let started = Event::new(Action::ChainStarted { because: because.into() });
        let mut lines = vec![chain.seal(&record(&started, 1, &node))];
        let mut taken = Vec::new();
        let mut hangups = Hangups::of(&sink);
        loop {
            insist(&mut sink, &lines, &metrics).await;
            lines.clear();
            tokio::select! {
                count = records.recv_many(&mut taken, AT_ONCE) => if count == 0 { return },
                () = hangups.next() => sink.reopen().await,
            }
            lines.extend(taken.drain(..).map(|record| chain.seal(&record)));
        }
    }
}

/// SIGHUP, for a sink that it means something to.
struct Hangups(Option<Signal>);

impl Hangups {
    fn of(sink: &Sink) -> Self {
        let listen =
            || signal(SignalKind::hangup()).inspect_err(|error| tracing::warn!(%error, "cannot wait for SIGHUP"));
        Self(matches!(sink, Sink::File(_)).then(listen).and_then(Result::ok))
    }

    async fn next(&mut self) {
        match &mut self.0 {
            Some(signal) => drop(signal.recv().await),
            None => std::future::pending().await,
        }
    }
}

/// Tries until the lines are kept. Meanwhile others wait in the queue, and what finds no room there is counted.
async fn insist(sink: &mut Sink, lines: &[String], metrics: &Metrics) {
    if lines.is_empty() {
        return;
    }
    let mut pause = FIRST_PAUSE;
    while let Err(error) = sink.append(lines).await {
        if pause == FIRST_PAUSE {
            tracing::warn!(%error, "audit events can't be kept at present; trying again until they can");
        }
        metrics.audit.sink_failed(sink.name());
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    if pause > FIRST_PAUSE {
        tracing::info!(sink = sink.name(), "audit events are kept again");
    }
    metrics.audit.kept(sink.name(), lines.len());
}
