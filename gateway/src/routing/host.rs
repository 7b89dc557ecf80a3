//! Host routing: one port, and the name that a client asks for in the TLS handshake (SNI, RFC 6066) says which broker.
//!
//! `broker-<id>.<virtual cluster>.<domain>` is a broker, `<virtual cluster>.<domain>` a bootstrap address. A virtual cluster
//! whose name can't be part of a host name does without: `broker-<id>.<domain>` and `<domain>`, as identities decide alone.

use std::sync::Arc;

use super::{ANY_BROKER, Dialled};

const BROKER: &str = "broker-";
/// The longest part of a host name between dots (RFC 1035).
const LONGEST_LABEL: usize = 63;

/// The host names below one domain.
#[derive(Debug, Clone)]
pub struct Hosts {
    /// In lower case.
    domain: String,
    port: u16,
}

impl Hosts {
    /// The host names below `domain`, all at one port.
    pub fn new(domain: &str, port: u16) -> Self {
        Self { domain: normal(domain), port }
    }

    /// What a host name stands for; `None` for one that is not of the domain. Case and a final dot make no difference.
    pub fn dialled(&self, host: &str) -> Option<Dialled> {
        let host = normal(host);
        let below = match host.strip_suffix(self.domain.as_str())? {
            "" => return Some(Dialled::broker(ANY_BROKER)),
            below => below.strip_suffix('.').filter(|below| !below.is_empty())?,
        };
        let (first, rest) = below.split_once('.').map_or((below, None), |(first, rest)| (first, Some(rest)));
        Some(match (broker(first), rest) {
            (Some(id), rest) => Dialled { broker: id, virtual_cluster: rest.map(Arc::from) },
            (None, _) => Dialled { broker: ANY_BROKER, virtual_cluster: Some(below.into()) },
        })
    }

    /// The host and port that stand for a broker.
    pub fn address(&self, virtual_cluster: &str, broker: i32) -> Option<(String, u16)> {
        if broker < 0 {
            return None;
        }
        Some((format!("{BROKER}{broker}.{}", self.below(virtual_cluster)), self.port))
    }

    /// The address to give to clients of a virtual cluster first.
    pub fn bootstrap(&self, virtual_cluster: &str) -> String {
        format!("{}:{}", self.below(virtual_cluster), self.port)
    }

    fn below(&self, virtual_cluster: &str) -> String {
        let name = virtual_cluster.to_ascii_lowercase();
        // A name that reads as a broker's would be one.
        if name.split('.').all(is_label) && broker(name.split('.').next().unwrap_or_default()).is_none() {
            format!("{name}.{}", self.domain)
        } else {
            self.domain.clone()
        }
    }
}

fn normal(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

fn broker(label: &str) -> Option<i32> {
    let digits = label.strip_prefix(BROKER)?;
    // One way to write each: clients compare the names that they are told.
    let plain = digits == "0" || digits.starts_with(|first: char| matches!(first, '1'..='9'));
    if plain && digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

/// Java takes no other part of a host name for SNI: no underscore, no hyphen at either end.
fn is_label(label: &str) -> bool {
    (1..=LONGEST_LABEL).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialled(host: &str) -> Option<(i32, Option<String>)> {
        let dialled = Hosts::new("GW.Example.com", 9092).dialled(host)?;
        Some((dialled.broker, dialled.virtual_cluster.map(|name| name.to_string())))
    }

    #[test]
    fn host_names_stand_for_brokers_and_virtual_clusters() {
        let cluster = |name: &str| Some(name.to_owned());
        assert_eq!(dialled("broker-3.team-a.gw.example.com"), Some((3, cluster("team-a"))));
        assert_eq!(dialled("BROKER-300.Team-A.GW.example.COM."), Some((300, cluster("team-a"))));
        assert_eq!(dialled("broker-3.team.a.gw.example.com"), Some((3, cluster("team.a"))));
        assert_eq!(dialled("team-a.gw.example.com"), Some((ANY_BROKER, cluster("team-a"))));
        assert_eq!(dialled("gw.example.com"), Some((ANY_BROKER, None)));
        assert_eq!(dialled("broker-3.gw.example.com"), Some((3, None)));
        for id in ["-1", "x", "03", "+3", "4294967296", ""] {
            let name = format!("broker-{id}");
            assert_eq!(dialled(&format!("{name}.gw.example.com")), Some((ANY_BROKER, Some(name))), "no broker's name");
        }
    }

    #[test]
    fn foreign_host_names_stand_for_nothing() {
        for host in
            ["", ".", "example.com", "xgw.example.com", ".gw.example.com", "gw.example.com.evil.org", "127.0.0.1"]
        {
            assert_eq!(dialled(host), None, "{host}");
        }
    }

    #[test]
    fn every_address_that_is_told_leads_back() {
        let hosts = Hosts::new("gw.example.com.", 9092);
        for name in ["team-a", "Team.B", "passthrough"] {
            let (host, port) = hosts.address(name, 7).unwrap();
            assert_eq!(port, 9092);
            let back = hosts.dialled(&host).unwrap();
            assert!(back.broker == 7 && back.serves(name) && back.virtual_cluster.is_some(), "{host}");
            assert!(!back.serves("other"));
            assert_eq!(hosts.bootstrap(name), format!("{}.gw.example.com:9092", name.to_lowercase()));
        }
        for name in ["my_team", "-x", "a..b", "broker-7", "broker-7.x"] {
            let (host, _) = hosts.address(name, 7).unwrap();
            assert_eq!(host, "broker-7.gw.example.com");
            assert!(hosts.dialled(&host).unwrap().serves(name), "the identity decides alone");
        }
        assert_eq!(hosts.address("a", -1), None);
    }
}
