//! What is odd enough to raise an alert, by rules that are simple enough to be explained:
//!
//! | rule | when |
//! | --- | --- |
//! | `authentication-failures` | one principal, or one address, failed to log in as often as set within a window |
//! | `acl-changed` | an ACL was made or removed |
//! | `sensitive-topic` | an account used a topic of `audit.sensitiveTopics` for the first time since the start |
//! | `volume` | a virtual cluster was sent ten times more bytes in a minute than in a minute of the hour before on average, and more than 100 MiB |
//!
//! A rule speaks once per window about the same subject. Memory is bounded: of more subjects than are watched at a time, the one
//! that began first is forgotten.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::event::{Action, Event};
use crate::observe::shown::Shown;

/// So many principals, addresses and users of sensitive topics are watched at a time, each.
const MOST: usize = 10_000;
/// Bytes are looked at this often.
pub(super) const MINUTE: Duration = Duration::from_secs(60);
/// The minutes that an average is made of.
const MINUTES: usize = 60;
/// Before so many minutes, an average says nothing.
const FEWEST_MINUTES: usize = 5;
const TIMES: u64 = 10;
/// A tenant may always read this much in a minute without an alert, in bytes.
const HARMLESS: u64 = 100 << 20;

/// What the rules are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// So many failed logins raise an alert.
    pub failures: u32,
    /// Within this time.
    pub window: Duration,
}

/// What the rules remember.
#[derive(Debug)]
pub(super) struct Anomalies {
    rules: Rules,
    principals: Subjects<Shown>,
    addresses: Subjects<Shown>,
    users: Subjects<(Option<Shown>, Option<Shown>, Shown)>,
    volumes: BTreeMap<Arc<str>, Volume>,
}

/// What is counted per subject, within bounds.
#[derive(Debug)]
struct Subjects<K> {
    counts: HashMap<K, (Instant, u32)>,
    /// In the order in which they began, with when, so that the oldest is found.
    order: VecDeque<(Instant, K)>,
}

impl<K: Clone + Eq + Hash> Subjects<K> {
    fn new() -> Self {
        Self { counts: HashMap::new(), order: VecDeque::new() }
    }

    /// Counts a subject; returns how often it came since its window began.
    fn count(&mut self, subject: &K, now: Instant, window: Option<Duration>) -> u32 {
        while let Some((began, oldest)) = self.order.front() {
            let over = window.is_some_and(|window| now.duration_since(*began) >= window);
            if !over && (self.order.len() < MOST || self.counts.contains_key(subject)) {
                break;
            }
            let _ = self.counts.remove(oldest);
            let _ = self.order.pop_front();
        }
        let (_, count) = self.counts.entry(subject.clone()).or_insert_with(|| {
            self.order.push_back((now, subject.clone()));
            (now, 0)
        });
        *count = count.saturating_add(1);
        *count
    }
}

/// The bytes that a virtual cluster was sent.
#[derive(Debug, Default)]
struct Volume {
    total: u64,
    minutes: VecDeque<u64>,
}

impl Anomalies {
    pub(super) fn new(rules: Rules) -> Self {
        let (principals, addresses, users) = (Subjects::new(), Subjects::new(), Subjects::new());
        Self { rules, principals, addresses, users, volumes: BTreeMap::new() }
    }

    /// The alerts that an event raises.
    pub(super) fn seen(&mut self, event: &Event, now: Instant) -> Vec<Event> {
        match &event.action {
            Action::AuthenticationFailed { .. } | Action::AdminRefused { .. } => self.failed(event, now),
            Action::AclChanged { binding, .. } => {
                vec![about(event, alert("acl-changed", who(event), binding.clone()))]
            }
            Action::TopicUsed { api, topic, sensitive: true } => {
                let user = (event.origin.virtual_cluster.clone(), event.origin.user.clone(), topic.clone());
                let first = self.users.count(&user, now, None) == 1;
                let detail = format!("first {api} of {topic} since the gateway started");
                first.then(|| about(event, alert("sensitive-topic", who(event), detail.into()))).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    fn failed(&mut self, event: &Event, now: Instant) -> Vec<Event> {
        let Rules { failures, window } = self.rules;
        let address = event.origin.connection.remote.map(|remote| Shown::from(remote.ip().to_string()));
        let mut alerts = Vec::new();
        let subjects = [
            (&mut self.principals, event.origin.principal.clone(), "principal"),
            (&mut self.addresses, address, "address"),
        ];
        for (subjects, subject, what) in subjects {
            let Some(subject) = subject else { continue };
            if subjects.count(&subject, now, Some(window)) == failures {
                let detail = format!("{what} failed to log in {failures} times within {} s", window.as_secs());
                alerts.push(about(event, alert("authentication-failures", subject, detail.into())));
            }
        }
        alerts
    }

    /// The alerts that the minute raises that is just over. `sent` are the bytes each virtual cluster was sent since it came up.
    pub(super) fn minute(&mut self, sent: &BTreeMap<Arc<str>, u64>) -> Vec<Event> {
        self.volumes.retain(|name, _| sent.contains_key(name));
        let mut alerts = Vec::new();
        for (name, total) in sent {
            let volume = self.volumes.entry(Arc::clone(name)).or_default();
            let now = total.saturating_sub(std::mem::replace(&mut volume.total, *total));
            let before = volume.minutes.iter().sum::<u64>() / (volume.minutes.len().max(1) as u64);
            if volume.minutes.len() >= FEWEST_MINUTES && now > HARMLESS && now / TIMES > before {
                let detail = format!("was sent {now} bytes in a minute, {before} on average in the hour before");
                alerts.push(Event::new(alert("volume", (&**name).into(), detail.into())).virtual_cluster(name));
            }
            volume.minutes.push_back(now);
            if volume.minutes.len() > MINUTES {
                let _ = volume.minutes.pop_front();
            }
        }
        alerts
    }
}

fn alert(rule: &'static str, subject: Shown, detail: Shown) -> Action {
    Action::Alert { rule, subject, detail }
}

fn who(event: &Event) -> Shown {
    event.origin.user.clone().or_else(|| event.origin.principal.clone()).unwrap_or_else(|| "unknown".into())
}

/// An alert with who did it and from where.
fn about(cause: &Event, action: Action) -> Event {
    Event::new(action).from_where(cause.origin.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::event::{Change, Connection};

    const RULES: Rules = Rules { failures: 3, window: MINUTE };

    fn failure(principal: &str, address: &str) -> Event {
        let action = Action::AuthenticationFailed { mechanism: "PLAIN".into(), reason: "wrong".into() };
        let remote = Some(format!("{address}:4242").parse().unwrap());
        Event::new(action).claimed(principal).over(Connection { local: None, remote })
    }

    fn subjects(alerts: &[Event]) -> Vec<&str> {
        fn subject(event: &Event) -> &str {
            match &event.action {
                Action::Alert { subject, .. } => subject.as_str(),
                other => panic!("{other:?}"),
            }
        }
        alerts.iter().map(subject).collect()
    }

    #[test]
    fn repeated_failures_of_a_principal_or_an_address_are_told_once_per_window() {
        let mut anomalies = Anomalies::new(RULES);
        let now = Instant::now();
        let mut told = Vec::new();
        for n in 0..9 {
            told.extend(anomalies.seen(&failure("alice", &format!("10.0.0.{n}")), now));
        }
        assert_eq!(subjects(&told), ["alice"], "one principal from many addresses");
        let mut told = Vec::new();
        for n in 0..9 {
            told.extend(anomalies.seen(&failure(&format!("guess-{n}"), "10.9.9.9"), now));
        }
        assert_eq!(subjects(&told), ["10.9.9.9"], "many principals from one address");
        let later = now + MINUTE;
        let told: Vec<_> = (0..2).flat_map(|_| anomalies.seen(&failure("alice", "10.9.9.9"), later)).collect();
        assert!(told.is_empty(), "a new window begins at zero: {told:?}");
        assert_eq!(subjects(&anomalies.seen(&failure("alice", "10.9.9.9"), later)), ["alice", "10.9.9.9"]);
    }

    #[test]
    fn guessing_names_takes_no_more_memory() {
        let mut anomalies = Anomalies::new(RULES);
        let now = Instant::now();
        for n in 0..MOST + 500 {
            let _ = anomalies.seen(&failure(&format!("guess-{n}"), "10.9.9.9"), now);
        }
        assert_eq!((anomalies.principals.counts.len(), anomalies.principals.order.len()), (MOST, MOST));
        assert_eq!(anomalies.addresses.counts.len(), 1);
    }

    #[test]
    fn an_acl_that_changes_is_an_alert() {
        let mut anomalies = Anomalies::new(RULES);
        let event = Event::new(Action::AclChanged { change: Change::Created, binding: "ALLOW User:bob ALL".into() });
        let told = anomalies.seen(&event.claimed("admin"), Instant::now());
        assert!(
            matches!(&told[0].action, Action::Alert { rule: "acl-changed", detail, .. } if detail.as_str().contains("bob"))
        );
    }

    #[test]
    fn the_first_use_of_a_sensitive_topic_is_an_alert() {
        let mut anomalies = Anomalies::new(RULES);
        let used = |topic: &str, sensitive| {
            let event = Event::new(Action::TopicUsed { api: "Fetch".into(), topic: topic.into(), sensitive });
            event.claimed("alice").virtual_cluster("dev")
        };
        let now = Instant::now();
        assert_eq!(subjects(&anomalies.seen(&used("cards", true), now)), ["alice"]);
        assert!(anomalies.seen(&used("cards", true), now).is_empty(), "it is no news");
        assert!(anomalies.seen(&used("orders", false), now).is_empty(), "it is not sensitive");
        assert_eq!(anomalies.seen(&used("cards", true).virtual_cluster("other"), now).len(), 1);
    }

    #[test]
    fn a_minute_with_far_more_bytes_than_before_is_an_alert() {
        let mut anomalies = Anomalies::new(RULES);
        let mut total = 0;
        let mut minute = |anomalies: &mut Anomalies, bytes: u64| {
            total += bytes;
            anomalies.minute(&[(Arc::from("dev"), total)].into())
        };
        assert!(minute(&mut anomalies, 900 << 20).is_empty(), "there is nothing to compare with");
        for _ in 0..MINUTES {
            assert!(minute(&mut anomalies, 20 << 20).is_empty());
        }
        assert!(minute(&mut anomalies, 150 << 20).is_empty(), "busy, but not odd");
        let told = minute(&mut anomalies, 300 << 20);
        assert_eq!(subjects(&told), ["dev"]);
        let _ = anomalies.minute(&BTreeMap::new());
        assert!(anomalies.volumes.is_empty(), "tenants that are gone are forgotten");
    }
}
