//! Entering: before, during and beside the login. What comes back before somebody is known must be as good as nothing.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use wire::frame;
use wire::schema::ApiKey;

use crate::drivers::Connection;
use crate::drivers::http;
use crate::suites::arena::Trouble;
use crate::suites::attacker::{Line, Reply, encode};
use crate::suites::forge;
use crate::suites::scene::Scene;

const UNSUPPORTED_SASL_MECHANISM: i64 = 33;
const ILLEGAL_SASL_STATE: i64 = 34;
const SASL_AUTHENTICATION_FAILED: i64 = 58;
/// A wrong password is looked at up to twelve seconds later where others came before it; that a connection ends is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// What is served before the login.
const BEFORE: [ApiKey; 3] = [ApiKey::ApiVersions, ApiKey::SaslHandshake, ApiKey::SaslAuthenticate];

/// Requests before and during SASL, SASL twice, re-authentication to another tenant, mechanism downgrade.
pub(super) fn i_30(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let before = unknown_asks(scene)?;
    during_the_login(scene)?;
    let refused = false_logins(scene)?;
    nobody_or_wrong(scene)?;
    mechanisms(scene)?;
    another_login(scene)?;
    scene.got(format!("{before} requests before the login unanswered, {refused} false logins refused"));
    Ok(())
}

/// Every API at every version on a connection that has not logged in: the connection ends, unanswered.
fn unknown_asks(scene: &mut Scene<'_>) -> Result<usize, Trouble> {
    let secret = scene.secret();
    let mut sent = 0;
    for key in ApiKey::ALL.iter().filter(|key| !BEFORE.contains(key)) {
        for version in scene.versions(*key) {
            let reply = scene.attacker.stranger()?.ask(*key, version, &forge::request(*key, version, &secret))?;
            let what = format!("{} {version} before the login", key.name());
            scene.expect(matches!(reply, Reply::Closed(_)), || format!("{what} was answered: {reply:?}"));
            sent += 1;
        }
    }
    Ok(sent)
}

/// Between handshake and token, behind a token that is not good, and all in one write.
fn during_the_login(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let secret = scene.secret();
    let ask = forge::request(ApiKey::Metadata, 9, &secret);
    let mut line = scene.attacker.stranger()?;
    let shaken = shake(&mut line, "PLAIN")?;
    scene.expect(shaken.value()["ErrorCode"] == 0, || format!("PLAIN is not served: {shaken:?}"));
    let reply = line.ask(ApiKey::Metadata, 9, &ask)?;
    scene.expect(matches!(reply, Reply::Closed(_)), || format!("between handshake and token was answered: {reply:?}"));

    let mut line = scene.attacker.stranger()?;
    let early = authenticate(&mut line, b"\0a\0b")?;
    scene.expect(early.value()["ErrorCode"] == ILLEGAL_SASL_STATE || matches!(early, Reply::Closed(_)), || {
        format!("a token without a handshake came to {early:?}")
    });

    let mut line = scene.attacker.stranger()?;
    let user = scene.arena.target.connection.username.clone();
    let token = json!({ "AuthBytes": STANDARD.encode(format!("\0{user}\0wrong")) });
    let handshake = encode(ApiKey::SaslHandshake, 1, &json!({ "Mechanism": "PLAIN" }))?;
    let parts = [
        frame::request(ApiKey::SaslHandshake, 1, 1, Some("attacker"), &handshake),
        frame::request(ApiKey::SaslAuthenticate, 2, 2, Some("attacker"), &encode(ApiKey::SaslAuthenticate, 2, &token)?),
        frame::request(ApiKey::Metadata, 9, 3, Some("attacker"), &encode(ApiKey::Metadata, 9, &ask)?),
    ];
    line.socket().send_raw(&parts.concat())?;
    let rest = line.rest("a login and a request in one write", &parts.concat(), 4, PATIENCE)?;
    scene.expect(rest.closed && rest.frames.len() <= 2, || {
        format!("behind a wrong password {} frames came, closed: {}", rest.frames.len(), rest.closed)
    });
    Ok(())
}

/// Tokens that are not good, however they are formed; after each the connection is of no use.
fn false_logins(scene: &mut Scene<'_>) -> Result<usize, Trouble> {
    let (own, theirs) = (scene.arena.attacker.connection.clone(), scene.arena.target.connection.clone());
    let (me, mine, them) = (&own.username, &own.password, &theirs.username);
    let mut tokens: Vec<(&str, Vec<u8>)> = vec![
        ("their name, own password", format!("\0{them}\0{mine}").into()),
        ("their name, no password", format!("\0{them}\0").into()),
        ("acting for them", format!("{them}\0{me}\0{mine}").into()),
        ("a password and more", format!("\0{me}\0{mine}\0{them}").into()),
        ("a password and a NUL", format!("\0{me}\0{mine}\0").into()),
        ("their name behind a NUL", format!("\0{me}\0{them}\0{mine}").into()),
        ("an unsigned token", format!("\0{them}\0{}", http::unsigned_token(them)).into()),
        ("nothing", Vec::new()),
        ("no UTF-8", b"\0\xff\xfe\0\xff".to_vec()),
        ("a long password", [format!("\0{them}\0").as_bytes(), &[b'x'; 8000]].concat()),
    ];
    let upper = them.to_uppercase();
    tokens.push(("their name in capitals", format!("\0{upper}\0{mine}").into()));
    for (what, token) in &tokens {
        let mut line = scene.attacker.stranger()?;
        let _ = shake(&mut line, "PLAIN")?;
        let reply = authenticate(&mut line, token)?;
        scene.expect(reply.refused(), || format!("PLAIN with {what} was let in: {reply:?}"));
        let after = metadata(&mut line)?;
        scene.expect(matches!(after, Reply::Closed(_)), || format!("after PLAIN with {what}: {after:?}"));
    }
    Ok(tokens.len())
}

/// A wrong password of somebody and any of nobody look the same.
fn nobody_or_wrong(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let them = scene.arena.target.connection.username.clone();
    let nobody = scene.dice.word(them.len());
    let mut looks: Vec<Vec<Value>> = Vec::new();
    for user in [&them, &nobody] {
        let mut seen = Vec::new();
        let mut line = scene.attacker.stranger()?;
        let _ = shake(&mut line, "PLAIN")?;
        seen.push(authenticate(&mut line, format!("\0{user}\0wrong").as_bytes())?.comparable(&[(user, "USER")]));
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
            let mut line = scene.attacker.stranger()?;
            let _ = shake(&mut line, mechanism)?;
            let first = authenticate(&mut line, format!("n,,n={user},r=abcdefghijkl").as_bytes())?;
            let answered = first.value()["AuthBytes"].as_str().and_then(|text| STANDARD.decode(text).ok());
            let answered = String::from_utf8(answered.unwrap_or_default()).unwrap_or_default();
            let fields: Vec<&str> = answered.split(',').collect();
            // The nonce is chance, and the salt is each user's own: their lengths are what could tell.
            let lengths: Vec<usize> = fields.iter().map(|field| field.len()).collect();
            seen.push(json!({ "error": first.value()["ErrorCode"], "lengths": lengths, "iterations": fields.last() }));
            let nonce = fields.first().and_then(|field| field.strip_prefix("r=")).unwrap_or_default();
            let last = format!("c=biws,r={nonce},p={}", STANDARD.encode([7; 32]));
            seen.push(authenticate(&mut line, last.as_bytes())?.comparable(&[(user, "USER")]));
        }
        looks.push(seen);
    }
    scene.expect(looks[0] == looks[1], || format!("a user that exists shows: {:?}, nobody {:?}", looks[0], looks[1]));
    Ok(())
}

/// A mechanism that is not served is refused with those that are, and none of a weaker one's tokens is taken by another.
fn mechanisms(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let long = "A".repeat(2000);
    let served = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];
    for mechanism in ["", "plain", "PLAIN ", "SCRAM-SHA-1", "ANONYMOUS", "EXTERNAL", "GSSAPI", "CRAM-MD5", &long] {
        let mut line = scene.attacker.stranger()?;
        let reply = shake(&mut line, mechanism)?;
        let offered = reply.value()["Mechanisms"].as_array().cloned().unwrap_or_default();
        let lists = served.iter().all(|one| offered.contains(&json!(one)));
        let holds = reply.value()["ErrorCode"] == UNSUPPORTED_SASL_MECHANISM && lists;
        scene.expect(holds, || format!("the mechanism {mechanism:?} came to {reply:?}"));
        let own = scene.arena.attacker.connection.clone();
        let token = format!("\0{}\0{}", own.username, own.password);
        let reply = authenticate(&mut line, token.as_bytes())?;
        scene.expect(reply.refused(), || format!("a token after the mechanism {mechanism:?} was taken"));
    }
    let own = scene.arena.attacker.connection.clone();
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let mut line = scene.attacker.stranger()?;
        let _ = shake(&mut line, mechanism)?;
        let reply = authenticate(&mut line, format!("\0{}\0{}", own.username, own.password).as_bytes())?;
        let refused = reply.value()["ErrorCode"] == SASL_AUTHENTICATION_FAILED || matches!(reply, Reply::Closed(_));
        scene.expect(refused, || format!("PLAIN's token within {mechanism} came to {reply:?}"));
    }
    Ok(())
}

/// Whoever is logged in logs in again (KIP-368) as somebody else, with that one's good password, or a bad one of the victim's.
fn another_login(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let Some(other) = scene.arena.neighbours.first().cloned() else {
        return Err(Trouble::State("there is no neighbour to become".to_owned()));
    };
    let bad = Connection { password: "wrong".to_owned(), ..scene.arena.target.connection.clone() };
    for (what, next) in [("another tenant", &other.connection), ("the victim", &bad)] {
        let mut line = scene.attacker.line()?;
        let shaken = shake(&mut line, "PLAIN")?;
        let reply = authenticate(&mut line, format!("\0{}\0{}", next.username, next.password).as_bytes())?;
        let refused = shaken.refused() || reply.refused();
        scene.expect(refused, || format!("a session became {what}'s: {reply:?}"));
        let own = scene.arena.own.topic.clone();
        let after = metadata(&mut line)?;
        let topics = after.value()["Topics"].as_array().cloned().unwrap_or_default();
        let still = topics.iter().any(|topic| topic["Name"] == *own);
        scene.expect(still || matches!(after, Reply::Closed(_)), || {
            format!("after a login as {what} the session shows {after:?}")
        });
    }
    Ok(())
}

fn shake(line: &mut Line, mechanism: &str) -> Result<Reply, Trouble> {
    Ok(line.ask(ApiKey::SaslHandshake, 1, &json!({ "Mechanism": mechanism }))?)
}

fn authenticate(line: &mut Line, token: &[u8]) -> Result<Reply, Trouble> {
    Ok(line.ask(ApiKey::SaslAuthenticate, 2, &json!({ "AuthBytes": STANDARD.encode(token) }))?)
}

fn metadata(line: &mut Line) -> Result<Reply, Trouble> {
    Ok(line.ask(ApiKey::Metadata, 4, &json!({ "Topics": null, "AllowAutoTopicCreation": false }))?)
}

/// A PROXY protocol header that claims another address, other protocols at the client's port, Kafka at the admin port.
pub(super) fn i_32(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let v2 =
        [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &[127, 0, 0, 1, 127, 0, 0, 1, 0xd9, 0x03, 0x23, 0x84]].concat();
    let headers: [(&str, Vec<u8>); 6] = [
        ("PROXY v1", b"PROXY TCP4 127.0.0.1 127.0.0.1 56324 6969\r\n".to_vec()),
        ("PROXY v1 UNKNOWN", b"PROXY UNKNOWN\r\n".to_vec()),
        ("PROXY v2", v2),
        ("HTTP", b"GET /gateway/v2/virtual-cluster HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("HTTP CONNECT", b"CONNECT 127.0.0.1:8888 HTTP/1.1\r\nHost: 127.0.0.1:8888\r\n\r\n".to_vec()),
        ("a TLS hello", b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03".to_vec()),
    ];
    let ask = forge::request(ApiKey::Metadata, 9, &scene.secret());
    let request = frame::request(ApiKey::Metadata, 9, 1, Some("attacker"), &encode(ApiKey::Metadata, 9, &ask)?);
    for (what, header) in &headers {
        let mut line = scene.attacker.stranger()?;
        let said = [&header[..], &request].concat();
        line.socket().send_raw(&said)?;
        let rest = line.rest(what, &said, 1, PATIENCE)?;
        scene.expect(rest.closed && rest.frames.is_empty(), || {
            format!("{what} at the client's port: {} frames, closed: {}", rest.frames.len(), rest.closed)
        });
    }
    let Some(admin) = scene.arena.admin.clone() else {
        scene.got(format!("{} headers refused; the gateway has no admin API here", headers.len()));
        return Ok(());
    };
    let statuses = forged_origins(scene, &admin)?;
    let mut kafka = scene.attacker.elsewhere(admin.trim_start_matches("http://").trim_end_matches('/'))?;
    for key in [ApiKey::ApiVersions, ApiKey::Metadata] {
        let reply = kafka.ask(key, 0, &forge::request(key, 0, &scene.secret()))?;
        scene.expect(!matches!(reply, Reply::Answer(_)), || format!("the admin port speaks Kafka: {reply:?}"));
    }
    scene.got(format!("{} headers refused; forged origins at the admin API: {statuses:?}", headers.len()));
    Ok(())
}

/// Headers by which a proxy would say who is behind it open nothing.
fn forged_origins(scene: &mut Scene<'_>, admin: &str) -> Result<Vec<u16>, Trouble> {
    const HEADERS: [&str; 5] = [
        "X-Forwarded-For: 127.0.0.1",
        "Forwarded: for=127.0.0.1;host=localhost",
        "X-Forwarded-User: admin",
        "X-Remote-User: admin",
        "X-Original-URL: /health",
    ];
    let mut statuses = Vec::new();
    for header in HEADERS {
        // One more header, behind the login's own.
        let login = format!("Bearer none\r\n{header}");
        let answer = http::ask(admin, "GET", "/gateway/v2/service-account", Some(&login), "")
            .map_err(|error| Trouble::State(format!("the admin API at {admin}: {error}")))?;
        scene.arena.tap.saw(header, &[], &answer.bytes);
        scene.expect(matches!(answer.status, 401 | 403), || format!("{header} was answered with {}", answer.status));
        statuses.push(answer.status);
    }
    statuses.dedup();
    Ok(statuses)
}
