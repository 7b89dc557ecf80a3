//! Outliving: credentials that have ended, and connections that were opened with them.

use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use wire::schema::ApiKey;

use crate::drivers::Connection;
use crate::drivers::socket::{KafkaSocket, SocketError};
use crate::gateways::{Gateway, GatewayError, free_ports};
use crate::suites::arena::{Trouble, tenant, the_broker};
use crate::suites::scene::Scene;

/// A session's next request is the latest moment at which its end is noticed, and this is how long one may take.
const SOON: Duration = Duration::from_secs(30);
/// The life of the token that is let expire, in seconds.
const LIFE: u64 = 6;

/// Token replay after expiry, credentials of a sandbox that is gone, open connections after both.
pub(super) fn i_31(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let revoked = revoked(scene)?;
    let expired = expired(scene)?;
    scene.got(format!("{revoked}; {expired}"));
    Ok(())
}

/// A sandbox goes while its client is connected, and comes again under its name.
fn revoked(scene: &mut Scene<'_>) -> Result<String, Trouble> {
    let name = format!("leaver-{}", scene.dice.word(6));
    let gone = tenant(scene.arena.sandboxes().up(&name)?)?;
    let mut open = KafkaSocket::connect(&gone.connection)?;
    let served = topics(&mut open);
    scene.expect(served.is_ok(), || format!("a sandbox's own client is not served: {served:?}"));
    let down = scene.arena.sandboxes().down(&name)?;
    scene.expect(down.is_ok(), || format!("sandbox down: {down:?}"));
    let after = ended_within(&mut open);
    scene.expect(after.is_some(), || format!("a connection is served {} s after its sandbox went", SOON.as_secs()));
    refused(scene, &gone.connection, "of a sandbox that is gone");
    let anew = tenant(scene.arena.sandboxes().up(&name)?)?;
    refused(scene, &gone.connection, "of the sandbox that had the name before");
    let crossed = Connection { username: anew.connection.username.clone(), ..gone.connection.clone() };
    refused(scene, &crossed, "of the one before with the new one's name");
    let _ = scene.arena.sandboxes().down(&name)?;
    Ok(format!("an open connection ended {} ms after its sandbox", after.unwrap_or_default().as_millis()))
}

/// A token expires while its client is connected; a gateway of one's own, because only an admin makes tokens.
fn expired(scene: &mut Scene<'_>) -> Result<String, Trouble> {
    let of_gateway = |error: GatewayError| Trouble::State(error.to_string());
    let port = free_ports(1).map_err(|error| Trouble::State(error.to_string()))?;
    let lowest = the_broker(&scene.arena.direct)?;
    let settings = json!({
        "upstream": { "bootstrapServers": scene.arena.direct.bootstrap },
        "clients": {
            "securityProtocol": "SASL_PLAINTEXT", "portStart": port, "portCount": 1, "minBrokerId": lowest,
        },
        "state": { "store": "memory" },
    });
    let program = scene.arena.sandboxes().program().to_owned();
    let gateway = Gateway::start(&program, &settings).map_err(of_gateway)?;
    for one in ["expiring", "lasting"] {
        gateway.virtual_cluster(one, &json!({})).map_err(of_gateway)?;
        gateway.account(one, &format!("{one}-app"), &json!({ "type": "LOCAL" })).map_err(of_gateway)?;
    }
    let token = gateway.token("expiring", "expiring-app", LIFE).map_err(of_gateway)?;
    let by = |username: &str, password: String| Connection {
        bootstrap: format!("127.0.0.1:{port}"),
        security_protocol: "SASL_PLAINTEXT".to_owned(),
        mechanism: "PLAIN".to_owned(),
        username: username.to_owned(),
        password,
        ..Connection::default()
    };
    let own = by("expiring-app", token.clone());
    let mut open = KafkaSocket::connect(&own)?;
    let began = Instant::now();
    let served = topics(&mut open);
    scene.expect(served.is_ok(), || format!("a token's own client is not served: {served:?}"));
    refused(scene, &by("lasting-app", token.clone()), "of another account");
    for (what, forged) in forgeries(&token) {
        refused(scene, &by("lasting-app", forged.clone()), what);
        refused(scene, &by("expiring-app", forged), what);
    }
    let after = ended_within(&mut open);
    let life = began.elapsed();
    scene.expect(after.is_some(), || format!("a connection is served {} s after its token", SOON.as_secs() - LIFE));
    refused(scene, &own, "that has expired");
    Ok(format!("one of a token of {LIFE} s after {} ms", life.as_millis()))
}

/// The token with another name, without a signature, and with another end.
fn forgeries(token: &str) -> Vec<(&'static str, String)> {
    let parts: Vec<&str> = token.split('.').collect();
    let [head, claims, signature] = parts.as_slice() else {
        // Not a token of three parts: only that it is damaged can be tried.
        return vec![("with a letter more", format!("{token}A")), ("cut", token[..token.len() / 2].to_owned())];
    };
    let read: Value =
        URL_SAFE_NO_PAD.decode(claims).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut claims = read.clone();
        change(&mut claims);
        URL_SAFE_NO_PAD.encode(claims.to_string())
    };
    let other_name = changed(&|claims| rename(claims));
    let later = changed(&|claims| claims["exp"] = json!(4_102_444_800_u64));
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    vec![
        ("with another name", format!("{head}.{other_name}.{signature}")),
        ("with a later end", format!("{head}.{later}.{signature}")),
        ("without a signature", format!("{none}.{claims}.")),
        ("without a signature, and another name", format!("{none}.{other_name}.")),
        ("whose signature is cut", format!("{head}.{claims}.{}", &signature[..signature.len() / 2])),
    ]
}

/// Wherever the claims say `expiring`, they say `lasting`.
fn rename(value: &mut Value) {
    match value {
        Value::Object(map) => map.values_mut().for_each(rename),
        Value::Array(list) => list.iter_mut().for_each(rename),
        Value::String(text) => *text = text.replace("expiring", "lasting"),
        _ => {}
    }
}

fn refused(scene: &mut Scene<'_>, connection: &Connection, what: &str) {
    let tried = KafkaSocket::connect(connection);
    let holds = matches!(tried, Err(SocketError::Login { .. } | SocketError::Io(_)));
    scene.expect(holds, || format!("the credential {what} lets in: {tried:?}"));
}

fn topics(socket: &mut KafkaSocket) -> Result<Value, SocketError> {
    let body = json!({ "Topics": null, "AllowAutoTopicCreation": false });
    let answer = socket.ask(ApiKey::Metadata, 4, &body)?;
    Ok(answer.value["Topics"].clone())
}

/// After how long the connection is served no more.
fn ended_within(socket: &mut KafkaSocket) -> Option<Duration> {
    let began = Instant::now();
    while began.elapsed() < SOON {
        if topics(socket).is_err() {
            return Some(began.elapsed());
        }
        thread::sleep(Duration::from_millis(100));
    }
    None
}
