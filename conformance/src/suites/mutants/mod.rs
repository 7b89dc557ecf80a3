//! Gateways with one mistake each: the checks that must find it, shown to find it.
//!
//! A small proxy stands between the attacker and the gateway and does what a gateway with that mistake would do, on the
//! broker itself where the mistake is to let something through. A mutant that no check finds survived, and then the checks
//! prove less than they say.

mod mistakes;
mod proxy;

use serde::Serialize;

use self::proxy::Proxy;
use super::arena::{Arena, Trouble};
use super::report::CheckReport;
use super::run::Run;
use super::seed::Seed;
use super::{Check, all};
use crate::report::Status;

/// One mistake.
#[derive(Debug, Clone, Copy)]
pub struct Mutant {
    /// For example `unmapped-group`.
    pub name: &'static str,
    /// What the gateway does wrong.
    pub title: &'static str,
    /// The checks that must find it.
    pub killed_by: &'static [&'static str],
    mistake: mistakes::Mistake,
}

/// What became of a mutant.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MutantReport {
    /// Its name; `none` is the proxy without a mistake.
    pub name: &'static str,
    /// What the gateway did wrong.
    pub title: &'static str,
    /// The checks that must find it, and those that did.
    pub killed_by: Vec<&'static str>,
    /// Whether each of them found it; without a mistake, whether none complained.
    pub as_it_should: bool,
    /// The first complaint of each check.
    pub complaints: Vec<String>,
}

/// The mutants, and whether the unmutated proxy was clean.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MutantsReport {
    /// What everything random was drawn from.
    pub seed: String,
    /// The proxy without a mistake first.
    pub mutants: Vec<MutantReport>,
}

impl MutantsReport {
    /// Whether every mutant was killed by each of its checks and the proxy alone was clean.
    pub fn is_good(&self) -> bool {
        self.mutants.iter().all(|mutant| mutant.as_it_should)
    }

    /// The exit code: 0, or 6 where a mutant survived or the unmutated proxy was not clean.
    pub fn exit_code(&self) -> u8 {
        if self.is_good() { 0 } else { 6 }
    }
}

/// One line a mutant, what it was killed by below it.
pub fn line(report: &MutantReport) -> String {
    let verdict = match (report.name, report.as_it_should) {
        (NONE, true) => "clean",
        (NONE, false) => "NOT CLEAN",
        (_, true) => "killed",
        (_, false) => "SURVIVED",
    };
    let mut text = format!("  {verdict:<9} {:<22} {}\n", report.name, report.title);
    for complaint in &report.complaints {
        text.push_str(&format!("            {complaint}\n"));
    }
    text
}

/// How often the victim is given time to recover.
const SETTLING: usize = 5;

const NONE: &str = "none";

/// The table.
pub const MUTANTS: [Mutant; 12] = [
    Mutant {
        name: "unmapped-group",
        title: "the group of DescribeGroups goes to the broker as the client sent it",
        killed_by: &["I-05"],
        mistake: mistakes::unmapped_group,
    },
    Mutant {
        name: "unmapped-offsets-group",
        title: "the group of OffsetFetch goes to the broker as the client sent it",
        killed_by: &["I-05"],
        mistake: mistakes::unmapped_offsets_group,
    },
    Mutant {
        name: "unfiltered-groups",
        title: "ListGroups is answered by the broker as it is",
        killed_by: &["I-01"],
        mistake: mistakes::unfiltered_groups,
    },
    Mutant {
        name: "unfiltered-topics",
        title: "Metadata of all topics keeps those of others",
        killed_by: &["I-01"],
        mistake: mistakes::unfiltered_topics,
    },
    Mutant {
        name: "unchecked-session",
        title: "a fetch session goes to the broker whoever's it is",
        killed_by: &["I-04"],
        mistake: mistakes::unchecked_session,
    },
    Mutant {
        name: "broker-error-text",
        title: "error messages are passed on as the broker wrote them",
        killed_by: &["I-08"],
        mistake: mistakes::broker_error_text,
    },
    Mutant {
        name: "broker-address",
        title: "Metadata tells the broker's own address",
        killed_by: &["I-09"],
        mistake: mistakes::broker_address,
    },
    Mutant {
        name: "mixed-up-answers",
        title: "of a thousand requests one gets the answer to the one before",
        killed_by: &["I-35"],
        mistake: mistakes::mixed_up_answers,
    },
    Mutant {
        name: "unchecked-password",
        title: "any password lets in",
        killed_by: &["I-30"],
        mistake: mistakes::unchecked_password,
    },
    Mutant {
        name: "served-before-login",
        title: "DescribeCluster is answered before the login",
        killed_by: &["I-30"],
        mistake: mistakes::served_before_login,
    },
    // These go last: they end the victim's open transaction.
    Mutant {
        name: "unmapped-transaction",
        title: "the transactional id of EndTxn goes to the broker as the client sent it",
        killed_by: &["I-16"],
        mistake: mistakes::unmapped_transaction,
    },
    Mutant {
        name: "unmapped-producer",
        title: "the transactional id of InitProducerId goes to the broker as the client sent it",
        killed_by: &["I-16"],
        mistake: mistakes::unmapped_producer,
    },
];

/// Runs each mutant against the checks that must find it, after the proxy without a mistake against all of them.
///
/// # Errors
/// [`Trouble`]
pub fn run(arena: &Arena, seed: Seed, done: &mut dyn FnMut(&MutantReport)) -> Result<MutantsReport, Trouble> {
    let mut report = MutantsReport { seed: seed.to_string(), mutants: Vec::new() };
    let mut wanted: Vec<&'static str> = MUTANTS.iter().flat_map(|mutant| mutant.killed_by).copied().collect();
    wanted.sort_unstable();
    wanted.dedup();
    let unmutated =
        ended(NONE, "the proxy without a mistake", &checks(arena, seed, mistakes::none, &wanted)?, |check| {
            check.status == Status::Pass
        });
    done(&unmutated);
    report.mutants.push(unmutated);
    for mutant in &MUTANTS {
        let checks = checks(arena, seed, mutant.mistake, mutant.killed_by)?;
        let ended = ended(mutant.name, mutant.title, &checks, |check| check.status == Status::Fail);
        done(&ended);
        report.mutants.push(ended);
    }
    Ok(report)
}

fn ended(
    name: &'static str,
    title: &'static str,
    checks: &[CheckReport],
    as_it_should: impl Fn(&CheckReport) -> bool,
) -> MutantReport {
    let first = |check: &CheckReport| check.complaints.first().map(|complaint| format!("{}: {complaint}", check.id));
    MutantReport {
        name,
        title,
        killed_by: checks.iter().filter(|check| check.status == Status::Fail).map(|check| check.id).collect(),
        as_it_should: checks.iter().all(as_it_should),
        complaints: checks.iter().filter_map(first).map(|text| text.chars().take(200).collect()).collect(),
    }
}

fn checks(
    arena: &Arena,
    seed: Seed,
    mistake: mistakes::Mistake,
    ids: &[&'static str],
) -> Result<Vec<CheckReport>, Trouble> {
    let (gateway, direct) = (&arena.attacker.connection, &arena.direct);
    let proxy = Proxy::start(gateway, direct, &arena.attacker.prefix, mistake)
        .map_err(|error| Trouble::State(format!("no proxy: {error}")))?;
    let run = Run::through(arena, seed, proxy.connection());
    let found = ids.iter().map(|id| {
        let check: Option<&'static Check> = all().find(|check| check.id == *id);
        match check.and_then(|check| check.body.map(|body| (check, body))) {
            Some((check, body)) => Ok(run.check(check, body)),
            None => Err(Trouble::State(format!("there is no check {id} to kill a mutant"))),
        }
    });
    let found = found.collect();
    // What the mutant disturbed is not the next one's.
    let _ = (0..SETTLING).find(|_| arena.life.pulse().is_empty());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_has_a_check_that_is_written() {
        for mutant in MUTANTS {
            assert!(!mutant.killed_by.is_empty(), "{}", mutant.name);
            for id in mutant.killed_by {
                assert!(all().any(|check| check.id == *id && check.body.is_some()), "{}: {id}", mutant.name);
            }
        }
    }

    #[test]
    fn a_survivor_is_6() {
        let report = |as_it_should| {
            let one =
                MutantReport { name: "m", title: "", killed_by: vec![], as_it_should, complaints: vec!["why".into()] };
            MutantsReport { seed: "1".into(), mutants: vec![one] }
        };
        assert_eq!((report(true).exit_code(), report(false).exit_code()), (0, 6));
        assert!(line(&report(false).mutants[0]).contains("SURVIVED"));
    }
}
