//! Port routing: one port per broker.

use crate::config::Clients;

/// The ports of the brokers. A port whose broker does not exist serves as a bootstrap address.
#[derive(Debug, Clone)]
pub struct Ports {
    host: String,
    start: u16,
    count: u16,
    min_broker_id: i32,
}

impl Ports {
    /// The ports that the settings ask for.
    pub fn new(clients: &Clients) -> Self {
        Self {
            host: clients.advertised_host.clone(),
            start: clients.port_start,
            count: clients.port_count,
            min_broker_id: clients.min_broker_id,
        }
    }

    /// All ports.
    pub fn all(&self) -> impl Iterator<Item = u16> + use<> {
        self.start..self.start.saturating_add(self.count)
    }

    /// The broker that a port stands for, whether it exists or not.
    pub fn broker(&self, port: u16) -> i32 {
        self.min_broker_id.saturating_add(i32::from(port) - i32::from(self.start))
    }

    /// The address that stands for a broker; `None` where no port does.
    pub fn address(&self, broker: i32) -> Option<(&str, u16)> {
        let offset =
            u16::try_from(broker.checked_sub(self.min_broker_id)?).ok().filter(|offset| *offset < self.count)?;
        Some((&self.host, self.start.checked_add(offset)?))
    }

    /// The address to give to clients first.
    pub fn bootstrap(&self) -> String {
        format!("{}:{}", self.host, self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_brokers_stand_for_each_other_within_the_range() {
        let ports = Ports { host: "h".into(), start: 7000, count: 3, min_broker_id: 1 };
        assert_eq!(ports.address(1), Some(("h", 7000)));
        assert_eq!(ports.address(3), Some(("h", 7002)));
        assert_eq!((ports.address(0), ports.address(4), ports.address(i32::MIN)), (None, None, None));
        assert_eq!(ports.all().map(|p| ports.broker(p)).collect::<Vec<_>>(), [1, 2, 3]);
    }
}
