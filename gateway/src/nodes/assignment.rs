//! Which node stands for which broker: the same answer wherever it is computed, even loads, and few moves when a node comes or
//! goes.
//!
//! Rendezvous hashing: every pair of a broker and a node has a score, and the highest scores win for as long as the node has
//! room. A broker in a rack is shared out among the nodes of that rack, if there are any.

use std::cmp::Reverse;
use std::collections::BTreeMap;

/// A node, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate<'a> {
    pub(super) id: &'a str,
    pub(super) rack: Option<&'a str>,
}

/// The place among `nodes` of the one that stands for each of `brokers`, which are given with their racks. Nobody stands for
/// anything where there are no nodes.
pub(super) fn assign(nodes: &[Candidate<'_>], brokers: &BTreeMap<i32, Option<String>>) -> BTreeMap<i32, usize> {
    let mut groups: BTreeMap<Option<&str>, Vec<i32>> = BTreeMap::new();
    for (broker, rack) in brokers {
        let rack = rack.as_deref().filter(|rack| nodes.iter().any(|node| node.rack == Some(rack)));
        groups.entry(rack).or_default().push(*broker);
    }
    let (mut owners, mut loads) = (BTreeMap::new(), vec![0; nodes.len()]);
    let anywhere = groups.remove(&None);
    // Those that may go anywhere even out what the racks have made of it.
    for (rack, brokers) in groups.into_iter().chain(anywhere.map(|brokers| (None, brokers))) {
        let among = (0..nodes.len()).filter(|at| rack.is_none() || nodes[*at].rack == rack).collect::<Vec<_>>();
        share(&brokers, nodes, &among, &mut loads, &mut owners);
    }
    owners
}

/// The node for a broker that is in no assignment: one that came a moment ago.
pub(super) fn best(nodes: &[Candidate<'_>], broker: i32) -> Option<usize> {
    (0..nodes.len()).max_by_key(|at| (score(nodes[*at].id, broker), Reverse(*at)))
}

fn share(
    brokers: &[i32],
    nodes: &[Candidate<'_>],
    among: &[usize],
    loads: &mut [usize],
    owners: &mut BTreeMap<i32, usize>,
) {
    let Some(level) = level(brokers.len(), among, loads) else { return };
    let mut room = vec![0; nodes.len()];
    among.iter().for_each(|at| room[*at] = level.saturating_sub(loads[*at]));
    // What the level leaves over goes to some of those that are at it, one each.
    let mut over = brokers.len() - room.iter().sum::<usize>();
    let mut may_have_more: Vec<bool> = loads.iter().map(|load| *load <= level).collect();
    let pairs = brokers.iter().flat_map(|broker| among.iter().map(move |at| (*broker, *at)));
    let mut pairs = pairs.map(|(broker, at)| (Reverse(score(nodes[at].id, broker)), broker, at)).collect::<Vec<_>>();
    pairs.sort_unstable();
    for (_, broker, at) in pairs {
        if owners.contains_key(&broker) {
            continue;
        }
        if room[at] > 0 {
            room[at] -= 1;
        } else if over > 0 && may_have_more[at] {
            over -= 1;
            may_have_more[at] = false;
        } else {
            continue;
        }
        loads[at] += 1;
        let _ = owners.insert(broker, at);
    }
}

/// The highest number of brokers that every node can be brought to with so many more; `None` without nodes.
fn level(count: usize, among: &[usize], loads: &[usize]) -> Option<usize> {
    let mut loads = among.iter().map(|at| loads[*at]).collect::<Vec<_>>();
    loads.sort_unstable();
    let (mut level, mut left) = (*loads.first()?, count);
    for (lower, next) in loads.iter().enumerate().map(|(at, _)| (at + 1, loads.get(at + 1))) {
        // So many nodes are at the level; up to the next one, or as far as it goes.
        let step = (left / lower).min(next.map_or(usize::MAX, |next| next - level));
        level += step;
        left -= step * lower;
        if next.is_some_and(|next| level < *next) {
            break;
        }
    }
    Some(level)
}

/// FNV-1a, and a finalizer that spreads what differs in the last bytes only.
fn score(node: &str, broker: i32) -> u64 {
    let bytes = node.bytes().chain([0]).chain(broker.to_be_bytes());
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nodes(ids: &[String]) -> Vec<Candidate<'_>> {
        ids.iter().map(|id| Candidate { id, rack: None }).collect()
    }

    fn ids(count: usize, salt: u32) -> Vec<String> {
        (0..count).map(|at| format!("node-{salt}-{at}:6969")).collect()
    }

    fn brokers(count: i32) -> BTreeMap<i32, Option<String>> {
        (1..=count).map(|id| (id, None)).collect()
    }

    fn loads(owners: &BTreeMap<i32, usize>, nodes: usize) -> Vec<usize> {
        (0..nodes).map(|at| owners.values().filter(|owner| **owner == at).count()).collect()
    }

    proptest! {
        #[test]
        fn every_broker_has_a_node_and_loads_differ_by_one_at_most(n in 1_usize..12, b in 0_i32..60, salt: u32) {
            let ids = ids(n, salt);
            let owners = assign(&nodes(&ids), &brokers(b));
            prop_assert_eq!(owners.len(), usize::try_from(b).unwrap());
            let loads = loads(&owners, n);
            prop_assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1, "{:?}", loads);
        }

        #[test]
        fn brokers_stay_in_their_rack_and_the_others_even_it_out(
            racks in proptest::collection::vec(proptest::option::of(0_u8..3), 1..8),
            places in proptest::collection::vec(proptest::option::of(0_u8..4), 0..40),
            salt: u32,
        ) {
            let ids = ids(racks.len(), salt);
            let name = |rack: u8| ["a", "b", "c", "d"][usize::from(rack)];
            let nodes: Vec<_> = ids.iter().zip(&racks).map(|(id, rack)| Candidate { id, rack: rack.map(name) }).collect();
            let brokers: BTreeMap<i32, _> = (1..).zip(places.iter().map(|rack| rack.map(|rack| name(rack).to_owned()))).collect();
            let owners = assign(&nodes, &brokers);
            prop_assert_eq!(owners.len(), brokers.len());
            for (broker, owner) in &owners {
                let rack = brokers[broker].as_deref();
                if nodes.iter().any(|node| node.rack.is_some() && node.rack == rack) {
                    prop_assert_eq!(nodes[*owner].rack, rack);
                }
            }
        }
    }

    #[test]
    fn without_nodes_nobody_stands_for_anything() {
        assert_eq!(assign(&[], &brokers(3)), BTreeMap::new());
        assert_eq!(best(&[], 1), None);
    }

    #[test]
    fn the_order_of_the_nodes_makes_no_difference() {
        let ids = ids(5, 7);
        let there = nodes(&ids);
        let back: Vec<_> = there.iter().rev().copied().collect();
        let named = |nodes: &[Candidate<'_>], owners: BTreeMap<i32, usize>| -> Vec<String> {
            owners.values().map(|at| nodes[*at].id.to_owned()).collect()
        };
        assert_eq!(named(&there, assign(&there, &brokers(17))), named(&back, assign(&back, &brokers(17))));
    }

    /// Of 60 brokers, those that must move when the sixth node comes or goes are 10.
    #[test]
    fn a_node_that_comes_or_goes_moves_little_more_than_it_must() {
        let (mut moved, trials) = (0, 200_u32);
        for salt in 0..trials {
            let ids = ids(6, salt);
            let (five, six) = (assign(&nodes(&ids[..5]), &brokers(60)), assign(&nodes(&ids), &brokers(60)));
            moved += five.iter().filter(|(broker, owner)| six[broker] != **owner).count();
        }
        let average = f64::from(u32::try_from(moved).unwrap()) / f64::from(trials);
        println!("on average {average} of 60 brokers moved, of which 10 must");
        assert!((10.0..15.0).contains(&average), "{average}");
    }
}
