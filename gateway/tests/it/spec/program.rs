//! The program on a Kafka's own classes, `fixtures/messages/MessageBytes.java`: it reads and writes again what it is given, and
//! writes every version of every message of its own.

use super::kafkas::{self, Kafka};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use wire::schema::Message;

/// How the program filled a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fill {
    Everything,
    Nulls,
    Defaults,
}

/// A message that Kafka wrote.
pub(super) struct Written {
    pub(super) name: String,
    pub(super) version: i16,
    pub(super) fill: Fill,
    pub(super) header: Vec<u8>,
    pub(super) body: Vec<u8>,
    /// What Kafka wrote, in the names of its definitions.
    pub(super) json: Value,
}

/// A message for Kafka to read.
pub(super) struct Given {
    /// What Kafka calls it.
    pub(super) name: &'static str,
    pub(super) message: &'static Message,
    pub(super) version: i16,
    pub(super) body: Vec<u8>,
}

/// What the program said: what became of each message given, and those that it wrote itself.
pub(super) struct Said {
    pub(super) again: Vec<Result<Vec<u8>, String>>,
    pub(super) written: Vec<Written>,
}

/// Why the program can't run here, if so.
pub(super) fn no_compiler() -> Option<String> {
    let run = Command::new("javac").arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    (!run.is_ok_and(|status| status.success())).then(|| "no javac; install a JDK, 17 or newer".to_owned())
}

/// Runs the program with a Kafka's classes.
pub(super) fn run(kafka: &Kafka, given: &[Given]) -> Result<Said, String> {
    let folder = kafkas::FOLDER.as_ref().map_err(String::clone)?;
    let jars: Vec<String> =
        kafkas::jars(&kafka.version).iter().map(|jar| folder.join(jar).display().to_string()).collect();
    let mut program = Command::new("java")
        .args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx256m", "-cp", &jars.join(":")])
        .arg(kafkas::fixtures().join("messages/MessageBytes.java"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("java: {e}"))?;
    let mut input = Vec::new();
    for Given { name, version, body, .. } in given {
        put_name(&mut input, name);
        input.extend(version.to_be_bytes());
        input.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        input.extend(body);
    }
    put_name(&mut input, "");
    let mut stdin = program.stdin.take().ok_or("no stdin")?;
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let done = program.wait_with_output().map_err(|e| e.to_string())?;
    let written = writer.join().map_err(|_| "the writer panicked")?;
    if !done.status.success() {
        return Err(format!("Kafka {}: {}", kafka.version, String::from_utf8_lossy(&done.stderr)));
    }
    written.map_err(|e| e.to_string())?;
    said(&mut &done.stdout[..], given.len()).map_err(|e| format!("Kafka {}: what it said: {e}", kafka.version))
}

fn put_name(out: &mut Vec<u8>, name: &str) {
    out.extend(u16::try_from(name.len()).unwrap().to_be_bytes());
    out.extend(name.as_bytes());
}

fn said(from: &mut &[u8], given: usize) -> std::io::Result<Said> {
    let mut said = Said { again: Vec::new(), written: Vec::new() };
    for _ in 0..given {
        let length = i32::from_be_bytes(some(from)?);
        said.again.push(match usize::try_from(length) {
            Ok(length) => Ok(bytes(from, length)?),
            Err(_) => Err(text(from)?),
        });
    }
    loop {
        let name = text(from)?;
        if name.is_empty() {
            return Ok(said);
        }
        let _key = i16::from_be_bytes(some(from)?);
        let version = i16::from_be_bytes(some(from)?);
        let [fill] = some(from)?;
        let fill = [Fill::Everything, Fill::Nulls, Fill::Defaults][usize::from(fill)];
        let (header, body, json) = (block(from)?, block(from)?, serde_json::from_slice(&block(from)?)?);
        said.written.push(Written { name, version, fill, header, body, json });
    }
}

fn some<const N: usize>(from: &mut &[u8]) -> std::io::Result<[u8; N]> {
    let mut some = [0; N];
    from.read_exact(&mut some).map(|()| some)
}

fn bytes(from: &mut &[u8], length: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).map(|()| bytes)
}

fn block(from: &mut &[u8]) -> std::io::Result<Vec<u8>> {
    let length = u32::from_be_bytes(some(from)?);
    bytes(from, usize::try_from(length).unwrap())
}

fn text(from: &mut &[u8]) -> std::io::Result<String> {
    let length = u16::from_be_bytes(some(from)?);
    bytes(from, usize::from(length)).map(|text| String::from_utf8_lossy(&text).into_owned())
}
