//! One Kafka in a container, on a port that stays the same when it is restarted.

use std::process::Command;
use std::time::Duration;

use conformance::gateways::free_ports;
use testcontainers::core::{IntoContainerPort as _, WaitFor};
use testcontainers::runners::SyncRunner as _;
use testcontainers::{Container, GenericImage, ImageExt as _};

pub(crate) struct Broker {
    container: Container<GenericImage>,
    pub(crate) address: String,
}

impl Broker {
    pub(crate) fn start() -> Self {
        Self::start_as(1)
    }

    /// The only broker of a cluster of its own, with this id.
    pub(crate) fn start_as(id: i32) -> Self {
        Self::start_with(id, &[])
    }

    /// The same with more settings, as its image takes them.
    pub(crate) fn start_with(id: i32, more: &[(&'static str, String)]) -> Self {
        let image = super::needs::image();
        let (name, tag) = image.rsplit_once(':').unwrap_or((&image, "latest"));
        // Chosen here and not by Docker, which would choose another one at a restart.
        let port = free_ports(1).unwrap();
        let address = format!("127.0.0.1:{port}");
        let mut request = GenericImage::new(name, tag)
            .with_wait_for(WaitFor::message_on_either_std("Kafka Server started"))
            .with_mapped_port(port, 9092.tcp())
            .with_startup_timeout(Duration::from_secs(90));
        let own = [
            ("KAFKA_NODE_ID", id.to_string()),
            ("KAFKA_CONTROLLER_QUORUM_VOTERS", format!("{id}@localhost:9093")),
            // What an image brings along on its disk is broker 1's.
            ("KAFKA_LOG_DIRS", if id == 1 { "/var/lib/kafka".to_owned() } else { format!("/tmp/kafka-{id}") }),
        ];
        for (key, value) in settings(&address).into_iter().chain(own).chain(more.iter().cloned()) {
            request = request.with_env_var(key, value);
        }
        let container = request.start().expect("the broker's container starts");
        Self { container, address }
    }

    /// Stops the broker and starts it again, as a rolling upgrade does.
    pub(crate) fn restart(&self) {
        self.docker(&["restart", "-t", "30"]);
    }

    /// Kills the broker in the middle of whatever it does, and starts it again.
    pub(crate) fn crash(&self) {
        self.docker(&["kill"]);
        self.docker(&["start"]);
    }

    /// Kills it in the middle of whatever it does.
    pub(crate) fn kill(&self) {
        self.docker(&["kill"]);
    }

    /// Starts it again, with what it has on its disk.
    pub(crate) fn start_again(&self) {
        self.docker(&["start"]);
    }

    /// Stops it for as long as `meanwhile` takes.
    pub(crate) fn stopped<T>(&self, meanwhile: impl FnOnce() -> T) -> T {
        self.docker(&["stop", "-t", "30"]);
        let done = meanwhile();
        self.docker(&["start"]);
        done
    }

    fn docker(&self, arguments: &[&str]) {
        let done = Command::new("docker").args(arguments).arg(self.container.id()).output().unwrap();
        assert!(done.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

/// All of them, because the official image forgets its defaults when one is given.
pub(crate) fn settings(address: &str) -> Vec<(&'static str, String)> {
    let advertised = format!("PLAINTEXT://{address},BROKER://localhost:9094");
    let mut settings = vec![("KAFKA_ADVERTISED_LISTENERS", advertised)];
    let fixed = [
        ("KAFKA_PROCESS_ROLES", "broker,controller"),
        ("KAFKA_LISTENERS", "PLAINTEXT://:9092,BROKER://:9094,CONTROLLER://:9093"),
        // Without a listener of its own the broker cannot reach itself, and transactions hang.
        ("KAFKA_INTER_BROKER_LISTENER_NAME", "BROKER"),
        ("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", "PLAINTEXT:PLAINTEXT,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT"),
        ("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER"),
        ("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "1"),
        ("KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS", "4"),
        ("KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "1"),
        ("KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", "1"),
        ("KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS", "4"),
        ("KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR", "1"),
        ("KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR", "1"),
        ("KAFKA_SHARE_COORDINATOR_STATE_TOPIC_NUM_PARTITIONS", "4"),
        ("KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", "0"),
        ("KAFKA_GROUP_STREAMS_INITIAL_REBALANCE_DELAY_MS", "0"),
        // A member hears of its assignment with its next heartbeat, which by default it sends after five seconds.
        ("KAFKA_GROUP_CONSUMER_HEARTBEAT_INTERVAL_MS", "500"),
        ("KAFKA_GROUP_CONSUMER_MIN_HEARTBEAT_INTERVAL_MS", "500"),
        ("KAFKA_GROUP_SHARE_HEARTBEAT_INTERVAL_MS", "500"),
        ("KAFKA_GROUP_SHARE_MIN_HEARTBEAT_INTERVAL_MS", "500"),
        ("KAFKA_GROUP_STREAMS_HEARTBEAT_INTERVAL_MS", "500"),
        ("KAFKA_GROUP_STREAMS_MIN_HEARTBEAT_INTERVAL_MS", "500"),
        // A name that is unknown must stay unknown after somebody asked for it.
        ("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false"),
    ];
    settings.extend(fixed.map(|(key, value)| (key, value.to_owned())));
    settings
}
