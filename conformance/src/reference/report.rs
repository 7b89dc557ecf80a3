//! What a comparison came to, for people and for programs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use wire::schema::ApiKey;

use super::compare::{Comparison, Difference};
use super::play::{Outcome, Played};
use super::rules::{Place, Rules};
use super::script::{Request, Served};

/// APIs that are not compared although they are served, each with its reason.
const NOT_COMPARED: &[(ApiKey, &str)] = &[
    (ApiKey::SaslHandshake, "the dedicated Kafka asks for no login"),
    (ApiKey::SaslAuthenticate, "the dedicated Kafka asks for no login"),
];
/// Of one kind of trouble no more is shown to people; programs get all.
const SHOWN: usize = 200;
/// How many of the slowest steps are told.
const SLOWEST: usize = 10;

/// One request whose answers differ without a reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The API.
    pub api: &'static str,
    /// Its version.
    pub version: i16,
    /// The step: script, what is special about it, the values that it was asked with.
    pub step: String,
    /// The request as the virtual cluster got it.
    pub request: Value,
    /// Where the answers differ.
    pub differences: Vec<Difference>,
}

/// How often something was seen that the lists explain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// The field or path.
    pub what: String,
    /// How often.
    pub count: usize,
    /// Why it may differ.
    pub why: String,
}

/// What a comparison came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// `conformance/v1`
    pub api_version: &'static str,
    /// `EquivalenceReport`
    pub kind: &'static str,
    /// Requests whose answers were compared.
    pub requests: usize,
    /// APIs that were compared.
    pub apis: usize,
    /// Pairs of API and version that were compared.
    pub versions: usize,
    /// Answers that were equal value by value.
    pub equal: usize,
    /// Answers that were equal after reviewed normalizations.
    pub normalized: usize,
    /// Answers that differ on purpose.
    pub deliberate: usize,
    /// Answers that differ without a reason.
    pub findings: Vec<Finding>,
    /// What is served and was not compared: API, versions and, where it is meant, the reason.
    pub not_compared: Vec<String>,
    /// What is served and should have been compared.
    pub missing: Vec<String>,
    /// Lines of the lists that nothing needed.
    pub stale: Vec<String>,
    /// The normalizations that were needed.
    pub normalizations: Vec<Explained>,
    /// The deliberate differences that were seen.
    pub differences: Vec<Explained>,
    /// How long it took.
    pub millis: u128,
    /// The steps that took longest, with the seconds.
    pub slowest: Vec<(String, f64)>,
}

/// Compares exchange by exchange and counts.
#[derive(Debug)]
pub(super) struct Judge<'a> {
    rules: &'a Rules,
    comparison: Comparison<'a>,
    seen: BTreeSet<(i16, i16)>,
    requests: usize,
    normalized: usize,
    deliberate: usize,
    findings: Vec<Finding>,
    took: BTreeMap<String, Duration>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(rules: &'a Rules) -> Self {
        let comparison = Comparison::new(rules);
        Self {
            rules,
            comparison,
            seen: BTreeSet::new(),
            requests: 0,
            normalized: 0,
            deliberate: 0,
            findings: Vec::new(),
            took: BTreeMap::new(),
        }
    }

    /// Compares what both sides said to one request.
    pub(super) fn exchange(&mut self, request: &Request, reference: &Played, found: &Played) {
        let api = request.key.name();
        *self.took.entry(format!("{api} {}", request.label)).or_default() += reference.took.max(found.took);
        let differences = match (&reference.outcome, &found.outcome) {
            (Outcome::Sent, Outcome::Sent) => return,
            (Outcome::Answer(reference), Outcome::Answer(found)) => {
                let path = String::new();
                let place = Place { api, version: request.version, label: &request.label, shown: path.clone(), path };
                let before: [usize; 2] = self.explained();
                let differences = self.comparison.answers(&place, reference, found);
                let after = self.explained();
                if differences.is_empty() {
                    self.deliberate += usize::from(after[1] > before[1]);
                    self.normalized += usize::from(after[1] == before[1] && after[0] > before[0]);
                }
                differences
            }
            (Outcome::Closed, Outcome::Closed) => Vec::new(),
            (reference, found) => vec![Difference {
                path: String::new(),
                reference: told(reference),
                r#virtual: told(found),
                remark: "not an answer on both sides".to_owned(),
            }],
        };
        self.requests += 1;
        let _ = self.seen.insert((request.key.code(), request.version));
        if !differences.is_empty() {
            let (step, request_body) = (request.label.clone(), found.body.clone());
            self.findings.push(Finding { api, version: request.version, step, request: request_body, differences });
        }
    }

    fn explained(&self) -> [usize; 2] {
        [self.comparison.normalized.iter().sum(), self.comparison.deliberate.iter().sum()]
    }

    /// The report, for what the virtual cluster says that it serves.
    pub(super) fn report(self, served: &Served, took: Duration) -> Report {
        let apis: BTreeSet<_> = self.seen.iter().map(|(key, _)| *key).collect();
        let (mut not_compared, mut missing) = (Vec::new(), Vec::new());
        for (code, versions) in served {
            let Some(key) = ApiKey::from_code(*code) else { continue };
            let reason = NOT_COMPARED.iter().find(|(known, _)| *known == key).map(|(_, reason)| *reason);
            let unseen = (versions.min..=versions.max).filter(|version| !self.seen.contains(&(*code, *version)));
            let unseen: Vec<_> = unseen.map(|version| version.to_string()).collect();
            match reason {
                _ if unseen.is_empty() => {}
                Some(reason) => not_compared.push(format!("{}: {reason}", key.name())),
                None => missing.push(format!("{} {}", key.name(), unseen.join(", "))),
            }
        }
        let unserved = ApiKey::ALL.iter().filter(|key| !served.contains_key(&key.code()));
        not_compared.extend(unserved.map(|key| format!("{}: not served", key.name())));
        let compared = |api: &str| ApiKey::ALL.iter().any(|key| key.name() == api && apis.contains(&key.code()));
        let mut stale = Vec::new();
        let (mut normalizations, mut differences) = (Vec::new(), Vec::new());
        let counts = self.comparison.normalized.iter().zip(&self.comparison.tried);
        for (rule, (count, tried)) in self.rules.normalizations.iter().zip(counts) {
            if *tried > 0 {
                normalizations.push(Explained { what: rule.field.clone(), count: *count, why: rule.why.clone() });
            } else if rule.apis.is_empty() || rule.apis.iter().any(|api| compared(api)) {
                stale.push(format!("normalization of {} {}", rule.field, rule.apis.join(", ")).trim().to_owned());
            }
        }
        for (rule, count) in self.rules.deliberate.iter().zip(&self.comparison.deliberate) {
            let what = format!("{} {}", rule.api, rule.path);
            if *count > 0 {
                differences.push(Explained { what, count: *count, why: rule.why.clone() });
            } else if compared(&rule.api) {
                stale.push(format!("deliberate difference of {what} {}", rule.labels.join(", ")).trim().to_owned());
            }
        }
        let mut slowest: Vec<_> = self.took.iter().map(|(step, took)| (step.clone(), took.as_secs_f64())).collect();
        slowest.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        slowest.truncate(SLOWEST);
        Report {
            api_version: crate::scenario::API_VERSION,
            kind: "EquivalenceReport",
            requests: self.requests,
            apis: apis.len(),
            versions: self.seen.len(),
            equal: self.requests - self.normalized - self.deliberate - self.findings.len(),
            normalized: self.normalized,
            deliberate: self.deliberate,
            findings: self.findings,
            not_compared,
            missing,
            stale,
            normalizations,
            differences,
            millis: took.as_millis(),
            slowest,
        }
    }
}

fn told(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Answer(answer) => answer.clone(),
        Outcome::TooLate(answer) => json!({ "waited for something else than": answer }),
        Outcome::Sent => json!("sent"),
        Outcome::Closed => json!("the connection was closed"),
        Outcome::NotAsked(why) => json!(format!("not asked: {why}")),
        Outcome::Unreadable(why) => json!(format!("unreadable: {why}")),
    }
}

impl Report {
    /// Whether the virtual cluster is equivalent, and nothing was left out of the comparison.
    pub fn is_good(&self) -> bool {
        self.findings.is_empty() && self.missing.is_empty() && self.stale.is_empty() && self.requests > 0
    }

    /// Differences first, figures last.
    pub fn human(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        for finding in self.findings.iter().take(SHOWN) {
            let _ = writeln!(text, "DIFFERS {} {}  {}", finding.api, finding.version, finding.step);
            let _ = writeln!(text, "  request    {}", finding.request);
            for difference in &finding.differences {
                let _ = writeln!(text, "  {}  {}", difference.path, difference.remark);
                let _ = writeln!(text, "    reference  {}", difference.reference);
                let _ = writeln!(text, "    virtual    {}", difference.r#virtual);
            }
        }
        if self.findings.len() > SHOWN {
            let _ = writeln!(text, "… and {} more; -o json has all", self.findings.len() - SHOWN);
        }
        for (title, explained) in [("normalized", &self.normalizations), ("on purpose", &self.differences)] {
            for one in explained {
                let _ = writeln!(text, "{title} {:>6}  {}: {}", one.count, one.what, one.why);
            }
        }
        let mut reasons = BTreeMap::<_, Vec<_>>::new();
        for (api, reason) in self.not_compared.iter().filter_map(|line| line.split_once(": ")) {
            reasons.entry(reason).or_default().push(api);
        }
        for (reason, apis) in reasons {
            let _ = writeln!(text, "not compared, {reason}: {}", apis.join(", "));
        }
        for line in &self.missing {
            let _ = writeln!(text, "MISSING: {line} is served and no script asks for it");
        }
        for line in &self.stale {
            let _ = writeln!(text, "STALE: the {line} no longer occurs; take the line out");
        }
        let _ = writeln!(
            text,
            "{} requests, {} APIs, {} versions: {} equal, {} equal after normalization, {} different on purpose, \
             {} different, in {:.1} s",
            self.requests,
            self.apis,
            self.versions,
            self.equal,
            self.normalized,
            self.deliberate,
            self.findings.len(),
            Duration::from_millis(u64::try_from(self.millis).unwrap_or(u64::MAX)).as_secs_f64()
        );
        text
    }
}
