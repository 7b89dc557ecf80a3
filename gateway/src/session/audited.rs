//! What of a session is recorded, and how: who logged in or could not, what was refused, why it was ended.

use crate::apis::check::Unserved;
use crate::audit::event::{Action, Connection as Ends, Event};
use crate::authn::Identity;
use crate::observe::shown::Shown;
use crate::quotas::ledger::TooMany;
use crate::session::SessionError;
use crate::transport::connection::Connection;

/// One attempt to log in: what the client said so far of who it is. It holds no secret.
#[derive(Debug, Default)]
pub struct Attempt {
    mechanism: Option<Shown>,
    principal: Option<Shown>,
}

impl Attempt {
    /// The client asked for a mechanism: a new attempt.
    pub fn begin(&mut self, mechanism: &str) {
        *self = Self { mechanism: Some(mechanism.into()), principal: None };
    }

    /// The client sent a message of the mechanism: only the user name is taken out of it.
    pub fn said(&mut self, message: &[u8]) {
        if self.principal.is_none() {
            let mechanism = self.mechanism.as_ref().map_or("", Shown::as_str);
            self.principal = user_name(mechanism, message).map(Shown::from);
        }
    }

    /// Somebody else vouches for this name, which the message itself does not show.
    pub fn is(&mut self, principal: &str) {
        self.principal = Some(principal.into());
    }

    /// The client is who it says.
    pub fn succeeded(&self, client: &Connection, identity: &Identity) -> Event {
        let event = Event::new(Action::AuthenticationSucceeded { mechanism: self.mechanism() });
        self.claimed(event).by(identity).over(ends(client))
    }

    /// The client could not prove who it is.
    pub fn failed(&self, client: &Connection, reason: &str) -> Event {
        let action = Action::AuthenticationFailed { mechanism: self.mechanism(), reason: reason.into() };
        self.claimed(Event::new(action)).over(ends(client))
    }

    fn mechanism(&self) -> Shown {
        self.mechanism.clone().unwrap_or_else(|| "none".into())
    }

    fn claimed(&self, event: Event) -> Event {
        match &self.principal {
            Some(principal) => event.claimed(principal.as_str()),
            None => event,
        }
    }
}

/// The name of the user that a client's first message holds. What PLAIN says behind it is a password, and of a token nothing is
/// worth telling before it is checked.
fn user_name<'m>(mechanism: &str, message: &'m [u8]) -> Option<&'m str> {
    let message = std::str::from_utf8(message).ok()?;
    match mechanism {
        // RFC 4616: authorization id, user and password, each behind a NUL.
        "PLAIN" => {
            let mut parts = message.split('\0');
            let user = parts.nth(1)?;
            parts.next().map(|_password| user)
        }
        // RFC 5802: `n,,n=user,r=nonce`.
        mechanism if mechanism.starts_with("SCRAM-") => {
            message.split(',').skip(2).find_map(|attribute| attribute.strip_prefix("n="))
        }
        _ => None,
    }
}

/// The two ends of a client's connection.
pub fn ends(client: &Connection) -> Ends {
    Ends { local: Some(client.local()), remote: Some(client.remote()) }
}

/// A frame that was not served, where a session ended on one.
pub fn frame_refused(error: &SessionError, client: &Connection) -> Option<Event> {
    let SessionError::Frame { reason, detail } = error else { return None };
    let reason = format!("{}: {detail}", reason.label()).into();
    Some(Event::new(Action::RequestRefused { api: "unknown".into(), reason }).over(ends(client)))
}

/// A session that the gateway ended, or that ended on a frame that was not served.
pub fn session_ended(error: &SessionError, client: &Connection) -> Option<Event> {
    let reason = match error {
        SessionError::Ended(_) | SessionError::Expired | SessionError::Authentication(_) => error.to_string(),
        _ => return frame_refused(error, client),
    };
    Some(Event::new(Action::SessionEnded { reason: reason.into() }).over(ends(client)))
}

/// A client that logged in and is one more than a quota allows.
pub fn too_many(error: &TooMany, client: &Connection) -> Event {
    Event::new(Action::ConnectionRefused { reason: error.to_string().into() }).over(ends(client))
}

/// A request that is not in THE TABLE.
pub fn unserved(not: &Unserved) -> Action {
    let api = match not {
        Unserved::Malformed(_) | Unserved::UnknownKey(_) => "unknown",
        Unserved::Version { key, .. } | Unserved::Denied { key, .. } => key.name(),
    };
    Action::RequestRefused { api: api.into(), reason: not.to_string().into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_name_is_taken_and_nothing_else() {
        for (mechanism, message, expected) in [
            ("PLAIN", "\0alice\0secret", Some("alice")),
            ("PLAIN", "alice\0alice\0secret", Some("alice")),
            ("PLAIN", "alice\0secret", None),
            ("PLAIN", "secret", None),
            ("SCRAM-SHA-512", "n,,n=alice,r=rOprNGfwEbeRWgbNEkqO", Some("alice")),
            ("SCRAM-SHA-256", "c=biws,r=nonce,p=proof", None),
            ("OAUTHBEARER", "n,,\u{1}auth=Bearer eyJhbGciOi\u{1}\u{1}", None),
            ("", "\0alice\0secret", None),
        ] {
            assert_eq!(user_name(mechanism, message.as_bytes()), expected, "{mechanism} {message:?}");
        }
    }

    #[test]
    fn a_password_in_the_wrong_place_is_not_told() {
        // A user and password that stand where the authorization id and user belong.
        let mut attempt = Attempt::default();
        attempt.begin("PLAIN");
        attempt.said(b"alice\0secret");
        assert_eq!(attempt.principal, None);
    }
}
