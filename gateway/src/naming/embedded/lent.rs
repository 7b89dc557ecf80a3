//! The bytes of the consumer protocol where topics are lent, which may have several names.
//!
//! The broker has to read the physical name, or it lets committed offsets expire; a member has to read the name that it was
//! subscribed by. So an alias stands twice: by its virtual name behind the prefix and a slash, which is no topic to a broker, and
//! then by its physical one. On the way out the second one goes.

use super::{Direction, Embedded, TooLong};
use crate::naming::prefix::{NOT_IN_NAMES, Namespace};
use wire::read::{Cursor, Malformed};

/// As the walker does it, for the versions that there are; what follows stays.
pub(super) fn rewrite(
    namespace: &Namespace,
    kind: Embedded,
    direction: Direction,
    bytes: &[u8],
    growth: usize,
) -> Result<Option<Vec<u8>>, TooLong> {
    let Some((head, body)) = bytes.split_at_checked(2) else { return Ok(None) };
    let version = i16::from_be_bytes([head[0], head[1]]);
    if version < 0 {
        return Ok(None);
    }
    let limit = bytes.len().saturating_add(if direction == Direction::In { growth } else { bytes.len() });
    let mut rewriter = Rewriter { namespace, direction, from: Cursor::new(body), out: head.to_vec(), limit };
    match rewriter.run(kind, version) {
        Ok(()) => Ok(Some(rewriter.out)),
        Err(Fault::TooLong) => Err(TooLong),
        Err(Fault::Malformed) => Ok(None),
    }
}

enum Fault {
    Malformed,
    TooLong,
}

impl From<Malformed> for Fault {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

struct Rewriter<'a> {
    namespace: &'a Namespace,
    direction: Direction,
    from: Cursor<'a>,
    out: Vec<u8>,
    limit: usize,
}

impl<'a> Rewriter<'a> {
    fn run(&mut self, kind: Embedded, version: i16) -> Result<(), Fault> {
        match kind {
            Embedded::Assignment => self.list(true)?,
            Embedded::Subscription => {
                self.list(false)?;
                // The assignor's own.
                let length = self.from.i32()?;
                self.out.extend_from_slice(&length.to_be_bytes());
                let bytes = self.from.take(usize::try_from(length).unwrap_or_default())?;
                self.put(bytes)?;
                if version >= 1 {
                    self.list(true)?;
                }
            }
        }
        let rest = self.from.take(self.from.left())?;
        self.put(rest)
    }

    /// A list of topics, each with its partitions if it has some.
    fn list(&mut self, with_partitions: bool) -> Result<(), Fault> {
        let count = self.from.count(false, false, 2)?.unwrap_or_default();
        let (count_at, mut written) = (self.out.len(), 0_u32);
        self.out.extend_from_slice(&[0; 4]);
        let mut stands_for: Option<&str> = None;
        for _ in 0..count {
            let name = self.name()?;
            let partitions = if with_partitions { self.partitions()? } else { &[] };
            // The alias before it said what this is.
            if stands_for.take() == Some(name) {
                continue;
            }
            for name in self.names(name, &mut stands_for) {
                let length = u16::try_from(name.len()).map_err(|_| Fault::TooLong)?;
                self.put(&length.to_be_bytes())?;
                self.put(name.as_bytes())?;
                self.put(partitions)?;
                written += 1;
            }
        }
        self.out[count_at..count_at + 4].copy_from_slice(&written.to_be_bytes());
        Ok(())
    }

    /// What is written for a name; on the way out, `stands_for` is the name that goes with it.
    fn names(&self, name: &str, stands_for: &mut Option<&'a str>) -> Vec<String> {
        let (namespace, mut buffer) = (self.namespace, String::new());
        let alias = |name: &str| namespace.lent(name).filter(|lent| lent.is_alias());
        match self.direction {
            Direction::In => {
                let physical = namespace.map_topic(name, &mut buffer).to_owned();
                let mark = alias(name).map(|_| [namespace.prefix(), NOT_IN_NAMES, name].concat());
                mark.into_iter().chain([physical]).collect()
            }
            Direction::Out => {
                let marked = name.strip_prefix(namespace.prefix()).and_then(|name| name.strip_prefix(NOT_IN_NAMES));
                if let Some(marked) = marked {
                    // Of what is lent no more, the physical name that follows is nobody's.
                    let Some(lent) = alias(marked) else { return Vec::new() };
                    *stands_for = Some(&lent.physical);
                    return vec![lent.name.to_string()];
                }
                namespace.unmap_topic(name).map(str::to_owned).into_iter().collect()
            }
        }
    }

    fn name(&mut self) -> Result<&'a str, Fault> {
        let length = usize::try_from(self.from.i16()?).map_err(|_| Fault::Malformed)?;
        std::str::from_utf8(self.from.take(length)?).map_err(|_| Fault::Malformed)
    }

    /// Their bytes, with the count.
    fn partitions(&mut self) -> Result<&'a [u8], Fault> {
        let start = self.from.at();
        let count = self.from.count(false, false, 4)?.unwrap_or_default();
        let _ = self.from.take(count * 4)?;
        Ok(&self.from.input()[start..self.from.at()])
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.out.extend_from_slice(bytes);
        if self.out.len() > self.limit { Err(Fault::TooLong) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::naming::view::{Lent, LentFor, View};
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use wire::schema::Message;
    use wire::value;

    fn namespace() -> Namespace {
        let lent = [("x", "b.orders"), ("y", "b.orders"), ("mine", "a.own"), ("shared", "shared")];
        let lent = lent.map(|(name, physical)| Lent {
            name: name.into(),
            physical: physical.into(),
            purpose: LentFor::Reading,
            filter: None,
        });
        Namespace::new(Some("a.".into())).with_view(View::new("a.", false, lent, []))
    }

    fn bytes(name: &str, version: i16, value: &Value) -> Vec<u8> {
        let mut out = version.to_be_bytes().to_vec();
        out.extend(value::encode(Message::named(name).unwrap(), version, value).unwrap());
        out
    }

    fn map(kind: Embedded, direction: Direction, bytes: &[u8]) -> Vec<u8> {
        rewrite(&namespace(), kind, direction, bytes, 10_000).unwrap().unwrap()
    }

    #[test]
    fn every_name_comes_back_as_it_was_and_the_broker_reads_the_physical_one() {
        for version in 0..=3 {
            let topics = json!(["own", "x", "mine", "y", "shared"]);
            let owned = json!([{"Topic": "y", "Partitions": [1, 2]}, {"Topic": "own", "Partitions": [0]}]);
            let mut given = json!({ "Topics": topics, "UserData": "AAEC" });
            let mut at_broker = json!({
                "Topics": ["a.own", "a./x", "b.orders", "a./mine", "a.own", "a./y", "b.orders", "shared"], "UserData": "AAEC",
            });
            if version >= 1 {
                given["OwnedPartitions"] = owned.clone();
                at_broker["OwnedPartitions"] = json!([
                    {"Topic": "a./y", "Partitions": [1, 2]}, {"Topic": "b.orders", "Partitions": [1, 2]},
                    {"Topic": "a.own", "Partitions": [0]},
                ]);
            }
            let given = bytes("ConsumerProtocolSubscription", version, &given);
            let sent = map(Embedded::Subscription, Direction::In, &given);
            assert_eq!(sent, bytes("ConsumerProtocolSubscription", version, &at_broker), "{version}");
            assert_eq!(map(Embedded::Subscription, Direction::Out, &sent), given);
            let given = bytes("ConsumerProtocolAssignment", version, &json!({ "AssignedPartitions": owned }));
            let sent = map(Embedded::Assignment, Direction::In, &given);
            assert_eq!(map(Embedded::Assignment, Direction::Out, &sent), given);
        }
    }

    #[test]
    fn what_nobody_lent_does_not_come_out() {
        let at_broker = json!({ "Topics": ["a.own", "b.orders", "c.secret", "a./gone", "b.orders"], "UserData": null });
        let out = map(Embedded::Subscription, Direction::Out, &bytes("ConsumerProtocolSubscription", 0, &at_broker));
        // Somebody else's client may have subscribed to the physical name: it is shown by the first name that it has here.
        let expected = json!({ "Topics": ["own", "x", "x"], "UserData": null });
        assert_eq!(out, bytes("ConsumerProtocolSubscription", 0, &expected));
    }

    proptest! {
        #[test]
        fn no_bytes_are_read_beyond_their_end(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            for kind in [Embedded::Subscription, Embedded::Assignment] {
                for direction in [Direction::In, Direction::Out] {
                    let _ = rewrite(&namespace(), kind, direction, &bytes, 100);
                }
            }
        }
    }
}
