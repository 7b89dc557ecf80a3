//! Frames: what a connection can say that no client would.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use wire::frame;
use wire::schema::ApiKey;

use super::memory;
use crate::drivers::socket::SocketError;
use crate::records::{Batch, attributes, gzip};
use crate::suites::arena::Trouble;
use crate::suites::attacker::{Line, Reply, encode};
use crate::suites::forge::{self, Names};
use crate::suites::scene::Scene;

/// What comes of a frame that is none comes within this time, or not at all.
const PATIENCE: Duration = Duration::from_millis(400);
/// The correlation id of everything that is smuggled.
const SMUGGLED: i32 = 0x5a5a_0001;
const CLIENT: Option<&str> = Some("conformance");

/// Requests inside requests, frames that lie about their length, answers that are not to come.
pub(super) fn i_33(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let mut closed = 0;
    let frames = smuggled(scene)?;
    for (what, bytes) in &frames {
        let mut line = scene.attacker.line()?;
        // Whoever is cut off while it writes was refused.
        let _ = line.socket().send_raw(bytes);
        let rest = line.rest(what, bytes, 8, PATIENCE)?;
        for answer in &rest.frames {
            let id = answer.first_chunk().map_or(0, |id| i32::from_be_bytes(*id));
            scene.expect(id == SMUGGLED, || format!("{what}: an answer with correlation id {id} came"));
        }
        closed += usize::from(rest.closed);
    }
    scene.got(format!("{} smuggled frames: {closed} ended the connection, no foreign answer", frames.len()));
    equal_correlation_ids(scene)?;
    unanswered(scene)
}

/// Each begins well and goes on badly.
fn smuggled(scene: &Scene<'_>) -> Result<Vec<(String, Vec<u8>)>, Trouble> {
    let physical = Scene::physical(&scene.secret(), &scene.arena.target.prefix);
    let body = json!({ "Topics": [{ "Name": physical.topic }], "AllowAutoTopicCreation": false });
    let metadata = encode(ApiKey::Metadata, 4, &body)?;
    let request = |key, version, body: &[u8]| frame::request(key, version, SMUGGLED, CLIENT, body);
    let inner = request(ApiKey::Metadata, 4, &metadata);
    let relength = |mut frame: Vec<u8>, by: i64| {
        let length = i64::from(u32::from_be_bytes(*frame.first_chunk().unwrap_or(&[0; 4]))) + by;
        frame[..4].copy_from_slice(&u32::try_from(length.max(0)).unwrap_or(u32::MAX).to_be_bytes());
        frame
    };
    let mut all = vec![
        ("trailing bytes behind a body".to_owned(), relength([&inner[..], &inner[..]].concat(), inner.len() as i64)),
        ("a frame that is announced too short".to_owned(), relength(inner.clone(), -7)),
        ("a frame that is announced too long".to_owned(), relength(inner.clone(), 9)),
        ("an empty frame".to_owned(), vec![0; 4]),
        ("a frame with half a header".to_owned(), vec![0, 0, 0, 3, 0, 3, 0]),
        ("a client id that is longer than its frame".to_owned(), long_client_id(&metadata)),
        ("a request of the controller inside tagged fields".to_owned(), tagged(&inner)?),
    ];
    let records = json!([{ "Index": 0, "Records": STANDARD.encode(&inner) }]);
    let produce = json!({ "Acks": 1, "TimeoutMs": 1000,
        "TopicData": [{ "Name": scene.arena.own.topic, "PartitionData": records }] });
    all.push((
        "a request instead of records".to_owned(),
        request(ApiKey::Produce, 7, &encode(ApiKey::Produce, 7, &produce)?),
    ));
    for (key, version) in
        [(9999, 0), (-1, 0), (10_000, 1), (i16::MAX, i16::MAX), (3, 127), (3, -1), (1, i16::MAX), (4, 0)]
    {
        let mut frame = inner.clone();
        frame[4..6].copy_from_slice(&i16::to_be_bytes(key));
        frame[6..8].copy_from_slice(&i16::to_be_bytes(version));
        all.push((format!("API {key} at version {version}"), frame));
    }
    Ok(all)
}

fn long_client_id(body: &[u8]) -> Vec<u8> {
    let mut frame = frame::request(ApiKey::Metadata, 4, SMUGGLED, CLIENT, body);
    frame[12..14].copy_from_slice(&i16::MAX.to_be_bytes());
    frame
}

/// A request whose unknown tagged fields hold another one.
fn tagged(inner: &[u8]) -> Result<Vec<u8>, SocketError> {
    let tags = json!({ "7": STANDARD.encode(inner), "4711": STANDARD.encode(inner) });
    let body =
        json!({ "Topics": [{ "Name": "nobody", "_tags": tags }], "_tags": tags, "AllowAutoTopicCreation": false });
    Ok(frame::request(ApiKey::Metadata, 12, SMUGGLED, CLIENT, &encode(ApiKey::Metadata, 12, &body)?))
}

/// Answers to requests with one correlation id come in the order of the requests.
fn equal_correlation_ids(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    const REQUESTS: usize = 60;
    let mut line = scene.attacker.line()?;
    let names: Vec<String> = (0..REQUESTS).map(|_| scene.dice.word(14)).collect();
    let wrong = ask_at_once(&mut line, &names)?;
    scene.expect(wrong.is_empty(), || format!("with equal correlation ids: {}", wrong.join("; ")));
    scene.got(format!("{REQUESTS} pipelined requests with one correlation id were answered in order"));
    Ok(())
}

/// Sends Metadata about each name under one correlation id, then reads the answers; says which were not to their request.
fn ask_at_once(line: &mut Line, names: &[String]) -> Result<Vec<String>, SocketError> {
    const ID: i32 = 7;
    let mut sent = Vec::new();
    for name in names {
        let body = json!({ "Topics": [{ "Name": name }], "AllowAutoTopicCreation": false });
        let encoded = encode(ApiKey::Metadata, 4, &body)?;
        line.socket().correlate(ID);
        sent.push((line.socket().send_body(ApiKey::Metadata, 4, &encoded)?, encoded, body, name));
    }
    let mut wrong = Vec::new();
    for (sent, encoded, body, name) in sent {
        let reply = line.reply("Metadata 4", sent, &encoded, &body);
        if reply.value()["Topics"][0]["Name"] != **name {
            wrong.push(format!("asked about {name}, got {reply:?}"));
        }
    }
    Ok(wrong)
}

/// Writes without acknowledgement have no answer; the next answer is the next request's.
fn unanswered(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let (own, theirs) = (scene.arena.own.clone(), scene.arena.victim.secret.clone());
    for topic in [own.topic.clone(), theirs.name, theirs.physical] {
        let mut line = scene.attacker.line()?;
        let records = json!([{ "Index": 0, "Records": STANDARD.encode(Batch::of("k", "unacknowledged").bytes()) }]);
        let body = json!({ "Acks": 0, "TimeoutMs": 1000, "TopicData": [{ "Name": topic, "PartitionData": records }] });
        for _ in 0..20 {
            // A broker ends the connection of somebody who writes so to what does not exist.
            let _ = line.socket().send_body(ApiKey::Produce, 7, &encode(ApiKey::Produce, 7, &body)?);
        }
        let names = [own.topic.clone(), own.topic.clone()];
        let wrong = ask_at_once(&mut line, &names).unwrap_or_default();
        let aligned = wrong.is_empty() || topic != own.topic;
        scene.expect(aligned, || format!("after writes without acknowledgement: {}", wrong.join("; ")));
        let garbled = wrong.iter().any(|reply| reply.contains("Garbled"));
        scene.expect(!garbled, || format!("answers came to other requests: {}", wrong.join("; ")));
    }
    scene.got("answers stay aligned behind writes without acknowledgement");
    Ok(())
}

/// Counts and lengths that nobody can keep, in every API at every version.
pub(super) fn i_34(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    const LIES: [&[u8]; 6] = [
        &[0x7f, 0xff, 0xff, 0xff],
        &[0xff, 0xff, 0xff, 0xfe],
        &[0x80, 0, 0, 0],
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        &[0xff, 0xff, 0xff, 0x7f],
    ];
    const TRIES: usize = 3;
    let before = memory::resident(scene.arena.gateway_pid);
    let (mut sent, mut closed) = (0, 0);
    let nobody = scene.nobody();
    let mut line = scene.attacker.line()?;
    for key in ApiKey::ALL {
        for version in scene.versions(*key) {
            let body = encode(*key, version, &forge::request(*key, version, &nobody))?;
            for _ in 0..TRIES {
                let lie = LIES[scene.dice.below(LIES.len())];
                let mut body = body.clone();
                let at = scene.dice.below(body.len().max(1));
                let end = (at + lie.len()).min(body.len());
                let _ = body.splice(at..end, lie.iter().copied());
                sent += 1;
                if line.socket().send_body(*key, version, &body).is_err()
                    || line.rest(&format!("{} {version}", key.name()), &body, 1, PATIENCE)?.frames.is_empty()
                {
                    closed += 1;
                    line = scene.attacker.line()?;
                }
            }
        }
    }
    endless(scene)?;
    let grown = memory::grown(before, memory::resident(scene.arena.gateway_pid));
    scene.expect(grown.is_none_or(|grown| grown < memory::ALLOWED), || {
        format!("the gateway grew by {} KiB", grown.unwrap_or(0) >> 10)
    });
    let grown =
        grown.map_or("its memory is not known here".to_owned(), |grown| format!("it grew by {} KiB", grown >> 10));
    scene.got(format!("{sent} frames with lies, {closed} ended their connection; {grown}"));
    Ok(())
}

/// Frames that are announced with two gigabytes or less than nothing, before and after the login.
fn endless(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    for length in [i32::MAX, -1, i32::MIN, 1 << 30] {
        for stranger in [true, false] {
            let mut line = if stranger { scene.attacker.stranger()? } else { scene.attacker.line()? };
            let bytes = [&length.to_be_bytes()[..], &[0; 4096]].concat();
            let _ = line.socket().send_raw(&bytes);
            let rest = line.rest("an endless frame", &bytes, 4, Duration::from_secs(5))?;
            scene.expect(rest.closed && rest.frames.is_empty(), || {
                format!("a frame of {length} bytes was not refused (before the login: {stranger})")
            });
        }
    }
    Ok(())
}

/// Ten thousand requests over many connections, all with one correlation id; each answer names its request.
pub(super) fn i_35(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    const CONNECTIONS: usize = 16;
    const WINDOWS: usize = 13;
    const WINDOW: usize = 50;
    let mut work = Vec::new();
    for _ in 0..CONNECTIONS {
        let names: Vec<Vec<String>> =
            (0..WINDOWS).map(|_| (0..WINDOW).map(|_| scene.dice.word(14)).collect()).collect();
        work.push((scene.attacker.line()?, names));
    }
    let began = Instant::now();
    let wrong: Vec<Result<Vec<String>, SocketError>> = std::thread::scope(|scope| {
        let threads: Vec<_> = work
            .into_iter()
            .map(|(mut line, names)| {
                scope.spawn(move || {
                    let mut wrong = Vec::new();
                    for window in &names {
                        wrong.extend(ask_at_once(&mut line, window)?);
                    }
                    Ok(wrong)
                })
            })
            .collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    scene.expect(wrong.len() == CONNECTIONS, || "a connection ended".into());
    for wrong in wrong {
        let wrong = wrong?;
        scene.expect(wrong.is_empty(), || format!("answers were mixed up: {}", wrong.join("; ")));
    }
    let requests = CONNECTIONS * WINDOWS * WINDOW;
    scene.got(format!(
        "{requests} answers over {CONNECTIONS} connections in {:.1} s, each to its request",
        began.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// Batches that are none.
pub(super) fn i_36(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let own = scene.arena.own.clone();
    let before = memory::resident(scene.arena.gateway_pid);
    let mut seen = Vec::new();
    let batches = batches(&scene.dice.word(14));
    for version in scene.versions(ApiKey::Produce) {
        for (what, batch, must_fail) in &batches {
            let names = Names { topic: own.topic.clone(), topic_id: own.topic_id.clone(), ..scene.nobody() };
            let mut body = forge::request(ApiKey::Produce, version, &names);
            body["TransactionalId"] = Value::Null;
            body["TopicData"][0]["PartitionData"][0]["Records"] = json!(STANDARD.encode(batch));
            let reply = scene.ask(ApiKey::Produce, version, &body)?;
            scene.expect(!*must_fail || reply.refused(), || format!("Produce {version} took {what}: {reply:?}"));
            scene.expect(!matches!(reply, Reply::Garbled(_)), || format!("Produce {version} with {what}: {reply:?}"));
            seen.push(format!("{what}: {}", reply.codes()));
        }
    }
    let grown = memory::grown(before, memory::resident(scene.arena.gateway_pid));
    scene.expect(grown.is_none_or(|grown| grown < memory::ALLOWED), || "a packed batch was unpacked".into());
    seen.sort();
    seen.dedup();
    scene.got(seen.join(", "));
    Ok(())
}

/// What it is, the batch, and whether a broker has to refuse it.
fn batches(token: &str) -> Vec<(&'static str, Vec<u8>, bool)> {
    let good = Batch::of("k", token);
    let with = |attributes: i16| Batch { attributes, ..good.clone() };
    let change = |at: usize, byte: u8| {
        let mut bytes = good.bytes();
        bytes[at] ^= byte;
        bytes
    };
    let counted = |count: i32| Batch { claimed_count: Some(count), ..good.clone() }.bytes();
    let bomb =
        Batch { records: vec![(vec![0; 4 << 20], Vec::new())], attributes: attributes::GZIP, ..Batch::default() };
    let twice =
        Batch { records: vec![(gzip(&vec![0; 1 << 20]), vec![])], attributes: attributes::GZIP, ..Batch::default() };
    let mut short = good.bytes();
    short.truncate(40);
    vec![
        ("a wrong CRC", change(18, 0xff), true),
        ("a changed record", change(70, 0xff), true),
        ("a marker of a transaction", with(attributes::CONTROL | attributes::TRANSACTIONAL).bytes(), true),
        ("a marker without a transaction", with(attributes::CONTROL).bytes(), true),
        ("an unknown compression", with(7).bytes(), true),
        ("a count of two thousand million", counted(i32::MAX), true),
        ("a negative count", counted(-7), true),
        ("no record", Batch { claimed_count: Some(0), ..Batch::default() }.bytes(), true),
        ("half a batch", short, true),
        ("magic 9", change(16, 11), true),
        ("a length beyond the request", change(8, 0x40), true),
        ("4 MiB of zeros packed", bomb.bytes(), false),
        ("packed twice", twice.bytes(), false),
    ]
}
