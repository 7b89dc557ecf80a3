//! The tap: every byte that the attacker receives runs past it, and it knows what may never be among them.
//!
//! It looks at bytes, compressed records unpacked, and not at decoded answers, so that a mistake of the codec cannot hide a
//! leak. What the attacker said itself may come back in the answer to that very request and nowhere else.

use std::collections::{BTreeSet, HashMap};
use std::io::Read as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flate2::read::GzDecoder;
use serde_json::Value;

/// Short patterns would be met by chance.
const SHORTEST: usize = 8;
/// Nothing that was stored unpacks to more.
const UNPACKED: u64 = 1 << 20;
const GZIP: [u8; 3] = [0x1f, 0x8b, 8];

/// A leak: what was seen, and in which answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leak {
    /// What the token is, for example `the victim's topic name`.
    pub canary: String,
    /// The API and version of the answer, or what else was read.
    pub origin: String,
}

/// What all connections of the attacker run past. Clones are the same tap.
#[derive(Debug, Clone, Default)]
pub struct Tap(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    canaries: Vec<(String, Vec<u8>)>,
    /// The canaries by their first four bytes.
    starts: HashMap<[u8; 4], Vec<usize>>,
    /// Values that are too short to be looked for as bytes: the names of the fields that must not hold them.
    numbers: Vec<(String, Vec<&'static str>, i64)>,
    /// Names that the attacker gave to things of its own, and whether they stay.
    adopted: HashMap<Vec<u8>, bool>,
    leaks: BTreeSet<Leak>,
    bytes: u64,
    answers: u64,
}

impl Tap {
    /// A token that the attacker must never see. Shorter ones than 8 bytes are refused: they would be met by chance.
    pub fn canary(&self, what: &str, pattern: &[u8]) {
        let mut state = self.state();
        if let (true, Some(start)) = (pattern.len() >= SHORTEST, pattern.first_chunk()) {
            let number = state.canaries.len();
            state.starts.entry(*start).or_default().push(number);
            state.canaries.push((what.to_owned(), pattern.to_vec()));
        }
    }

    /// A number that must not stand in one of these fields of a decoded answer.
    pub fn number(&self, what: &str, fields: &[&'static str], number: i64) {
        self.state().numbers.push((what.to_owned(), fields.to_vec(), number));
    }

    /// A name that the attacker gave to something of its own: it may see it again, whatever is inside it, until the check
    /// ends or, where the thing cannot be deleted, for good.
    pub fn adopt(&self, name: &str, stays: bool) {
        if name.len() >= SHORTEST {
            let mut state = self.state();
            *state.adopted.entry(name.as_bytes().to_vec()).or_default() |= stays;
        }
    }

    /// How many tokens are looked for.
    pub fn canaries(&self) -> usize {
        let state = self.state();
        state.canaries.len() + state.numbers.len()
    }

    /// Looks through what came, but for what the attacker itself had said in `request`.
    pub fn saw(&self, origin: &str, request: &[u8], answer: &[u8]) {
        let mut state = self.state();
        state.bytes += answer.len() as u64;
        state.answers += 1;
        let mut found = state.among(answer);
        if !found.is_empty() && !state.adopted.is_empty() {
            found = state.among(&state.without_adopted(answer));
        }
        for unpacked in unpacked(answer) {
            found.extend(state.among(&unpacked));
        }
        if found.is_empty() {
            return;
        }
        let said = state.among(request);
        for number in found.difference(&said) {
            let leak = Leak { canary: state.canaries[*number].0.clone(), origin: origin.to_owned() };
            let _ = state.leaks.insert(leak);
        }
    }

    /// As [`Self::saw`], for the numbers in a decoded answer.
    pub fn saw_value(&self, origin: &str, request: &Value, answer: &Value) {
        let mut state = self.state();
        let mut found = Vec::new();
        visit(answer, &mut |field, number| {
            for (what, fields, forbidden) in &state.numbers {
                if *forbidden == number && fields.contains(&field) {
                    found.push((what.clone(), field.to_owned(), number));
                }
            }
        });
        found.retain(|(_, field, number)| {
            let mut said = false;
            visit(request, &mut |asked, value| said |= asked == field && value == *number);
            !said
        });
        let leaks = found.into_iter().map(|(canary, field, _)| Leak { canary, origin: format!("{origin}: {field}") });
        state.leaks.extend(leaks);
    }

    /// The leaks since this was last called, which is at the end of each check.
    pub fn leaks(&self) -> Vec<Leak> {
        let mut state = self.state();
        state.adopted.retain(|_, stays| *stays);
        std::mem::take(&mut state.leaks).into_iter().collect()
    }

    /// Answers and bytes that ran past.
    pub fn volume(&self) -> (u64, u64) {
        let state = self.state();
        (state.answers, state.bytes)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn among(&self, bytes: &[u8]) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        for (at, start) in bytes.windows(4).enumerate() {
            let candidates = start.first_chunk().and_then(|start| self.starts.get(start));
            found.extend(candidates.into_iter().flatten().filter(|n| bytes[at..].starts_with(&self.canaries[**n].1)));
        }
        found
    }

    fn without_adopted(&self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        // A name that contains another one goes first.
        let mut names: Vec<&Vec<u8>> = self.adopted.keys().collect();
        names.sort_by_key(|name| std::cmp::Reverse(name.len()));
        for name in names {
            let at: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(name)).collect();
            at.into_iter().for_each(|at| bytes[at..at + name.len()].fill(0));
        }
        bytes
    }
}

/// What is packed with gzip somewhere in the bytes.
fn unpacked(bytes: &[u8]) -> Vec<Vec<u8>> {
    let starts = bytes.windows(GZIP.len()).enumerate().filter(|(_, window)| *window == GZIP);
    let unpack = |(at, _): (usize, _)| {
        let mut out = Vec::new();
        // What is cut off or followed by something else unpacks as far as it goes.
        let _ = GzDecoder::new(&bytes[at..]).take(UNPACKED).read_to_end(&mut out);
        out
    };
    starts.map(unpack).filter(|out| !out.is_empty()).collect()
}

/// Calls back for each integer field, at any depth.
fn visit(value: &Value, with: &mut dyn FnMut(&str, i64)) {
    match value {
        Value::Object(map) => {
            for (field, value) in map {
                match value.as_i64() {
                    Some(number) => with(field, number),
                    None => visit(value, with),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|item| visit(item, with)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tap() -> Tap {
        let tap = Tap::default();
        tap.canary("the name", b"needle-in-hay");
        tap.number("the port", &["Port"], 9092);
        tap
    }

    fn seen(request: &[u8], answer: &[u8]) -> usize {
        let tap = tap();
        tap.saw("Fetch 4", request, answer);
        tap.leaks().len()
    }

    #[test]
    fn a_canary_is_found_plain_and_packed_but_may_be_echoed() {
        assert_eq!(seen(b"", b"xx needle-in-hay xx"), 1);
        assert_eq!(seen(b"", b"xx needle-in-ha"), 0);
        assert_eq!(seen(b"", &[b"records", &crate::records::gzip(b"a needle-in-hay")[..], b"tail"].concat()), 1);
        assert_eq!(seen(b"give me needle-in-hay", b"no needle-in-hay here"), 0, "what was asked for may come back");
    }

    #[test]
    fn what_the_attacker_named_itself_may_come_back() {
        let tap = tap();
        tap.adopt("my-needle-in-hay", false);
        tap.saw("ListTransactions 0", b"", b"my-needle-in-hay");
        assert_eq!(tap.leaks(), []);
        tap.saw("ListTransactions 0", b"", b"my-needle-in-hay, needle-in-hay");
        assert_eq!(tap.leaks().len(), 1);
        tap.saw("ListTransactions 0", b"", b"my-needle-in-hay");
        assert_eq!(tap.leaks().len(), 1, "in the next check it is another's again");
    }

    #[test]
    fn a_number_is_found_in_its_field_only() {
        let tap = tap();
        tap.saw_value("Metadata 9", &json!({}), &json!({ "Brokers": [{ "Port": 9092, "NodeId": 1 }] }));
        tap.saw_value("Metadata 9", &json!({}), &json!({ "Offset": 9092 }));
        tap.saw_value("Metadata 9", &json!({ "Port": 9092 }), &json!({ "Port": 9092 }));
        assert_eq!(tap.leaks(), [Leak { canary: "the port".into(), origin: "Metadata 9: Port".into() }]);
        assert_eq!(tap.leaks(), []);
    }

    #[test]
    fn a_pattern_that_chance_would_meet_is_not_taken() {
        let tap = Tap::default();
        tap.canary("short", b"abc");
        assert_eq!(tap.canaries(), 0);
    }
}
