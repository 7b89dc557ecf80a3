//! A broker that answers what it is asked: groups by their own names, so that an answer tells whose it is. What reaches it is
//! checked against the schema, and a group's name can ask for an answer that no honest broker gives.

use serde_json::{Value, json};
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use wire::schema::ApiKey;
use wire::{frame, value};

/// Answers that end a session, by the name of the group that is asked for.
pub(crate) const LIES: [&str; 7] =
    ["truncated", "lying-count", "wrong-id", "oversized", "negative", "half-and-gone", "unasked"];

/// What reached the broker and must not have.
pub(crate) type Complaints = Arc<Mutex<Vec<String>>>;

/// Starts a broker; gives its port.
pub(crate) fn start() -> (u16, Complaints) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let complaints = Complaints::default();
    let told = complaints.clone();
    drop(thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let told = told.clone();
            drop(thread::spawn(move || serve(stream, port, &told)));
        }
    }));
    (port, complaints)
}

fn serve(mut stream: TcpStream, port: u16, complaints: &Complaints) {
    let _ = stream.set_nodelay(true);
    while let Ok(request) = read(&mut stream) {
        match answer(&request, port) {
            Ok(Some(answer)) if stream.write_all(&answer).is_err() => return,
            Ok(_) => {}
            Err(End::Complaint(what)) => complaints.lock().unwrap().push(what),
            Err(End::Lie(bytes)) => {
                let _ = stream.write_all(&bytes);
                // Long enough for the gateway to see the answer before the end.
                return thread::sleep(Duration::from_millis(200));
            }
        }
    }
}

/// One frame, without its length.
pub(crate) fn read(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame)?;
    Ok(frame)
}

enum End {
    /// The request is not one that may come.
    Complaint(String),
    /// What is sent in place of an answer.
    Lie(Vec<u8>),
}

fn answer(request: &[u8], port: u16) -> Result<Option<Vec<u8>>, End> {
    let wrong = |what: String| End::Complaint(format!("{what}: {request:02x?}"));
    let (code, version, id) = frame::request_start(request).map_err(|e| wrong(e.to_string()))?;
    let key = ApiKey::from_code(code).ok_or_else(|| wrong(format!("API {code}")))?;
    let header = frame::request_header(key, request).map_err(|e| wrong(e.to_string()))?;
    let asked = match value::decode(key.request(), version, &request[header.body..]) {
        Ok(asked) => asked,
        // A text that nothing is looked for in is the broker's business.
        Err(value::ValueError::Malformed(wire::read::Malformed::Utf8 { .. })) => Value::Null,
        Err(e) => return Err(wrong(format!("{key:?} {version}: {e}"))),
    };
    let body = match key {
        ApiKey::Produce if asked["Acks"] == 0 => return Ok(None),
        ApiKey::Metadata => json!({
            "Brokers": [{ "NodeId": 1, "Host": "127.0.0.1", "Port": port }], "ClusterId": "physical", "ControllerId": 1,
        }),
        ApiKey::ApiVersions => {
            let all = ApiKey::ALL.iter().map(|key| {
                json!({ "ApiKey": key.code(), "MinVersion": key.versions().min, "MaxVersion": key.versions().max })
            });
            json!({ "ApiKeys": all.collect::<Vec<_>>() })
        }
        ApiKey::DescribeGroups => {
            let groups = asked["Groups"].as_array().into_iter().flatten();
            json!({ "Groups": groups.map(|group| json!({ "GroupId": group })).collect::<Vec<_>>() })
        }
        _ => json!({}),
    };
    let body =
        value::encode(key.response(), version, &fitting(key, version, body)).map_err(|e| wrong(e.to_string()))?;
    let honest = frame::response(key, version, id, &body);
    let group = asked["Groups"][0].as_str().unwrap_or_default();
    match LIES.iter().find(|lie| group.ends_with(*lie)) {
        Some(lie) => Err(End::Lie(dishonest(lie, honest))),
        None => Ok(Some(honest)),
    }
}

/// Without the fields that the version does not have.
fn fitting(key: ApiKey, version: i16, mut body: Value) -> Value {
    let has = |name: &str| key.response().fields.iter().any(|f| f.name == name && f.versions.contains(version));
    body.as_object_mut().unwrap().retain(|name, _| has(name));
    body
}

fn dishonest(lie: &str, mut honest: Vec<u8>) -> Vec<u8> {
    match lie {
        // The frame is whole, the message in it is not.
        "truncated" => {
            honest.truncate(honest.len() - 3);
            let length = u32::try_from(honest.len() - 4).unwrap();
            honest[..4].copy_from_slice(&length.to_be_bytes());
        }
        // Behind length, correlation id and throttle time, in a version without compact lengths.
        "lying-count" => honest[12..16].copy_from_slice(&i32::MAX.to_be_bytes()),
        "wrong-id" => honest[7] ^= 1,
        "oversized" => honest[..4].copy_from_slice(&i32::MAX.to_be_bytes()),
        "negative" => honest[..4].copy_from_slice(&(-5i32).to_be_bytes()),
        "half-and-gone" => honest.truncate(honest.len() / 2),
        // The same twice: the second one is the answer to nothing.
        _ => honest.extend(honest.clone()),
    }
    honest
}
