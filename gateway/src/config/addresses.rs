//! Addresses as Kafka's settings write them.

use std::fmt;
use std::str::FromStr;

/// `host:port`; an IPv6 host in brackets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    pub host: String,
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is not host:port");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(host) => host,
            None if host.contains([':', '[', ']']) => return Err(wrong()),
            None => host,
        };
        let port = port.parse::<u16>().map_err(|_| wrong())?;
        if host.is_empty()
            || port == 0
            || host.contains(|character: char| character.is_whitespace() || character == '/')
        {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

/// A list separated by commas, with at least one address.
pub(super) fn parse_list(text: &str) -> Result<Vec<HostPort>, String> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let addresses = parts.map(str::parse).collect::<Result<Vec<_>, _>>()?;
    if addresses.is_empty() { Err("holds no host:port".to_owned()) } else { Ok(addresses) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_prints() {
        for text in ["localhost:9092", "127.0.0.1:1", "[::1]:65535", "b-3.example.com:9198"] {
            assert_eq!(text.parse::<HostPort>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in ["", "localhost", ":9092", "host:0", "host:70000", "::1:9092", "a b:1", "kafka://h:1", "[::1:9"] {
            assert_eq!(text.parse::<HostPort>().unwrap_err(), format!("'{text}' is not host:port"));
        }
        assert_eq!(parse_list("a:1, b:2,").unwrap().len(), 2);
        assert_eq!(parse_list(" , ").unwrap_err(), "holds no host:port");
    }
}
