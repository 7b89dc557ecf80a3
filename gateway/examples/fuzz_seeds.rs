//! Writes seeds for the fuzz targets: valid messages of every API and version, by the schema table.
//!
//! ```sh
//! cargo run -p gateway --example fuzz_seeds -- target/fuzz/corpus
//! ```
#![allow(clippy::unwrap_used, reason = "a tool of developers: what fails is shown")]

#[path = "../tests/it/filler.rs"]
mod filler;

use filler::{Dice, FOREIGN, Filler};
use gateway::apis::{self, Verdict};
use std::fs;
use std::path::Path;
use wire::frame;
use wire::schema::{ApiKey, Message};

/// Messages per API and version.
const EACH: usize = 3;
/// Topic ids: another's, the tenant's, none, and one that nobody has.
const IDS: [[u8; 16]; 4] = [FOREIGN, [0x11; 16], [0; 16], [0x33; 16]];
const SAID: [&str; 4] = ["orders", "team-a.orders", "", "_anabranch.state"];
const STORED: [&str; 4] = ["team-a.orders", "team-b.secret", "", "_anabranch.state/"];

/// Patterns that try to get out of their group, and honest ones.
const PATTERNS: [&str; 8] = [
    "^orders-(a|b)*$",
    "a)|(?:.*",
    "\\Qa)|.*\\E",
    "\\Q",
    "(?i)^[^]]+\\z",
    "(?P<n>x{2,3}?)|\\A\\.",
    "[[:alpha:]\\pL]",
    "(?s-m:.)\\b",
];

fn main() {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "target/fuzz/corpus".to_owned());
    let folder = Path::new(&folder);
    let mut dice = Dice(1);
    let body = |message: &'static Message, version: i16, names: &[&str], dice: &mut Dice| {
        let mut filler = Filler { message, version, names, ids: &IDS, dice: Some(dice.clone()) };
        let body = filler.body();
        *dice = Dice(filler.dice.map_or(1, |dice| dice.0));
        body
    };
    for key in ApiKey::ALL {
        for version in key.versions().min..=key.versions().max {
            for n in 0..EACH {
                let request = body(key.request(), version, &SAID, &mut dice);
                let request = frame::request(*key, version, 7, Some("client"), &request);
                for target in ["request", "header"] {
                    write(folder, target, &format!("{}-{version}-{n}", key.name()), &request[4..]);
                }
            }
        }
    }
    let mapped = apis::served().filter(|(key, _)| apis::row(*key).verdict == Verdict::Map);
    for (which, (key, range)) in mapped.enumerate() {
        for version in range.min..=range.max {
            for n in 0..EACH {
                let answer = body(key.response(), version, &STORED, &mut dice);
                let head = [which, usize::try_from(version - range.min).unwrap(), n * 7].map(|n| n.to_be_bytes()[7]);
                write(folder, "response", &format!("{}-{version}-{n}", key.name()), &[&head[..], &answer].concat());
            }
        }
    }
    for (kind, name) in [(0, "ConsumerProtocolSubscription"), (1, "ConsumerProtocolAssignment")] {
        let message = Message::named(name).unwrap();
        for version in 0..=message.versions.max {
            let bytes = body(message, version, &SAID, &mut dice);
            let bytes = [&[kind][..], &version.to_be_bytes(), &bytes].concat();
            write(folder, "embedded", &format!("{name}-{version}"), &bytes);
        }
    }
    for (n, pattern) in PATTERNS.iter().enumerate() {
        write(folder, "pattern", &n.to_string(), pattern.as_bytes());
    }
    write(folder, "handshake", "plain", b"\0\x0b\0app\0secret");
    write(folder, "handshake", "scram", b"\x01\x10n,,n=app,r=abcdef\x1bc=biws,r=abcdef,p=AAAAAAAA");
}

fn write(folder: &Path, target: &str, name: &str, bytes: &[u8]) {
    let folder = folder.join(target);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), bytes).unwrap();
}
