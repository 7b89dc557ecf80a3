//! Port routing: one port per broker.

use crate::config::PortRouting;

/// The ports of the brokers. A port whose broker does not exist serves as a bootstrap address.
#[derive(Debug, Clone)]
pub struct Ports {
    host: String,
    start: u16,
    count: u16,
    advertised_start: u16,
    min_broker_id: i32,
}

impl Ports {
    /// The ports that the settings ask for, on a host that clients reach.
    pub fn new(host: &str, routing: &PortRouting) -> Self {
        let PortRouting { start, count, advertised_start, min_broker_id } = *routing;
        Self { host: host.to_owned(), start, count, advertised_start, min_broker_id }
    }

    /// The broker that a port stands for, whether it exists or not.
    pub fn broker(&self, port: u16) -> i32 {
        self.min_broker_id.saturating_add(i32::from(port) - i32::from(self.start))
    }

    /// The address that stands for a broker; `None` where no port does.
    pub fn address(&self, broker: i32) -> Option<(&str, u16)> {
        let offset =
            u16::try_from(broker.checked_sub(self.min_broker_id)?).ok().filter(|offset| *offset < self.count)?;
        Some((&self.host, self.advertised_start.checked_add(offset)?))
    }

    /// The address to give to clients first.
    pub fn bootstrap(&self) -> String {
        format!("{}:{}", self.host, self.advertised_start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_brokers_stand_for_each_other_within_the_range() {
        let routing = PortRouting { start: 7000, count: 3, advertised_start: 8000, min_broker_id: 1 };
        let ports = Ports::new("h", &routing);
        assert_eq!(ports.address(1), Some(("h", 8000)));
        assert_eq!(ports.address(3), Some(("h", 8002)));
        assert_eq!((ports.address(0), ports.address(4), ports.address(i32::MIN)), (None, None, None));
        assert_eq!([7000, 7001, 7002].map(|port| ports.broker(port)), [1, 2, 3]);
    }
}
