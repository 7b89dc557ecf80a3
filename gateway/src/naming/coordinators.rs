//! Which coordinators are not told, and why.

use super::Tenant;
use std::collections::BTreeMap;
use std::num::NonZeroU32;

/// No cluster has as many brokers; beyond it what was told is forgotten.
const MOST: usize = 1024;

/// Why an error stands in a coordinator's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    /// It has no address here, and will have none.
    NoPort,
    /// Its address may be another one than before. librdkafka looks at a coordinator's address only when it had none or the
    /// broker is another one: where nodes of the gateway leave, the broker stays, and it would go on dialling the node that is
    /// gone. This error makes it forget the address.
    Moved,
}

/// What clients of one session were told of since the nodes were what they are.
#[derive(Debug, Default)]
pub(super) struct Coordinators(BTreeMap<i32, NonZeroU32>);

impl Coordinators {
    /// Why the broker is not told as a coordinator this time; after nodes have left, once for each.
    pub(super) fn absent(&mut self, tenant: &Tenant, broker: i32) -> Option<Absent> {
        if broker < 0 {
            return None;
        }
        if tenant.addresses.of(broker).is_none() {
            return Some(Absent::NoPort);
        }
        let departure = tenant.addresses.departure()?;
        let told = &mut self.0;
        if told.len() >= MOST {
            told.clear();
        }
        (told.insert(broker, departure) != Some(departure)).then_some(Absent::Moved)
    }
}

#[cfg(test)]
mod tests {
    use super::super::prefix::Namespace;
    use super::super::{Addresses, topic_ids::TopicIds};
    use super::*;
    use std::borrow::Cow;
    use std::sync::Arc;

    struct Since(u32);

    impl Addresses for Since {
        fn of(&self, id: i32) -> Option<(Cow<'_, str>, u16)> {
            (id < 3).then_some(("gateway".into(), 1))
        }

        fn departure(&self) -> Option<NonZeroU32> {
            NonZeroU32::new(self.0)
        }
    }

    #[test]
    fn after_a_departure_each_coordinator_is_withheld_once() {
        let tenant = |departures| Tenant {
            namespace: Namespace::new(None),
            cluster_id: "c".into(),
            topic_ids: Arc::new(TopicIds::new(&[1; 16]).unwrap()),
            addresses: Arc::new(Since(departures)),
            fetch_sessions: Arc::default(),
        };
        let mut told = Coordinators::default();
        assert_eq!([1, 2, -1].map(|id| told.absent(&tenant(0), id)), [None; 3]);
        for departures in [1, 2] {
            assert_eq!(told.absent(&tenant(departures), 1), Some(Absent::Moved));
            assert_eq!(told.absent(&tenant(departures), 1), None);
            assert_eq!(told.absent(&tenant(departures), 2), Some(Absent::Moved));
            assert_eq!(told.absent(&tenant(departures), -1), None);
        }
        assert_eq!([1, 1].map(|_| told.absent(&tenant(2), 3)), [Some(Absent::NoPort); 2]);
    }
}
