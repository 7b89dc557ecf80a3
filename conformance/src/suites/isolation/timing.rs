//! Times as an oracle: whether answers about what exists take longer, or shorter, than about what does not.
//!
//! Robust rather than sharp: pairs are asked in turn, ranks and medians are compared, and a difference counts only when it
//! is large, clear and there again twice.

use std::time::{Duration, Instant};

use wire::schema::ApiKey;

use crate::suites::arena::Trouble;
use crate::suites::forge::{self, Names};
use crate::suites::scene::Scene;

const PAIRS: usize = 30;
/// Ids that are not the attacker's are looked up anew each time, which takes long.
const PAIRS_BY_ID: usize = 14;
const ROUNDS: usize = 3;
/// How many deviations from an even split of the pairs are clear.
const CLEAR: f64 = 3.5;
/// A smaller difference of the medians is noise, whatever the ranks say.
const LARGE: Duration = Duration::from_micros(400);

const BY_NAME: [ApiKey; 7] = [
    ApiKey::Metadata,
    ApiKey::ListOffsets,
    ApiKey::DescribeConfigs,
    ApiKey::OffsetFetch,
    ApiKey::DescribeGroups,
    ApiKey::FindCoordinator,
    ApiKey::DeleteTopics,
];

/// Compares times by name and by id; says the largest difference of medians.
pub(super) fn compare(scene: &mut Scene<'_>, theirs: &Names, nobody: &Names) -> Result<String, Trouble> {
    let mut largest = (Duration::ZERO, String::new());
    let mut note = |what: String, difference: Duration| {
        if difference >= largest.0 {
            largest = (difference, what);
        }
    };
    for key in BY_NAME {
        // From version 4 on nothing is created by asking for it.
        let versions = scene.versions_in(key, if key == ApiKey::Metadata { 4..=9 } else { 0..=9 });
        if let Some(version) = versions.last() {
            let difference = one(scene, key, version, theirs, nobody, PAIRS)?;
            note(format!("{} {version}", key.name()), difference);
        }
    }
    if let Some(version) = scene.versions_in(ApiKey::Metadata, 12..=i16::MAX).last() {
        let by_id = |names: &Names| Names { topic: String::new(), ..names.clone() };
        let difference = one(scene, ApiKey::Metadata, version, &by_id(theirs), &by_id(nobody), PAIRS_BY_ID)?;
        note(format!("Metadata {version} by id"), difference);
    }
    Ok(format!("medians differ by at most {} µs ({})", largest.0.as_micros(), largest.1))
}

fn one(
    scene: &mut Scene<'_>,
    key: ApiKey,
    version: i16,
    theirs: &Names,
    nobody: &Names,
    pairs: usize,
) -> Result<Duration, Trouble> {
    let bodies = [forge::request(key, version, theirs), forge::request(key, version, nobody)];
    let mut signs = Vec::new();
    let mut difference = Duration::ZERO;
    for _ in 0..ROUNDS {
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..pairs {
            let first = scene.dice.below(2);
            for which in [first, 1 - first] {
                let began = Instant::now();
                let _ = scene.ask(key, version, &bodies[which])?;
                times[which].push(began.elapsed());
            }
        }
        let [theirs, nobodys] = times;
        let verdict = judge(&theirs, &nobodys);
        difference = verdict.difference;
        signs.push(verdict.sign);
        if verdict.sign == 0 {
            break;
        }
    }
    let always = signs.len() == ROUNDS && (signs.iter().all(|s| *s > 0) || signs.iter().all(|s| *s < 0));
    scene.expect(!always, || {
        format!("{} {version} takes another time for the victim's: medians differ by {difference:?}", key.name())
    });
    Ok(difference)
}

struct Verdict {
    /// 1 or -1 where the first times are clearly longer or shorter.
    sign: i8,
    /// Of the medians.
    difference: Duration,
}

fn judge(theirs: &[Duration], nobodys: &[Duration]) -> Verdict {
    let (one, other) = (median(theirs), median(nobodys));
    let difference = one.abs_diff(other);
    let pairs = theirs.iter().zip(nobodys);
    let (longer, shorter) = pairs.fold((0.0, 0.0), |(longer, shorter), (a, b)| match a.cmp(b) {
        std::cmp::Ordering::Greater => (longer + 1.0, shorter),
        std::cmp::Ordering::Less => (longer, shorter + 1.0),
        std::cmp::Ordering::Equal => (longer, shorter),
    });
    let total: f64 = longer + shorter;
    let deviations = if total > 0.0 { (longer - shorter) / total.sqrt() } else { 0.0 };
    let clear = deviations.abs() > CLEAR && difference > LARGE.max(one.max(other) / 4);
    let sign = if !clear {
        0
    } else if deviations > 0.0 {
        1
    } else {
        -1
    };
    Verdict { sign, difference }
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(base: u64, step: u64) -> Vec<Duration> {
        (0..30).map(|n| Duration::from_micros(base + step * ((n * 7) % 5))).collect()
    }

    #[test]
    fn a_lookup_that_costs_a_round_trip_is_seen_and_noise_is_not() {
        assert_eq!(judge(&times(2000, 30), &times(1000, 30)).sign, 1);
        assert_eq!(judge(&times(1000, 30), &times(2000, 30)).sign, -1);
        assert_eq!(judge(&times(1000, 50), &times(1010, 50)).sign, 0, "ten microseconds are nothing");
        let mut one_slow = times(1000, 30);
        one_slow[3] = Duration::from_secs(2);
        assert_eq!(judge(&one_slow, &times(1000, 30)).sign, 0, "nor is one slow answer");
    }
}
