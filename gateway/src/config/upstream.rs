//! The physical cluster: where it is and how the gateway connects to it.

use super::Upstream;
use super::addresses::parse_list;
use super::reader::{Reader, text};
use super::settings::{Setting, setting};

pub(super) const SETTINGS: &[Setting] = &[
    setting("upstream.bootstrapServers", "KAFKA_BOOTSTRAP_SERVERS"),
    setting("upstream.securityProtocol", "KAFKA_SECURITY_PROTOCOL"),
];

/// `None` when there is no address; the reader knows.
pub(super) fn read(reader: &mut Reader) -> Option<Upstream> {
    let place = "upstream.bootstrapServers";
    reader.require(place, "is required: the host:port of a Kafka broker (or set KAFKA_BOOTSTRAP_SERVERS)");
    reader.choice("upstream.securityProtocol", &[("PLAINTEXT", ())]);
    let bootstrap_servers = reader.value(place, |value| parse_list(&text(value)?))?;
    Some(Upstream { bootstrap_servers })
}
