//! Checks recorded lines: whether each is as it was written, and follows the one that it says it follows.
//!
//! Lines of several chains may stand in any mixture, as in a topic that several gateways write to; within a chain their order
//! counts. A line that stands there again shortly after is counted and no fault: a gateway that got no answer from Kafka writes
//! once more.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::io::{self, BufRead, Read as _};
use std::ops::Range;

use serde_json::Value;

use super::chain::{Hasher, KEYED, NOTHING_BEFORE, split};
use crate::observe::shown::Shown;

/// No line is longer; one that is was not written by a gateway.
const LONGEST_LINE: u64 = 1 << 20;
/// How far back a line that is written once more may stand, in lines.
const REPEATS: usize = 1000;

/// What the lines are checked against.
#[derive(Debug)]
pub struct Expected {
    /// With the key that the gateways had (`audit.chainKey`), or without one.
    pub hasher: Hasher,
    /// Hashes of lines that are kept elsewhere: a chain may begin behind them.
    pub after: BTreeSet<String>,
    /// Hashes of lines that must be there. Only they can tell that the end of a chain is missing.
    pub last: BTreeSet<String>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Lines that are events and as they were written.
    pub events: u64,
    /// Lines that stand there twice.
    pub repeated: u64,
    /// By chain, in the order of their ids.
    pub chains: BTreeMap<String, Found>,
    /// The first thing wrong.
    pub broken: Option<Broken>,
}

/// What was found of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The gateway that wrote it.
    pub node: String,
    first: u64,
    /// The number of its last line.
    pub last: u64,
    /// The hash of its last line: worth keeping elsewhere.
    pub hash: String,
    recent: VecDeque<(u64, String)>,
}

/// Where and why a chain is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The number of the line in what was read, from 1; 0 where a line is missing at the end.
    pub line: u64,
    /// Why.
    pub fault: Fault,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It is no line of a chain: text was added, or a line was cut off.
    NoLine,
    /// Its text is not the one that its hash was made of.
    Changed,
    /// It was made without the key.
    WithoutKey,
    /// Lines before it are missing: it is the first of its chain here, and not the first that was written.
    TruncatedStart { sequence: u64 },
    /// Lines before it are missing.
    Removed { expected: u64, found: u64 },
    /// It stands in another place than where it was written.
    Reordered { expected: u64, found: u64 },
    /// It follows another line than the one before it, which is therefore not the one that was written.
    Replaced { sequence: u64 },
    /// No line has this hash.
    TruncatedEnd { hash: String },
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum Unverifiable {
    /// The lines can't be read.
    #[error("cannot read: {0}")]
    Io(#[from] io::Error),
    /// A chain was made with a key and none was given.
    #[error("line {line} was made with a key: give the one of audit.chainKey by --key-file")]
    NeedsKey {
        /// Its number.
        line: u64,
    },
    /// There is nothing.
    #[error("there is no event")]
    Empty,
}

/// What a line says of its place.
struct Place {
    chain: String,
    algorithm: String,
    node: String,
    sequence: u64,
    previous: String,
    hash: String,
    canonical: Vec<u8>,
}

/// Checks all lines.
///
/// # Errors
/// [`Unverifiable`]
pub fn verify(mut lines: impl BufRead, expected: &Expected) -> Result<Report, Unverifiable> {
    let report = Report { events: 0, repeated: 0, chains: BTreeMap::new(), broken: None };
    let mut checker = Checker { expected, report, missing: expected.last.clone(), gap: None };
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if lines.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if !text.is_empty() {
            checker.line(number, text)?;
        }
    }
    let Checker { mut report, missing, .. } = checker;
    if report.chains.is_empty() && report.broken.is_none() {
        return Err(Unverifiable::Empty);
    }
    if let (None, Some(hash)) = (&report.broken, missing.into_iter().next()) {
        report.broken = Some(Broken { line: 0, fault: Fault::TruncatedEnd { hash } });
    }
    Ok(report)
}

struct Checker<'a> {
    expected: &'a Expected,
    report: Report,
    /// Lines that must be there and did not come yet.
    missing: BTreeSet<String>,
    /// The chain whose lines of these numbers are missing at the first fault: if they come later, they were moved.
    gap: Option<(String, Range<u64>)>,
}

impl Checker<'_> {
    fn line(&mut self, number: u64, text: &[u8]) -> Result<(), Unverifiable> {
        let place = match Place::of(text) {
            Some(place) => place,
            None => {
                self.broken(number, Fault::NoLine);
                return Ok(());
            }
        };
        let algorithm = self.expected.hasher.algorithm();
        if place.algorithm != algorithm {
            if algorithm == Hasher::new(None).algorithm() && place.algorithm == KEYED {
                return Err(Unverifiable::NeedsKey { line: number });
            }
            self.broken(number, Fault::WithoutKey);
            return Ok(());
        }
        if self.expected.hasher.hash(&place.canonical) != place.hash {
            self.broken(number, Fault::Changed);
            return Ok(());
        }
        let _ = self.missing.remove(&place.hash);
        if let (Some((chain, range)), Some(broken)) = (&self.gap, &mut self.report.broken)
            && *chain == place.chain
            && range.contains(&place.sequence)
            && let Fault::Removed { expected, found } = broken.fault
        {
            broken.fault = Fault::Reordered { expected, found };
        }
        let chain = place.chain.clone();
        if let Err(fault) = self.follow(place) {
            if let (Fault::Removed { expected, found }, None) = (&fault, &self.report.broken) {
                self.gap = Some((chain, *expected..*found));
            }
            self.broken(number, fault);
        }
        Ok(())
    }

    /// Whether a line that is as it was written stands in its place.
    fn follow(&mut self, place: Place) -> Result<(), Fault> {
        let Place { chain, node, sequence, previous, hash, .. } = place;
        let Some(found) = self.report.chains.get_mut(&chain) else {
            self.report.events += 1;
            let begins = sequence == 1 && previous == NOTHING_BEFORE || self.expected.after.contains(&previous);
            let recent = VecDeque::from([(sequence, hash.clone())]);
            let _ = self.report.chains.insert(chain, Found { node, first: sequence, last: sequence, hash, recent });
            return if begins { Ok(()) } else { Err(Fault::TruncatedStart { sequence }) };
        };
        let expected = found.last.saturating_add(1);
        if sequence < expected {
            if found.recent.contains(&(sequence, hash)) {
                self.report.repeated += 1;
                return Ok(());
            }
            return Err(Fault::Reordered { expected, found: sequence });
        }
        self.report.events += 1;
        let follows = previous == found.hash;
        (found.last, found.hash) = (sequence, hash.clone());
        found.recent.push_back((sequence, hash));
        if found.recent.len() > REPEATS {
            let _ = found.recent.pop_front();
        }
        match (sequence == expected, follows) {
            (true, true) => Ok(()),
            (true, false) => Err(Fault::Replaced { sequence }),
            (false, _) => Err(Fault::Removed { expected, found: sequence }),
        }
    }

    fn broken(&mut self, line: u64, fault: Fault) {
        let _ = self.report.broken.get_or_insert(Broken { line, fault });
    }
}

impl Place {
    /// `None` where the text is no line of a chain.
    fn of(text: &[u8]) -> Option<Self> {
        let (canonical, hash) = split(text)?;
        let line: Value = serde_json::from_slice(text).ok()?;
        let chain = line.get("chain")?;
        let word = |key: &str| chain.get(key)?.as_str().map(str::to_owned);
        Some(Self {
            chain: word("id")?,
            algorithm: word("algorithm")?,
            node: line.get("node")?.as_str()?.to_owned(),
            sequence: chain.get("sequence")?.as_u64()?,
            previous: word("previous")?,
            hash: hash.to_owned(),
            canonical,
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLine => f.write_str("it is no line of a chain: it was added, or cut off"),
            Self::Changed => f.write_str("it was changed, or made with another key: its text does not have its hash"),
            Self::WithoutKey => f.write_str("it was made without the key that is given"),
            Self::TruncatedStart { sequence } => write!(
                f,
                "it is number {sequence} of its chain and the first one here: the start is cut off (if that is kept \
                 elsewhere, give the hash of its last line by --after)"
            ),
            Self::Removed { expected, found } => {
                write!(f, "it is number {found} of its chain where {expected} should be: lines were removed")
            }
            Self::Reordered { expected, found } => {
                write!(f, "it is number {found} of its chain where {expected} should be: lines were moved")
            }
            Self::Replaced { sequence } => {
                write!(f, "it is number {sequence} of its chain, but follows another line than the one before it")
            }
            Self::TruncatedEnd { hash } => write!(f, "no line has the hash {hash}: the end is cut off"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes: BTreeSet<_> = self.chains.values().map(|found| Shown::from(&found.node)).collect();
        let nodes: Vec<_> = nodes.iter().map(Shown::as_str).collect();
        writeln!(f, "{} events, nodes: {}", self.events, nodes.join(", "))?;
        if self.repeated > 0 {
            writeln!(f, "{} lines stand there twice", self.repeated)?;
        }
        for (id, Found { node, first, last, hash, .. }) in &self.chains {
            let (id, node) = (Shown::from(id), Shown::from(node));
            writeln!(f, "chain {id} of {node}: {first} to {last}, last hash {hash}")?;
        }
        match &self.broken {
            None => writeln!(f, "intact: each line is as it was written and follows the one before it"),
            Some(Broken { line: 0, fault }) => writeln!(f, "BROKEN: {fault}"),
            Some(Broken { line, fault }) => writeln!(f, "BROKEN at line {line}: {fault}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::audit::chain::Chain;

    fn written(chain: &str, key: Option<&[u8]>, count: usize) -> Vec<String> {
        let mut writer = Chain::new(Hasher::new(key), chain.to_owned());
        let record = |n| writer.seal(&format!(r#"{{"type":"AUTHENTICATION","number":{n},"node":"gw-{chain}"}}"#));
        (0..count).map(record).collect()
    }

    fn expecting(key: Option<&[u8]>) -> Expected {
        Expected { hasher: Hasher::new(key), after: BTreeSet::new(), last: BTreeSet::new() }
    }

    fn checked(lines: &[impl AsRef<[u8]>]) -> Report {
        let text: Vec<u8> = lines.iter().flat_map(|line| [line.as_ref(), b"\n"].concat()).collect();
        verify(&text[..], &expecting(None)).unwrap()
    }

    fn fault(lines: &[impl AsRef<[u8]>]) -> (u64, Fault) {
        let broken = checked(lines).broken.expect("a fault");
        (broken.line, broken.fault)
    }

    #[test]
    fn what_was_written_is_intact_also_when_several_write() {
        let (one, other) = (written("a", None, 30), written("b", None, 20));
        let mixed: Vec<_> = other.iter().zip(&one).flat_map(|(b, a)| [b, a]).chain(&one[20..]).collect();
        let report = checked(&mixed);
        assert_eq!((report.events, report.repeated, report.broken.as_ref()), (50, 0, None), "{report}");
        assert!(report.to_string().starts_with("50 events, nodes: gw-a, gw-b\nchain a of gw-a: 1 to 30, last hash "));
        let again: Vec<_> = one[..7].iter().chain(&one[3..]).collect();
        let report = checked(&again);
        assert_eq!((report.events, report.repeated, report.broken), (30, 4, None));
    }

    #[test]
    fn each_fault_has_its_name_and_line() {
        let lines = written("a", None, 10);
        let without = |at: usize| -> Vec<&String> {
            lines.iter().enumerate().filter(|(n, _)| *n != at).map(|(_, l)| l).collect()
        };
        assert_eq!(fault(&without(4)), (5, Fault::Removed { expected: 5, found: 6 }));
        assert_eq!(fault(&without(0)), (1, Fault::TruncatedStart { sequence: 2 }));
        let mut moved = lines.clone();
        moved.swap(4, 5);
        assert_eq!(fault(&moved), (5, Fault::Reordered { expected: 5, found: 6 }));
        let mut changed = lines.clone();
        changed[6] = changed[6].replace("\"number\":6", "\"number\":7");
        assert_eq!(fault(&changed), (7, Fault::Changed));
        let mut added = lines.clone();
        added.insert(3, "{}".to_owned());
        assert_eq!(fault(&added), (4, Fault::NoLine));
        let forged = Chain::behind(Hasher::new(None), "a".into(), 9, NOTHING_BEFORE.into()).seal(r#"{"node":"gw-a"}"#);
        let mut replaced = lines.clone();
        replaced[9] = forged;
        assert_eq!(fault(&replaced), (10, Fault::Replaced { sequence: 10 }));
    }

    #[test]
    fn the_end_is_only_known_by_a_hash_that_is_kept_elsewhere() {
        let lines = written("a", None, 10);
        let last = checked(&lines).chains["a"].hash.clone();
        assert_eq!(checked(&lines[..8]).broken, None, "this is what a chain cannot show");
        let expected = Expected { last: [last.clone()].into(), ..expecting(None) };
        let cut = verify(lines[..8].join("\n").as_bytes(), &expected).unwrap();
        assert_eq!(cut.broken, Some(Broken { line: 0, fault: Fault::TruncatedEnd { hash: last } }));
        assert_eq!(verify(lines.join("\n").as_bytes(), &expected).unwrap().broken, None);
    }

    #[test]
    fn a_later_file_goes_on_behind_the_one_before() {
        let lines = written("a", None, 10);
        let before = checked(&lines[..6]).chains["a"].hash.clone();
        let expected = Expected { after: [before].into(), ..expecting(None) };
        assert_eq!(verify(lines[6..].join("\n").as_bytes(), &expected).unwrap().broken, None);
        let cut = verify(lines[7..].join("\n").as_bytes(), &expected).unwrap();
        assert_eq!(cut.broken.unwrap().fault, Fault::TruncatedStart { sequence: 8 });
    }

    #[test]
    fn with_a_key_a_chain_computed_anew_is_found() {
        let key = b"a key that the insider does not have".as_slice();
        let lines = written("a", Some(key), 5);
        assert_eq!(verify(lines.join("\n").as_bytes(), &expecting(Some(key))).unwrap().broken, None);
        let without = verify(lines.join("\n").as_bytes(), &expecting(None)).unwrap_err();
        assert!(matches!(without, Unverifiable::NeedsKey { line: 1 }), "{without}");
        let other = verify(lines.join("\n").as_bytes(), &expecting(Some(b"another key"))).unwrap();
        assert_eq!(other.broken.unwrap().fault, Fault::Changed);
        let anew = written("a", None, 5);
        let anew = verify(anew.join("\n").as_bytes(), &expecting(Some(key))).unwrap();
        assert_eq!(anew.broken, Some(Broken { line: 1, fault: Fault::WithoutKey }));
    }

    #[test]
    fn nothing_is_not_intact() {
        assert!(matches!(verify(&b""[..], &expecting(None)), Err(Unverifiable::Empty)));
        assert!(matches!(verify(&b"\n\n"[..], &expecting(None)), Err(Unverifiable::Empty)));
    }

    proptest! {
        #[test]
        fn any_byte_that_changes_is_found(count in 1usize..12, at in any::<prop::sample::Index>(), to in any::<u8>()) {
            let mut text = written("a", None, count).join("\n").into_bytes();
            let at = at.index(text.len());
            prop_assume!(text[at] != to);
            text[at] = to;
            let found = verify(&text[..], &expecting(None));
            prop_assert!(found.is_err() || found.unwrap().broken.is_some());
        }

        #[test]
        fn any_line_that_is_removed_but_the_last_is_found(count in 2usize..40, at in any::<prop::sample::Index>()) {
            let mut lines = written("a", None, count);
            let at = at.index(count - 1);
            drop(lines.remove(at));
            prop_assert_eq!(checked(&lines).broken.map(|broken| broken.line), Some(at as u64 + 1));
        }

        #[test]
        fn any_two_lines_that_change_places_are_found(
            count in 2usize..40,
            one in any::<prop::sample::Index>(),
            other in any::<prop::sample::Index>(),
        ) {
            let (one, other) = (one.index(count), other.index(count));
            prop_assume!(one != other);
            let mut lines = written("a", None, count);
            lines.swap(one, other);
            prop_assert_eq!(checked(&lines).broken.map(|broken| broken.line), Some(one.min(other) as u64 + 1));
        }

        #[test]
        fn any_line_of_a_stranger_is_found(count in 1usize..12, at in any::<prop::sample::Index>(), text in "[ -~]{1,80}") {
            let mut lines = written("a", None, count);
            lines.insert(at.index(count + 1), text);
            prop_assert!(checked(&lines).broken.is_some());
        }

        #[test]
        fn whatever_is_read_is_no_reason_to_panic(text in any::<Vec<u8>>()) {
            let _ = verify(&text[..], &expecting(None));
        }
    }
}
