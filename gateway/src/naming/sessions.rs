//! Fetch sessions: which virtual cluster each was issued to.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};

/// A broker, and the number of a session that it issued.
type Session = (i32, i32);

/// No prefix holds it.
const BEHIND_PREFIX: char = '\0';

/// The fetch sessions that brokers issued through this gateway, each with the prefix of the virtual cluster that it was issued
/// to. Their numbers are the brokers' own: a number that was not issued to the tenant would continue somebody else's session
/// (KIP-227). A broker that gives a number again gives it to one client, so that the last owner is the only one.
///
/// Share sessions need no such thing: brokers key them by group and member, and the group has the prefix (KIP-932).
#[derive(Debug, Default)]
pub struct FetchSessions(RwLock<Issued>);

#[derive(Debug, Default)]
struct Issued {
    owners: HashMap<Session, Arc<str>>,
    /// The sessions of each owner, the oldest first.
    order: HashMap<Arc<str>, VecDeque<Session>>,
}

impl FetchSessions {
    /// A broker keeps 1,000 sessions by default; older ones of one owner than this were evicted there too.
    const MOST: usize = 10_000;

    /// The name of an owner within the virtual cluster of this prefix, beside that which has the prefix itself as its name.
    pub fn owner(prefix: &str, number: u64) -> Arc<str> {
        format!("{prefix}{BEHIND_PREFIX}{number}").into()
    }

    /// Forgets all sessions of `owner`.
    pub fn forget(&self, owner: &str) {
        let mut issued = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for session in issued.order.remove(owner).unwrap_or_default() {
            issued.remove(owner, session);
        }
    }

    /// Takes note that `broker` issued `session` to `owner`.
    pub fn issue(&self, owner: &str, broker: i32, session: i32) {
        if session == 0 || self.holds(owner, broker, session) {
            return;
        }
        let session = (broker, session);
        let mut issued = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let name = issued.order.get_key_value(owner).map_or_else(|| Arc::from(owner), |(name, _)| name.clone());
        let _ = issued.owners.insert(session, name.clone());
        let order = issued.order.entry(name).or_default();
        order.push_back(session);
        let oldest = if order.len() > Self::MOST { order.pop_front() } else { None };
        if let Some(oldest) = oldest {
            issued.remove(owner, oldest);
        }
    }

    /// Whether `broker` issued `session` to `owner`, and to nobody since.
    pub fn holds(&self, owner: &str, broker: i32, session: i32) -> bool {
        let issued = self.0.read().unwrap_or_else(PoisonError::into_inner);
        issued.owners.get(&(broker, session)).is_some_and(|holder| **holder == *owner)
    }

    /// Forgets that `broker` issued `session` to `owner`: its client has to begin a new one.
    pub fn revoke(&self, owner: &str, broker: i32, session: i32) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(owner, (broker, session));
    }

    /// Forgets the sessions of owners that are gone, when there are more than `most`; `is_there` is asked about prefixes.
    pub fn retain(&self, most: usize, is_there: impl Fn(&str) -> bool) {
        let is_there = |owner: &str| is_there(owner.split(BEHIND_PREFIX).next().unwrap_or_default());
        if self.0.read().unwrap_or_else(PoisonError::into_inner).order.len() > most {
            let mut issued = self.0.write().unwrap_or_else(PoisonError::into_inner);
            issued.order.retain(|owner, _| is_there(owner));
            issued.owners.retain(|_, owner| is_there(owner));
        }
    }
}

impl Issued {
    fn remove(&mut self, owner: &str, session: Session) {
        if self.owners.get(&session).is_some_and(|holder| **holder == *owner) {
            let _ = self.owners.remove(&session);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_held_per_broker_and_the_oldest_of_an_owner_are_forgotten() {
        let sessions = FetchSessions::default();
        sessions.issue("a.", 1, 42);
        sessions.issue("b.", 1, 43);
        assert!(sessions.holds("a.", 1, 42) && !sessions.holds("a.", 2, 42) && !sessions.holds("a.", 1, 43));
        for n in 100..100 + i32::try_from(FetchSessions::MOST).unwrap() {
            sessions.issue("a.", 1, n);
        }
        assert!(!sessions.holds("a.", 1, 42));
        assert!(sessions.holds("b.", 1, 43), "an owner of many sessions takes none of another's");
    }

    #[test]
    fn a_number_that_a_broker_gives_again_is_its_new_owners_alone() {
        let sessions = FetchSessions::default();
        sessions.issue("a.", 1, 42);
        sessions.issue("b.", 1, 42);
        assert!(sessions.holds("b.", 1, 42) && !sessions.holds("a.", 1, 42));
        sessions.revoke("a.", 1, 42);
        assert!(sessions.holds("b.", 1, 42), "only its owner's is revoked");
        sessions.revoke("b.", 1, 42);
        assert!(!sessions.holds("b.", 1, 42));
    }

    #[test]
    fn the_sessions_of_a_virtual_cluster_that_is_gone_are_forgotten() {
        let sessions = FetchSessions::default();
        sessions.issue("a.", 1, 42);
        sessions.issue("b.", 1, 43);
        sessions.retain(2, |_| false);
        assert!(sessions.holds("a.", 1, 42), "as long as there are few");
        sessions.retain(1, |owner| owner == "b.");
        assert!(!sessions.holds("a.", 1, 42) && sessions.holds("b.", 1, 43));
    }
}
