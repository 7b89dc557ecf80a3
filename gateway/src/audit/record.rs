//! An event as JSON, without its place in a chain.

use std::net::SocketAddr;

use aws_lc_rs::rand;
use serde_json::{Value, json};

use super::event::{Action, Change, Event};

/// The version of the shape, which tools that read such events expect.
const SPEC_VERSION: &str = "0.1.0";

/// One line: an object. `count` is how many like it there were, `node` the gateway.
pub(super) fn record(event: &Event, count: u64, node: &str) -> String {
    let mut fields = json!({
        "id": uuid(),
        "source": format!("anabranch://{node}"),
        "type": event.action.type_name(),
        "authenticationPrincipal": event.origin.principal.as_ref().or(event.origin.user.as_ref()),
        "userName": event.origin.user,
        "connection": {
            "localAddress": event.origin.connection.local.map(address),
            "remoteAddress": event.origin.connection.remote.map(address),
        },
        "specVersion": SPEC_VERSION,
        "time": humantime::format_rfc3339_nanos(event.time).to_string(),
        "eventData": event_data(&event.action),
        "virtualCluster": event.origin.virtual_cluster,
        "node": node,
    });
    if let Some(authentication) = authentication(&event.action) {
        fields["authentication"] = authentication;
    }
    if count > 1 {
        fields["count"] = count.into();
    }
    fields.to_string()
}

/// What readers of such events look for in an authentication is one word; the rest stands beside it.
fn authentication(action: &Action) -> Option<Value> {
    match action {
        Action::AuthenticationSucceeded { mechanism } => Some(json!({ "mechanism": mechanism })),
        Action::AuthenticationFailed { mechanism, reason } => Some(json!({ "mechanism": mechanism, "reason": reason })),
        _ => None,
    }
}

pub(super) fn event_data(action: &Action) -> Value {
    match action {
        Action::AuthenticationSucceeded { .. } => json!("SUCCESS"),
        Action::AuthenticationFailed { .. } => json!("FAILURE"),
        Action::AuthorizationDenied { api, operation, resource_type, resource } => json!({
            "decision": "DENIED", "api": api, "operation": operation,
            "resource": { "type": resource_type, "name": resource },
        }),
        Action::RequestRefused { api, reason } => json!({ "api": api, "reason": reason }),
        Action::ConnectionRefused { reason } | Action::SessionEnded { reason } => json!({ "reason": reason }),
        Action::ConfigurationChanged { change, kind, name } => {
            json!({ "change": changed(*change), "kind": kind, "name": name })
        }
        Action::AclChanged { change, binding } => json!({ "change": changed(*change), "binding": binding }),
        Action::AdminRefused { method, path, reason } => json!({ "method": method, "path": path, "reason": reason }),
        Action::AdminRequest { method, path, status } => json!({ "method": method, "path": path, "status": status }),
        Action::TopicUsed { api, topic, sensitive } => json!({ "api": api, "topic": topic, "sensitive": sensitive }),
        Action::CertificateReloaded { purpose, outcome: Ok(now) } => {
            json!({ "purpose": purpose, "result": "RELOADED", "certificate": now })
        }
        Action::CertificateReloaded { purpose, outcome: Err(reason) } => {
            json!({ "purpose": purpose, "result": "FAILED", "reason": reason })
        }
        Action::UpstreamSwitched { from, to, epoch } => json!({ "from": from, "to": to, "epoch": epoch }),
        Action::Alert { rule, subject, detail } => json!({ "rule": rule, "subject": subject, "detail": detail }),
        Action::EventsLost { count, at } => json!({ "count": count, "at": at }),
        Action::Various { of } => json!({ "of": of }),
        Action::ChainStarted { because } => json!({ "because": because }),
    }
}

fn changed(change: Change) -> &'static str {
    match change {
        Change::Created => "CREATED",
        Change::Updated => "UPDATED",
        Change::Deleted => "DELETED",
    }
}

/// As Java prints an address that was never a name.
fn address(address: SocketAddr) -> String {
    format!("/{address}")
}

/// A random UUID (RFC 9562, version 4). Where the operating system has no random bytes it is all zeros but for its version: an
/// event without an id is worth more than none.
pub(super) fn uuid() -> String {
    let mut bytes = [0; 16];
    let _ = rand::fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let number = u128::from_be_bytes(bytes);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        number >> 96,
        number >> 80 & 0xffff,
        number >> 64 & 0xffff,
        number >> 48 & 0xffff,
        number & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::event::Connection;
    use crate::authn::Identity;

    fn shape(event: &Event, count: u64) -> Value {
        serde_json::from_str(&record(event, count, "gw-1")).unwrap()
    }

    #[test]
    fn an_authentication_has_the_documented_shape() {
        let identity = Identity {
            username: "payments-svc-account".into(),
            virtual_cluster: "payments".into(),
            expires_at: None,
            provider: None,
        };
        let connection = Connection {
            local: Some("10.0.0.9:6969".parse().unwrap()),
            remote: Some("10.0.1.42:52341".parse().unwrap()),
        };
        let event = Event::new(Action::AuthenticationSucceeded { mechanism: "OAUTHBEARER".into() });
        let found = shape(&event.by(&identity).claimed("payments-service").over(connection), 1);
        let keys: Vec<_> = found.as_object().unwrap().keys().map(String::as_str).collect();
        let documented = "id source type authenticationPrincipal userName connection specVersion time eventData";
        assert_eq!(keys[..9], documented.split(' ').collect::<Vec<_>>());
        assert_eq!(keys[9..], ["virtualCluster", "node", "authentication"]);
        assert_eq!(found["eventData"], "SUCCESS");
        assert_eq!(found["authenticationPrincipal"], "payments-service");
        assert_eq!(found["userName"], "payments-svc-account");
        let addresses = json!({ "localAddress": "/10.0.0.9:6969", "remoteAddress": "/10.0.1.42:52341" });
        assert_eq!(found["connection"], addresses);
        let time = found["time"].as_str().unwrap();
        assert!(time.len() == "2025-07-18T16:07:06.570723674Z".len() && time.ends_with('Z'), "{time}");
        assert_eq!(found["id"].as_str().unwrap().len(), 36);
    }

    #[test]
    fn a_failure_says_why_and_how_often() {
        let action =
            Action::AuthenticationFailed { mechanism: "PLAIN".into(), reason: "unknown user or wrong password".into() };
        let found = shape(&Event::new(action).claimed("mallory\r\nforged"), 7);
        assert_eq!((&found["eventData"], &found["count"]), (&json!("FAILURE"), &json!(7)));
        assert_eq!(found["authentication"]["reason"], "unknown user or wrong password");
        assert_eq!(found["authenticationPrincipal"], "mallory\u{FFFD}\u{FFFD}forged");
        assert_eq!(found["userName"], Value::Null);
    }

    #[test]
    fn ids_are_version_4_and_differ() {
        let (one, other) = (uuid(), uuid());
        assert_ne!(one, other);
        assert_eq!(one.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&one.as_bytes()[19]));
    }
}
