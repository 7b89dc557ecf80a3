//! What a compacted log keeps: the last change of each key, in the order in which they stand there. Which of them hold follows
//! from that alone, so that a gateway that has read every change and one that reads the log after compaction come to the same.

use std::collections::BTreeMap;

use super::{Change, Declarations};

/// The last change of each key that is not gone.
#[derive(Debug, Clone, Default)]
pub struct Ledger(BTreeMap<String, Kept>);

#[derive(Debug, Clone)]
struct Kept {
    offset: i64,
    change: Change,
}

/// A change that does not go with what stands before it in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    pub offset: i64,
    /// As in the log.
    pub key: String,
    pub change: Change,
}

impl Ledger {
    /// Takes a record into account.
    pub fn note(&mut self, offset: i64, key: String, change: Change) {
        if change.is_deletion() {
            self.0.remove(&key);
        } else {
            self.0.insert(key, Kept { offset, change });
        }
    }

    /// Everything that the log says, whether it goes together or not.
    pub fn all(&self) -> Declarations {
        let mut all = Declarations::default();
        self.0.values().for_each(|kept| all.apply(kept.change.clone()));
        all
    }

    /// What holds: everything if that fits, else each change that fits with those before it. In the place of one that does not,
    /// what held under its key `before` goes on holding if it still can, until somebody has written that into the log.
    pub fn resolve(
        &self,
        before: &Declarations,
        fits: impl Fn(&Declarations) -> bool,
    ) -> (Declarations, Vec<Rejected>) {
        let all = self.all();
        if fits(&all) {
            return (all, Vec::new());
        }
        let mut order = self.0.iter().collect::<Vec<_>>();
        order.sort_by_key(|(_, kept)| (kept.change.rank(), kept.offset));
        let (mut declared, mut rejected) = (Declarations::default(), Vec::new());
        accept(&mut declared, &order, &fits, &mut rejected);
        for change in Declarations::default().changes_to(before) {
            let key = super::entry::key(&change).unwrap_or_default();
            if rejected.iter().any(|rejected| rejected.key == key) {
                let mut target = declared.clone();
                target.apply(change);
                if fits(&target) {
                    declared = target;
                }
            }
        }
        (declared, rejected)
    }
}

/// Adds those that fit. Halves are tried as a whole: one that does not fit among thousands is found by a few tries.
fn accept(
    declared: &mut Declarations,
    changes: &[(&String, &Kept)],
    fits: &impl Fn(&Declarations) -> bool,
    rejected: &mut Vec<Rejected>,
) {
    if changes.is_empty() {
        return;
    }
    let mut target = declared.clone();
    changes.iter().for_each(|(_, kept)| target.apply(kept.change.clone()));
    if fits(&target) {
        *declared = target;
    } else if let [(key, Kept { offset, change })] = changes {
        rejected.push(Rejected { offset: *offset, key: (*key).clone(), change: change.clone() });
    } else {
        let (first, second) = changes.split_at(changes.len() / 2);
        accept(declared, first, fits, rejected);
        accept(declared, second, fits, rejected);
    }
}

#[cfg(test)]
mod tests {
    use contract::resources::VirtualCluster;

    use super::super::entry;
    use super::*;

    fn put(name: &str, prefix: &str) -> Change {
        Change::PutVirtualCluster(Box::new(VirtualCluster::new(name).with_prefix(prefix)))
    }

    fn ledger(changes: &[(i64, Change)]) -> Ledger {
        let mut ledger = Ledger::default();
        for (offset, change) in changes {
            ledger.note(*offset, entry::key(change).unwrap(), change.clone());
        }
        ledger
    }

    /// No prefix twice.
    fn fits(declared: &Declarations) -> bool {
        let prefixes = declared.virtual_clusters.values().map(|cluster| cluster.spec.namespace.clone().unwrap().prefix);
        let distinct = prefixes.clone().collect::<std::collections::BTreeSet<_>>();
        distinct.len() == prefixes.count()
    }

    fn names(declared: &Declarations) -> Vec<&str> {
        declared.virtual_clusters.keys().map(String::as_str).collect()
    }

    #[test]
    fn the_earlier_one_holds_whatever_compaction_has_removed() {
        let log = [
            (0, put("a", "1.")),
            (1, put("b", "2.")),
            (2, put("c", "2.")),
            (3, put("a", "3.")),
            (4, put("d", "4.")),
            (5, Change::DeleteVirtualCluster("d".into())),
        ];
        let (every, rejected) = ledger(&log).resolve(&Declarations::default(), fits);
        assert_eq!(names(&every), ["a", "b"]);
        assert_eq!(rejected, [Rejected { offset: 2, key: "VirtualCluster/c".into(), change: put("c", "2.") }]);
        let compacted = log[1..4].to_vec();
        assert_eq!(ledger(&compacted).resolve(&Declarations::default(), fits), (every, rejected));
    }

    #[test]
    fn what_is_rejected_holds_as_before_where_that_is_known_and_again_once_it_fits() {
        let mut ledger = ledger(&[(0, put("a", "1.")), (1, put("b", "2."))]);
        let before = ledger.all();
        ledger.note(2, "VirtualCluster/b".into(), put("b", "1."));
        let (now, rejected) = ledger.resolve(&before, fits);
        assert_eq!((&now, rejected.len()), (&before, 1), "b keeps its prefix");
        ledger.note(3, "VirtualCluster/a".into(), Change::DeleteVirtualCluster("a".into()));
        let (now, rejected) = ledger.resolve(&now, fits);
        assert_eq!((names(&now), rejected.len()), (vec!["b"], 0));
        assert_eq!(now, ledger.all());
    }

    #[test]
    fn one_among_thousands_is_found_quickly() {
        let mut log = (0..5000).map(|n| (n, put(&format!("t{n}"), &format!("{n}.")))).collect::<Vec<_>>();
        log.push((5000, put("late", "77.")));
        let tries = std::cell::Cell::new(0);
        let (now, rejected) = ledger(&log).resolve(&Declarations::default(), |declared| {
            tries.set(tries.get() + 1);
            fits(declared)
        });
        assert_eq!((now.virtual_clusters.len(), rejected.len()), (5000, 1));
        assert!(tries.get() < 60, "{}", tries.get());
    }
}
