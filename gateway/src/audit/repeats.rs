//! What repeats itself is told at once, and then once per window with a count: a flood of refusals must not become a flood of
//! events. Of more different ones than are told apart, those of one type are counted together.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::event::{Action, Connection, Event};
use crate::observe::shown::Shown;

/// Repetitions within this time are one event.
const WINDOW: Duration = Duration::from_secs(10);
/// So many different ones are told apart in a window.
const MOST: usize = 4096;

/// What came up in the present window.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    seen: HashMap<Key, Repeated>,
    ends: Option<Instant>,
}

/// Events that differ in nothing but time and port.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    principal: Option<Shown>,
    user: Option<Shown>,
    virtual_cluster: Option<Shown>,
    address: Option<IpAddr>,
    action: Action,
}

#[derive(Debug)]
struct Repeated {
    /// The latest.
    event: Event,
    /// How often it came, beside the first time.
    more: u64,
}

impl Key {
    fn of(event: &Event) -> Self {
        Self {
            principal: event.origin.principal.clone(),
            user: event.origin.user.clone(),
            virtual_cluster: event.origin.virtual_cluster.clone(),
            address: event.origin.connection.remote.map(|address| address.ip()),
            action: event.action.clone(),
        }
    }
}

impl Repeats {
    /// Tells whether the event is to be told now; if not, it is counted.
    pub(super) fn is_first(&mut self, event: &Event, now: Instant) -> bool {
        if !floods(&event.action) {
            return true;
        }
        let _ = self.ends.get_or_insert(now + WINDOW);
        let full = self.seen.len() >= MOST;
        if let Some(known) = self.seen.get_mut(&Key::of(event)) {
            known.event = event.clone();
            known.more += 1;
            return false;
        }
        if !full {
            let _ = self.seen.insert(Key::of(event), Repeated { event: event.clone(), more: 0 });
            return true;
        }
        let mut event = event.clone();
        event.action = Action::Various { of: event.action.type_name() };
        (event.origin.principal, event.origin.user, event.origin.connection) = (None, None, Connection::default());
        // One per type and virtual cluster: the number of those is the operator's.
        let various = self.seen.entry(Key::of(&event));
        let various = various.or_insert_with(|| Repeated { event: event.clone(), more: 0 });
        various.event = event;
        various.more += 1;
        false
    }

    /// What repeated itself in a window that is over, with how often.
    pub(super) fn over(&mut self, now: Instant) -> Vec<(Event, u64)> {
        if self.ends.is_some_and(|ends| now >= ends) { self.all() } else { Vec::new() }
    }

    /// What repeated itself until now, with how often.
    pub(super) fn all(&mut self) -> Vec<(Event, u64)> {
        self.ends = None;
        let seen = std::mem::take(&mut self.seen).into_values();
        let mut repeated: Vec<_> =
            seen.filter(|repeated| repeated.more > 0).map(|repeated| (repeated.event, repeated.more)).collect();
        repeated.sort_by_key(|(event, _)| event.time);
        repeated
    }
}

/// Whether a client can cause it as fast as it can send.
fn floods(action: &Action) -> bool {
    match action {
        Action::AuthenticationFailed { .. }
        | Action::AuthorizationDenied { .. }
        | Action::RequestRefused { .. }
        | Action::ConnectionRefused { .. }
        | Action::AdminRefused { .. }
        | Action::TopicUsed { .. }
        | Action::Various { .. } => true,
        Action::AuthenticationSucceeded { .. }
        | Action::SessionEnded { .. }
        | Action::ConfigurationChanged { .. }
        | Action::AclChanged { .. }
        | Action::AdminRequest { .. }
        | Action::CertificateReloaded { .. }
        | Action::UpstreamSwitched { .. }
        | Action::Alert { .. }
        | Action::EventsLost { .. }
        | Action::ChainStarted { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(api: &str) -> Event {
        Event::new(Action::RequestRefused { api: api.into(), reason: "no".into() }).virtual_cluster("dev")
    }

    #[test]
    fn a_flood_is_one_event_and_a_count() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        let told = (0..1000).filter(|_| repeats.is_first(&refused("Fetch"), now)).count();
        assert_eq!(told, 1);
        assert!(repeats.over(now).is_empty(), "the window is not over");
        let over = repeats.over(now + WINDOW);
        assert_eq!(over.iter().map(|(_, more)| more).collect::<Vec<_>>(), [&999]);
        assert!(repeats.is_first(&refused("Fetch"), now + WINDOW), "a new window");
        assert!(repeats.all().is_empty(), "what came once was told");
    }

    #[test]
    fn another_port_is_no_difference_and_another_address_is() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        let from =
            |remote: &str| refused("Fetch").over(Connection { local: None, remote: Some(remote.parse().unwrap()) });
        assert!(repeats.is_first(&from("10.0.0.1:1"), now));
        assert!(!repeats.is_first(&from("10.0.0.1:2"), now));
        assert!(repeats.is_first(&from("10.0.0.2:1"), now));
    }

    #[test]
    fn memory_is_bounded_and_nothing_goes_uncounted() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        let told = (0..3 * MOST).filter(|n| repeats.is_first(&refused(&n.to_string()), now)).count();
        assert_eq!(told, MOST);
        assert_eq!(repeats.seen.len(), MOST + 1);
        let over = repeats.over(now + WINDOW);
        assert_eq!(over.len(), 1);
        let (event, more) = &over[0];
        assert_eq!((&event.action, *more as usize), (&Action::Various { of: "REQUEST_REFUSED" }, 2 * MOST));
        assert_eq!(event.origin.virtual_cluster, Some("dev".into()));
    }

    #[test]
    fn what_an_operator_does_is_told_each_time() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        let changed = Event::new(Action::SessionEnded { reason: "revoked".into() });
        assert!(repeats.is_first(&changed, now) && repeats.is_first(&changed, now));
    }
}
