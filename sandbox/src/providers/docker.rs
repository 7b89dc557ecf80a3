//! Apache Kafka in a container that outlives the command.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use testcontainers::bollard::Docker;
use testcontainers::bollard::query_parameters::{InspectContainerOptions, RemoveContainerOptions};
use testcontainers::core::IntoContainerPort as _;
use testcontainers::runners::SyncRunner as _;
use testcontainers::{ContainerRequest, GenericImage, ImageExt as _};

use super::Remember;
use crate::context::Context;
use crate::error::{Failure, Kind, Result};
use crate::kafka::{Target, probe};
use crate::stack::ports;
use crate::state::Broker;

const DEFAULT_IMAGE: &str = "apache/kafka:4.3.0";
const IMAGE_VARIABLE: &str = "SANDBOX_KAFKA_IMAGE";
const USUAL_PORT: u16 = 9092;
const CONTAINER_PORT: u16 = 9092;
const START_PATIENCE: Duration = Duration::from_secs(90);
const CALL_PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);

/// Starts a container and waits until the broker in it answers. Its data ends with it.
pub fn start(context: &Context, port: Option<u16>, remember: Remember<'_>) -> Result<()> {
    let image = std::env::var(IMAGE_VARIABLE).unwrap_or_else(|_| DEFAULT_IMAGE.to_owned());
    let since = Instant::now();
    let port = match port {
        Some(port) if !ports::is_free(port) => {
            return Err(ports::taken(port, "Kafka").hint("end that, or leave --kafka-port out to get a free one"));
        }
        Some(port) => port,
        None => ports::choose(USUAL_PORT, 1, &[])?,
    };
    let container = request(&image, port).start().map_err(|error| {
        Failure::new(Kind::Unreachable, format!("Docker cannot start {image}: {error}"))
            .hint(format!("is the daemon running, and can it get the image? {IMAGE_VARIABLE} names another one"))
    })?;
    let id = container.id().to_owned();
    remember(Broker::Docker { container: id.clone(), image: image.clone(), port })?;
    // Dropping it would remove the container, and it shall stay until `local stop`.
    std::mem::forget(container);
    wait(&id, port)?;
    let short = id.get(..12).unwrap_or(&id);
    context.console.step("kafka", since, &format!("{image} on port {port}, container {short}"));
    Ok(())
}

/// Whether a Docker daemon answers here.
pub fn answers() -> bool {
    call(async |docker| docker.ping().await.map(|_| ())).is_ok()
}

pub fn is_running(container: &str) -> bool {
    let inspected = call(async |docker| docker.inspect_container(container, None::<InspectContainerOptions>).await);
    inspected.is_ok_and(|inspected| inspected.state.and_then(|state| state.running).unwrap_or_default())
}

/// Removes the container with its data. One that is gone is no failure.
pub fn remove(container: &str) -> Result<()> {
    use testcontainers::bollard::errors::Error;
    let options = RemoveContainerOptions { force: true, v: true, ..RemoveContainerOptions::default() };
    match call(async |docker| docker.remove_container(container, Some(options)).await) {
        Ok(()) | Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
        Err(error) => Err(Failure::new(Kind::Unreachable, format!("cannot remove the container {container}: {error}"))
            .hint("is the Docker daemon running?")),
    }
}

fn request(image: &str, port: u16) -> ContainerRequest<GenericImage> {
    let (repository, tag) = split(image);
    let mut request = GenericImage::new(repository, tag).with_mapped_port(port, CONTAINER_PORT.tcp());
    for (variable, value) in environment(port) {
        request = request.with_env_var(variable, value);
    }
    // Whoever reaches the broker itself is in no sandbox: it is for this machine alone.
    request.with_host_config_modifier(|host| {
        for binding in host.port_bindings.iter_mut().flat_map(HashMap::values_mut).flatten().flatten() {
            binding.host_ip = Some("127.0.0.1".to_owned());
        }
    })
}

/// The official image's variables; together they replace its configuration. The brokers' own listener stands beside
/// the published one, which cannot be reached from inside the container.
fn environment(port: u16) -> [(&'static str, String); 16] {
    [
        ("KAFKA_NODE_ID", "1".to_owned()),
        ("KAFKA_PROCESS_ROLES", "broker,controller".to_owned()),
        ("KAFKA_CONTROLLER_QUORUM_VOTERS", "1@localhost:9093".to_owned()),
        ("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER".to_owned()),
        ("KAFKA_LISTENERS", format!("PLAINTEXT://:{CONTAINER_PORT},BROKER://:9094,CONTROLLER://:9093")),
        ("KAFKA_ADVERTISED_LISTENERS", format!("PLAINTEXT://127.0.0.1:{port},BROKER://localhost:9094")),
        ("KAFKA_INTER_BROKER_LISTENER_NAME", "BROKER".to_owned()),
        (
            "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP",
            "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,BROKER:PLAINTEXT".to_owned(),
        ),
        ("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "1".to_owned()),
        ("KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS", "4".to_owned()),
        ("KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "1".to_owned()),
        ("KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", "1".to_owned()),
        ("KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR", "1".to_owned()),
        ("KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR", "1".to_owned()),
        ("KAFKA_SHARE_COORDINATOR_STATE_TOPIC_NUM_PARTITIONS", "4".to_owned()),
        ("KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", "0".to_owned()),
    ]
}

fn wait(container: &str, port: u16) -> Result<()> {
    let target = Target::open(format!("127.0.0.1:{port}"));
    let deadline = Instant::now() + START_PATIENCE;
    loop {
        match probe::every_broker(&target, Instant::now() + Duration::from_secs(2)) {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > deadline || !is_running(container) => {
                return Err(Failure::new(Kind::Unreachable, format!("Kafka did not start in its container: {error}"))
                    .hint(format!("`docker logs {container}` tells why; `sandbox local stop` removes the container")));
            }
            Err(_) => thread::sleep(POLL),
        }
    }
}

/// Repository and tag; a colon before a slash belongs to a registry's port.
fn split(image: &str) -> (&str, &str) {
    match image.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (image, "latest"),
    }
}

/// One call to the daemon, with a deadline.
fn call<T>(
    run: impl AsyncFnOnce(&Docker) -> std::result::Result<T, testcontainers::bollard::errors::Error>,
) -> std::result::Result<T, testcontainers::bollard::errors::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let docker = Docker::connect_with_defaults()?;
        tokio::time::timeout(CALL_PATIENCE, run(&docker))
            .await
            .unwrap_or(Err(testcontainers::bollard::errors::Error::RequestTimeoutError))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The broker makes these topics when they are first needed, by default on three brokers, of which there is one.
    #[test]
    fn internal_topics_are_for_one_broker() {
        for topic in ["OFFSETS_TOPIC", "TRANSACTION_STATE_LOG", "SHARE_COORDINATOR_STATE_TOPIC"] {
            let name = format!("KAFKA_{topic}_REPLICATION_FACTOR");
            assert!(environment(9092).iter().any(|(variable, value)| *variable == name && value == "1"), "{name}");
        }
    }

    #[test]
    fn images_with_and_without_a_tag() {
        assert_eq!(split("apache/kafka:4.3.0"), ("apache/kafka", "4.3.0"));
        assert_eq!(split("registry:5000/kafka"), ("registry:5000/kafka", "latest"));
        assert_eq!(split("registry:5000/kafka:1"), ("registry:5000/kafka", "1"));
    }
}
