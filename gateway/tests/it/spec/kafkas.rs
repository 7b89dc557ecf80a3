//! The Kafkas whose specification is tested against, or why a test cannot run.

use super::definitions::{self, Definitions};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use wire::schema::{KAFKA_VERSION, Message};

/// One Kafka.
pub(super) struct Kafka {
    /// For example `4.1.2`.
    pub(super) version: String,
    /// Its message definitions.
    pub(super) definitions: Definitions,
}

impl Kafka {
    /// Requests, responses and embedded messages.
    pub(super) fn messages(&'static self) -> impl Iterator<Item = &'static Message> {
        let apis = self.definitions.apis.values().flatten().flatten();
        apis.chain(self.definitions.others.iter())
    }

    /// A Kafka that has these definitions only.
    pub(super) fn of(texts: &[&str]) -> &'static Self {
        let mut found = Definitions::default();
        for text in texts {
            definitions::add(text, &mut found).unwrap();
        }
        Box::leak(Box::new(Self { version: "of a test".to_owned(), definitions: found }))
    }

    /// The version of a message that was unstable in this Kafka. Only the request says so.
    pub(super) fn unstable(&'static self, message: &Message) -> Option<i16> {
        let [request, _] = self.definitions.apis.get(&message.key)?;
        request.as_ref().filter(|request| request.latest_unstable).map(|request| request.versions.max)
    }
}

/// What is pinned, oldest first, with what its jar is called.
pub(super) fn pinned() -> Vec<(String, String)> {
    let pins = std::fs::read_to_string(fixtures().join("kafka-clients.sha256")).unwrap();
    let version = |name: &str| Some(name.strip_prefix("kafka-clients-")?.strip_suffix(".jar")?.to_owned());
    let names = pins.lines().filter_map(|line| line.rsplit('/').next());
    names.filter_map(|name| Some((version(name)?, name.to_owned()))).collect()
}

/// The jars that the classes of a Kafka need: its own and those of no Kafka.
pub(super) fn jars(version: &str) -> Vec<String> {
    let pins = std::fs::read_to_string(fixtures().join("kafka-clients.sha256")).unwrap();
    let names = pins.lines().filter_map(|line| line.rsplit('/').next()).map(str::to_owned);
    names
        .filter(|name| !name.starts_with("kafka-clients-") || *name == format!("kafka-clients-{version}.jar"))
        .collect()
}

pub(super) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures")
}

/// Where the jars lie, or why they do not.
pub(super) static FOLDER: LazyLock<Result<PathBuf, String>> = LazyLock::new(|| {
    let script = fixtures().join("kafka-clients");
    let run = Command::new(&script).arg("--offline").output().map_err(|e| format!("{}: {e}", script.display()))?;
    if run.status.success() {
        Ok(PathBuf::from(String::from_utf8_lossy(&run.stdout).trim()))
    } else {
        Err(String::from_utf8_lossy(&run.stderr).trim().to_owned())
    }
});

static KAFKAS: LazyLock<Result<Vec<Kafka>, String>> = LazyLock::new(|| {
    let folder = FOLDER.as_ref().map_err(String::clone)?;
    let read = |(version, jar): (String, String)| {
        let definitions = definitions::read(&folder.join(&jar)).map_err(|e| format!("{jar}: {e}"))?;
        Ok(Kafka { version, definitions })
    };
    pinned().into_iter().map(read).collect()
});

/// The Kafkas; without them the test named `test` is skipped, or fails where nothing may be.
pub(super) fn needed_by(test: &str) -> &'static [Kafka] {
    match &*KAFKAS {
        Ok(kafkas) => kafkas,
        Err(why) => {
            skipped(test, why);
            &[]
        }
    }
}

/// Says that a test does not run, unless it has to.
pub(super) fn skipped(test: &str, why: &str) {
    let required = std::env::var("REQUIRE_E2E").is_ok_and(|value| value == "1");
    assert!(!required, "{test} must run here and cannot: {why}");
    println!("SKIPPED {test}: {why}");
}

#[test]
fn the_newest_pinned_kafka_is_the_one_that_the_table_was_generated_from() {
    let pinned = pinned();
    assert_eq!(pinned.last().map(|(version, _)| version.as_str()), Some(KAFKA_VERSION));
    assert!(pinned.len() >= 3 && pinned[0].0.starts_with("3.9.") && pinned[1].0.starts_with("4.1."), "{pinned:?}");
}
