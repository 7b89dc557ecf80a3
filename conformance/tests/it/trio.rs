//! Three Kafka brokers, each in a rack of its own, in containers that talk among themselves over a network of their own.

use std::collections::BTreeMap;
use std::process::Command;
use std::thread;
use std::time::Duration;

use conformance::gateways::free_ports;
use testcontainers::core::{IntoContainerPort as _, WaitFor};
use testcontainers::runners::SyncRunner as _;
use testcontainers::{Container, GenericImage, ImageExt as _};

use super::broker;
use super::needs;

const IDS: [usize; 3] = [1, 2, 3];

/// Fields are dropped in this order: a network goes when nothing is in it.
pub(crate) struct Trio {
    _containers: Vec<Container<GenericImage>>,
    _network: Network,
    /// All three, separated by commas.
    pub(crate) addresses: String,
}

struct Network(String);

impl Drop for Network {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["network", "rm", &self.0]).output();
    }
}

impl Trio {
    pub(crate) fn start() -> Self {
        // Chosen here and not by Docker, so that each can be told its own.
        let ports = IDS.map(|_| free_ports(1).unwrap());
        let name = format!("anabranch-trio-{}", ports[0]);
        let made = Command::new("docker").args(["network", "create", &name]).output().unwrap();
        assert!(made.status.success(), "docker network create: {}", String::from_utf8_lossy(&made.stderr));
        let network = Network(name.clone());
        // None of them is up before two are.
        let containers = thread::scope(|scope| {
            let starting = IDS.map(|id| {
                let (name, port) = (name.as_str(), ports[id - 1]);
                scope.spawn(move || start(id, name, port))
            });
            starting.into_iter().map(|one| one.join().expect("a broker's container starts")).collect()
        });
        let addresses = ports.map(|port| format!("127.0.0.1:{port}")).join(",");
        Self { _containers: containers, _network: network, addresses }
    }
}

fn start(id: usize, network: &str, port: u16) -> Container<GenericImage> {
    let image = needs::image();
    let (name, tag) = image.rsplit_once(':').unwrap_or((&image, "latest"));
    let own = |id: usize| format!("{network}-{id}");
    let mut settings: BTreeMap<&str, String> = broker::settings(&format!("127.0.0.1:{port}")).into_iter().collect();
    settings.extend([
        ("KAFKA_NODE_ID", id.to_string()),
        // An image may bring a folder that was laid out for the first.
        ("KAFKA_LOG_DIRS", format!("/tmp/kafka-{id}")),
        ("KAFKA_BROKER_RACK", format!("rack-{id}")),
        ("KAFKA_ADVERTISED_LISTENERS", format!("PLAINTEXT://127.0.0.1:{port},BROKER://{}:9094", own(id))),
        ("KAFKA_CONTROLLER_QUORUM_VOTERS", IDS.map(|id| format!("{id}@{}:9093", own(id))).join(",")),
    ]);
    let mut request = GenericImage::new(name, tag)
        .with_wait_for(WaitFor::message_on_either_std("Kafka Server started"))
        .with_mapped_port(port, 9092.tcp())
        .with_network(network)
        .with_container_name(own(id))
        .with_startup_timeout(Duration::from_secs(120));
    for (key, value) in settings {
        request = request.with_env_var(key, value);
    }
    request.start().expect("the broker's container starts")
}
