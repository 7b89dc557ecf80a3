//! Whether the gateway can serve clients now: written by who connects and listens, read by the admin API.

use std::sync::{PoisonError, RwLock};

/// The parts on which readiness depends.
#[derive(Debug)]
pub struct Health {
    parts: RwLock<Parts>,
}

#[derive(Debug, Clone)]
struct Parts {
    upstream: Part,
    listeners: Part,
    state: Part,
    /// Why changed declarations are not used.
    declarations: Option<String>,
    certificates: Option<String>,
    /// Why changed settings do not hold.
    settings: Option<String>,
    draining: bool,
}

/// One part: up with a detail, or down for a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Up(String),
    Down(String),
}

impl Default for Health {
    fn default() -> Self {
        let starting = || Part::Down("starting".to_owned());
        Self {
            parts: RwLock::new(Parts {
                upstream: starting(),
                listeners: starting(),
                state: starting(),
                declarations: None,
                certificates: None,
                settings: None,
                draining: false,
            }),
        }
    }
}

impl Health {
    /// Reports on the physical cluster: up with how it was reached, down with what went wrong.
    pub fn set_upstream(&self, part: Part) {
        self.change(|parts| parts.upstream = part);
    }

    /// Reports on the client ports.
    pub fn set_listeners(&self, part: Part) {
        self.change(|parts| parts.listeners = part);
    }

    /// Reports on where declarations are kept: whether they are known, and kept.
    pub fn set_state(&self, part: Part) {
        self.change(|parts| parts.state = part);
    }

    /// Reports on changed declarations: why they are not used, `None` when all is well. The former ones go on holding.
    pub fn set_declarations(&self, trouble: Option<String>) {
        self.change(|parts| parts.declarations = trouble);
    }

    /// Reports on changed certificates: why they are not used, `None` when all is well. Clients are served either way.
    pub fn set_certificates(&self, trouble: Option<String>) {
        self.change(|parts| parts.certificates = trouble);
    }

    /// Reports on changed settings: why they do not hold, `None` when all do.
    pub fn set_settings(&self, trouble: Option<String>) {
        self.change(|parts| parts.settings = trouble);
    }

    /// From now on no new client is welcome.
    pub fn set_draining(&self) {
        self.change(|parts| parts.draining = true);
    }

    pub fn upstream(&self) -> Part {
        self.read(|parts| parts.upstream.clone())
    }

    pub fn state(&self) -> Part {
        self.read(|parts| parts.state.clone())
    }

    /// Why changed declarations are not used.
    pub fn declarations(&self) -> Option<String> {
        self.read(|parts| parts.declarations.clone())
    }

    /// Why changed certificates are not used.
    pub fn certificates(&self) -> Option<String> {
        self.read(|parts| parts.certificates.clone())
    }

    /// Why changed settings do not hold.
    pub fn settings(&self) -> Option<String> {
        self.read(|parts| parts.settings.clone())
    }

    /// The client ports; down while the gateway drains.
    pub fn listeners(&self) -> Part {
        self.read(|parts| match parts.draining {
            true => Part::Down("draining".to_owned()),
            false => parts.listeners.clone(),
        })
    }

    pub fn is_ready(&self) -> bool {
        [self.upstream(), self.listeners(), self.state()].iter().all(|part| matches!(part, Part::Up(_)))
    }

    // A panic elsewhere cannot leave these plain values half-written: a poisoned lock is as good as a sound one.
    fn change(&self, change: impl FnOnce(&mut Parts)) {
        change(&mut self.parts.write().unwrap_or_else(PoisonError::into_inner));
    }

    fn read<T>(&self, read: impl FnOnce(&Parts) -> T) -> T {
        read(&self.parts.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_needs_all_parts_and_no_drain() {
        let health = Health::default();
        assert!(!health.is_ready());
        health.set_upstream(Part::Up("3 brokers".into()));
        assert!(!health.is_ready());
        health.set_listeners(Part::Up("127.0.0.1:6969-6978".into()));
        assert!(!health.is_ready());
        health.set_state(Part::Up("in memory".into()));
        assert!(health.is_ready());
        health.set_draining();
        assert_eq!(health.listeners(), Part::Down("draining".into()));
        assert!(!health.is_ready());
    }
}
