//! Apache Kafka itself as a child JVM: one node, broker and controller in one.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::Remember;
use super::jars;
use super::jdk::{self, Jdk};
use crate::context::Context;
use crate::error::{Failure, Kind, Result};
use crate::home::{self, Home};
use crate::kafka::{KafkaError, Target, cluster, probe};
use crate::stack::ports;
use crate::stack::process::{self, Process};
use crate::state::Broker;

/// Where people and examples look for a Kafka.
const USUAL_PORT: u16 = 9092;
const START_PATIENCE: Duration = Duration::from_secs(90);
const STOP_PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(25);
const LOG_LINES: usize = 15;
const ATTEMPTS: u32 = 3;
const CLUSTER_ID: &str = "cluster.id=";

/// What `kafka-storage format` writes for this version: the levels of its features, and nothing of a cluster's own.
/// With it and `meta.properties` the storage is laid out without starting another JVM.
const BOOTSTRAP_CHECKPOINT: &[u8] = include_bytes!("bootstrap.checkpoint");

/// Options of the JVM: it starts quickly and stays small, for a laptop rather than for throughput.
const JVM_OPTIONS: [&str; 9] = [
    "-Xms256m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    // What it has to say about class archives would hide the broker's own last lines.
    "-Xlog:disable",
    "-Xlog:all=error:stderr",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss,SSS",
];

#[derive(Debug, Clone, Copy)]
struct Ports {
    client: u16,
    internal: u16,
    controller: u16,
}

impl Ports {
    fn are_free(self) -> bool {
        [self.client, self.internal, self.controller].into_iter().all(ports::is_free)
    }
}

/// Starts the broker on the data of last time, if any, and waits until it answers.
pub fn start(context: &Context, port: Option<u16>, before: Option<&Broker>, remember: Remember<'_>) -> Result<()> {
    let jdk = jdk::find()?;
    // Before the download, which would be for nothing if a port is taken.
    let mut ports = choose_ports(context, port, before)?;
    let jars = jars::install(context)?;
    let mut attempt = 1;
    loop {
        match start_on(context, &jdk, &jars, ports, remember) {
            // Someone may take a port between our look and the broker's; then there are others.
            Err(_) if port.is_none() && attempt < ATTEMPTS && !ports.are_free() => {
                ports = choose_ports(context, port, before)?;
                attempt += 1;
            }
            result => return result,
        }
    }
}

fn start_on(context: &Context, jdk: &Jdk, jars: &[PathBuf], ports: Ports, remember: Remember<'_>) -> Result<()> {
    let since = Instant::now();
    let folder = context.home.broker();
    let cluster_id = lay_out(&folder)?;
    let config = folder.join("server.properties");
    home::write_private(&config, &properties(&folder.join("data"), ports))?;
    let archive = Archive::of(&context.home, jdk);
    let process = launch(context, jdk, jars, &config, &archive)?;
    remember(Broker::Local {
        process: process.clone(),
        port: ports.client,
        internal_port: ports.internal,
        controller_port: ports.controller,
    })?;
    wait(context, &process, ports.client, &cluster_id)?;
    let detail = format!("Apache Kafka {} on port {}, pid {}", jars::VERSION, ports.client, process.pid);
    context.console.step("kafka", since, &detail);
    Ok(())
}

/// Stops the broker. A clean end leaves an archive of its classes, with which it starts in half the time.
pub fn stop(home: &Home, process: &Process) -> Result<bool> {
    let by_itself = process.stop(STOP_PATIENCE)?;
    if by_itself {
        Archive::keep(home);
    }
    Ok(by_itself)
}

fn choose_ports(context: &Context, wanted: Option<u16>, before: Option<&Broker>) -> Result<Ports> {
    let last = match before {
        Some(Broker::Local { port, internal_port, controller_port, .. }) => {
            Some(Ports { client: *port, internal: *internal_port, controller: *controller_port })
        }
        _ => None,
    };
    let client = match wanted {
        Some(port) if ports::is_free(port) => port,
        Some(port) => {
            return Err(ports::taken(port, "Kafka").hint("end that, or leave --kafka-port out to get a free one"));
        }
        None => {
            let preferred = last.map_or(USUAL_PORT, |last| last.client);
            let chosen = ports::choose(preferred, 1, &[])?;
            if chosen != preferred {
                let by = ports::taken(preferred, "Kafka").message;
                context.console.note(&format!("{by}; using port {chosen}"));
            }
            chosen
        }
    };
    // These two serve the broker alone, so any will do, but the last ones again where they are free.
    let internal = last.map_or(client.saturating_add(2), |last| last.internal);
    let internal = ports::choose(internal, 1, &[client])?;
    let controller = last.map_or(client.saturating_add(1), |last| last.controller);
    let controller = ports::choose(controller, 1, &[client, internal])?;
    Ok(Ports { client, internal, controller })
}

/// Writes what `kafka-storage format` would; storage that was used before is left as it is. Returns the cluster's id.
fn lay_out(folder: &Path) -> Result<String> {
    let data = folder.join("data");
    home::private_dir(&data)?;
    let meta = data.join("meta.properties");
    if let Ok(text) = fs::read_to_string(&meta) {
        let id = text.lines().find_map(|line| line.strip_prefix(CLUSTER_ID));
        return id.map(str::to_owned).ok_or_else(|| {
            Failure::new(Kind::Internal, format!("{} does not tell the cluster's id", meta.display()))
                .hint("`sandbox local stop --purge` deletes the broker's data to begin anew")
        });
    }
    let checkpoint = data.join("bootstrap.checkpoint");
    fs::write(&checkpoint, BOOTSTRAP_CHECKPOINT).map_err(|error| Failure::file("write", &checkpoint, &error))?;
    let id = uuid()?;
    // Last, because its presence says that the storage is complete.
    home::write_private(&meta, &format!("version=1\n{CLUSTER_ID}{id}\nnode.id=1\ndirectory.id={}\n", uuid()?))?;
    Ok(id)
}

/// A random id as Kafka writes them: 16 bytes in base64.
fn uuid() -> Result<String> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(|_| Failure::new(Kind::Internal, "the system gives no random numbers"))?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

/// Kafka's defaults, but for one node. The brokers' own listener stands beside the one for clients: with clients'
/// address alone everything seems to work, until a transaction hangs where that address leads elsewhere.
fn properties(data: &Path, ports: Ports) -> String {
    let Ports { client, internal, controller } = ports;
    let listeners = format!("PLAINTEXT://127.0.0.1:{client},BROKER://127.0.0.1:{internal}");
    // A backslash begins an escape in a properties file.
    let data = data.display().to_string().replace('\\', "\\\\");
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners={listeners},CONTROLLER://127.0.0.1:{controller}
advertised.listeners={listeners}
controller.listener.names=CONTROLLER
inter.broker.listener.name=BROKER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,BROKER:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=true
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=2097152
"
    )
}

fn launch(context: &Context, jdk: &Jdk, jars: &[PathBuf], config: &Path, archive: &Archive) -> Result<Process> {
    let class_path = jars.iter().map(|jar| jar.display().to_string()).collect::<Vec<_>>().join(":");
    let (java, config) = (jdk.java.display().to_string(), config.display().to_string());
    let archive = archive.option();
    let mut command = vec![java.as_str()];
    command.extend(JVM_OPTIONS);
    command.extend([archive.as_str(), "-cp", &class_path, "kafka.Kafka", &config]);
    process::start_detached(&context.launcher, &command, &context.home.broker_log())
}

/// Waits for the broker itself: another Kafka may have taken the port first, and would answer as well.
fn wait(context: &Context, process: &Process, port: u16, cluster_id: &str) -> Result<()> {
    let target = Target::open(format!("127.0.0.1:{port}"));
    let log = context.home.broker_log();
    let told = |what: String| {
        Failure::new(Kind::Unreachable, format!("{what}; its last lines:\n{}", process::last_lines(&log, LOG_LINES)))
            .hint(format!("the whole log is {}", log.display()))
    };
    let deadline = Instant::now() + START_PATIENCE;
    loop {
        if !process.is_alive() {
            return Err(told("Kafka did not start".to_owned()));
        }
        match answers(&target, cluster_id) {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > deadline => {
                process.stop(STOP_PATIENCE)?;
                return Err(told(format!("Kafka was not ready after {START_PATIENCE:?} ({error})")));
            }
            Err(_) => thread::sleep(POLL),
        }
    }
}

fn answers(target: &Target, cluster_id: &str) -> std::result::Result<(), KafkaError> {
    let deadline = Instant::now() + Duration::from_secs(2);
    match cluster::describe(target, deadline)?.id {
        Some(id) if id == cluster_id => probe::every_broker(target, deadline).map(|_| ()),
        _ => Err(KafkaError::Unexpected { what: format!("another Kafka answers at {}", target.bootstrap) }),
    }
}

/// An archive of loaded classes that the JVM maps instead of loading them anew.
#[derive(Debug)]
struct Archive {
    kept: PathBuf,
    fresh: PathBuf,
}

impl Archive {
    /// One for each JDK, because a JVM takes only its own.
    fn of(home: &Home, jdk: &Jdk) -> Self {
        let version = jdk.version.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-");
        let name = format!("classes-{version}.jsa");
        // A JVM that was killed may have left a part of one.
        for stale in fresh_archives(home) {
            let _ = fs::remove_file(stale);
        }
        Self { kept: jars::folder(&home.cache).join(&name), fresh: home.state.join(&name) }
    }

    fn option(&self) -> String {
        if self.kept.exists() {
            format!("-XX:SharedArchiveFile={}", self.kept.display())
        } else {
            format!("-XX:ArchiveClassesAtExit={}", self.fresh.display())
        }
    }

    /// Moves what a JVM wrote at its clean end to where the next one finds it; without it the next is only slower.
    fn keep(home: &Home) {
        for fresh in fresh_archives(home) {
            let Some(name) = fresh.file_name() else { continue };
            let place = jars::folder(&home.cache).join(name);
            let beside = place.with_extension(format!("{}.part", std::process::id()));
            let _ = fs::copy(&fresh, &beside).and_then(|_| fs::rename(&beside, &place));
            let _ = fs::remove_file(&fresh);
        }
    }
}

fn fresh_archives(home: &Home) -> Vec<PathBuf> {
    let entries = fs::read_dir(&home.state).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "jsa")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_talk_among_themselves_on_their_own_listener() {
        let text = properties(Path::new("/data"), Ports { client: 9092, internal: 9094, controller: 9093 });
        assert!(text.contains("\nadvertised.listeners=PLAINTEXT://127.0.0.1:9092,BROKER://127.0.0.1:9094\n"), "{text}");
        assert!(text.contains("\ninter.broker.listener.name=BROKER\n"));
        assert!(text.lines().all(|line| line.contains('=') && !line.starts_with(' ')), "{text}");
    }

    #[test]
    fn storage_is_laid_out_once() {
        let folder = std::env::temp_dir().join(format!("local-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let id = lay_out(&folder).unwrap();
        let first = fs::read_to_string(folder.join("data/meta.properties")).unwrap();
        assert_eq!(fs::read(folder.join("data/bootstrap.checkpoint")).unwrap(), BOOTSTRAP_CHECKPOINT);
        assert_eq!(lay_out(&folder).unwrap(), id);
        assert_eq!(fs::read_to_string(folder.join("data/meta.properties")).unwrap(), first);
        fs::remove_dir_all(folder).unwrap();
    }
}
