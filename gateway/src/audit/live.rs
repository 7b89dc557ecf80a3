//! Audit events on the live stream: what was refused as a denial, everything else as it is.

use contract::events;
use serde_json::{Value, json};

use super::event::{Action, Event};
use super::record::event_data;
use crate::observe::shown::Shown;
use crate::observe::stream::EventStream;

/// Tells those who read now.
pub(super) fn publish(event: &Event, stream: &EventStream) {
    if stream.is_read() {
        stream.publish(&live(event));
    }
}

fn live(event: &Event) -> events::Event {
    let origin = &event.origin;
    let text = |shown: &Option<Shown>| shown.as_ref().map(|shown| shown.as_str().to_owned());
    let details = match event_data(&event.action) {
        Value::Object(details) => Value::Object(details),
        outcome => match &event.action {
            Action::AuthenticationFailed { mechanism, reason } => {
                json!({ "outcome": outcome, "mechanism": mechanism, "reason": reason })
            }
            Action::AuthenticationSucceeded { mechanism } => json!({ "outcome": outcome, "mechanism": mechanism }),
            _ => json!({ "outcome": outcome }),
        },
    };
    let told = events::Denial {
        kind: event.action.type_name().to_owned(),
        virtual_cluster: text(&origin.virtual_cluster),
        user: text(&origin.user),
        remote_address: origin.connection.remote.map(|address| address.to_string()),
        details,
    };
    if is_denial(&event.action) { events::Event::Denial(told) } else { events::Event::Audit(told) }
}

const fn is_denial(action: &Action) -> bool {
    matches!(
        action,
        Action::AuthenticationFailed { .. }
            | Action::AuthorizationDenied { .. }
            | Action::RequestRefused { .. }
            | Action::ConnectionRefused { .. }
            | Action::AdminRefused { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_is_a_denial() {
        let refused = Event::new(Action::AuthenticationFailed { mechanism: "PLAIN".into(), reason: "no".into() });
        let events::Event::Denial(denial) = live(&refused) else { panic!("{refused:?}") };
        assert_eq!((denial.kind.as_str(), &denial.details["outcome"]), ("AUTHENTICATION", &json!("FAILURE")));
        let admitted = Event::new(Action::AuthenticationSucceeded { mechanism: "PLAIN".into() }).virtual_cluster("dev");
        let events::Event::Audit(audit) = live(&admitted) else { panic!("{admitted:?}") };
        assert_eq!(audit.virtual_cluster.as_deref(), Some("dev"));
    }
}
