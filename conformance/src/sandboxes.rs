//! Brings sandboxes up and down with the `sandbox` program, as a person would.
//!
//! What was brought up is taken down when this is dropped, also after a failure. In a person's home that is only what was
//! not there before.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use serde_json::{Map, Value, json};

use crate::drivers::{Connection, Outcome, Refusal};

/// The first `up` may fetch Kafka.
const LIMIT: Duration = Duration::from_secs(300);

#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error(
        "the sandbox program cannot be run as {program}: {cause}; build it with 'cargo build -p sandbox' or name it with --sandbox-bin"
    )]
    NoProgram { program: PathBuf, cause: io::Error },
    #[error("no answer to 'sandbox {command}' within {} s; it was ended", LIMIT.as_secs())]
    TooLate { command: String },
    #[error("'sandbox {command}' printed what is not its JSON: {problem}")]
    Unreadable { command: String, problem: String },
    #[error("the sandbox '{name}' is not there: {problem}; bring it up first, or run with --up")]
    NotThere { name: String, problem: String },
    #[error("no folder of its own for the sandbox program: {0}")]
    NoHome(io::Error),
}

#[derive(Debug)]
pub struct Sandboxes {
    program: PathBuf,
    /// Given: isolated, and taken down at the end. Not given: the person's own.
    home: Option<PathBuf>,
    up_arguments: Vec<String>,
    ours: BTreeSet<String>,
}

impl Sandboxes {
    /// Sandboxes in a home of their own. `up_arguments` choose the provider.
    pub fn isolated(program: PathBuf, up_arguments: Vec<String>) -> Result<Self, SandboxError> {
        let name = format!("conformance-{}-{:x}", std::process::id(), unique());
        let home = env::temp_dir().join(name);
        fs::create_dir(&home).map_err(SandboxError::NoHome)?;
        Ok(Self { program, home: Some(home), up_arguments, ours: BTreeSet::new() })
    }

    /// The sandboxes of the person who runs this.
    pub fn of_this_user(program: PathBuf) -> Self {
        Self { program, home: None, up_arguments: Vec::new(), ours: BTreeSet::new() }
    }

    /// The program that is run.
    pub fn program(&self) -> &Path {
        &self.program
    }

    pub fn is_isolated(&self) -> bool {
        self.home.is_some()
    }

    /// `up`, `env`, `status` or `down` of one sandbox, as a step.
    pub fn step(&mut self, action: &str, name: &str) -> Result<Option<Outcome>, SandboxError> {
        match action {
            "up" => self.up(name).map(Some),
            "env" => self.env(name).map(Some),
            "status" => self.status(name).map(Some),
            "down" => self.down(name).map(Some),
            _ => Ok(None),
        }
    }

    pub fn up(&mut self, name: &str) -> Result<Outcome, SandboxError> {
        let mut command = vec!["up", name, "-o", "json", "--show-secrets"];
        command.extend(self.up_arguments.iter().map(String::as_str));
        let done = self.run(&command)?;
        let found = described(done, "up")?;
        // Also what failed may have left something behind; in a person's home it may as well be the person's.
        let created = found.as_ref().is_ok_and(|found| found.get("action") == Some(&json!("created")));
        if created || self.is_isolated() {
            let _ = self.ours.insert(name.to_owned());
        }
        Ok(found)
    }

    pub fn status(&self, name: &str) -> Result<Outcome, SandboxError> {
        described(self.run(&["status", name, "-o", "json", "--show-secrets"])?, "status")
    }

    /// What runs on this machine under the sandboxes: broker and gateway.
    pub fn local_status(&self) -> Result<Outcome, SandboxError> {
        let unreadable = |error: serde_json::Error| SandboxError::Unreadable {
            command: "local status".to_owned(),
            problem: error.to_string(),
        };
        match self.run(&["local", "status", "-o", "json"])? {
            Ok(text) => Ok(Ok(serde_json::from_str(&text).map_err(unreadable)?)),
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    pub fn env(&self, name: &str) -> Result<Outcome, SandboxError> {
        Ok(self.run(&["env", name, "--format", "json"])?.and_then(|text| {
            let variables: Value = serde_json::from_str(&text).map_err(|error| Refusal {
                code: "UNREADABLE".into(),
                message: format!("'sandbox env' printed what is not JSON: {error}"),
            })?;
            let of = |key: &str| variables.get(key).cloned().unwrap_or_default();
            Ok(json!({
                "bootstrap": of("KAFKA_BOOTSTRAP_SERVERS"), "username": of("KAFKA_SASL_USERNAME"),
                "password": of("KAFKA_SASL_PASSWORD"), "id": of("SANDBOX_ID"), "name": of("SANDBOX_NAME"),
            }))
        }))
    }

    pub fn down(&mut self, name: &str) -> Result<Outcome, SandboxError> {
        let done = self.run(&["down", name])?;
        let _ = self.ours.remove(name);
        Ok(done.map(|_| json!({})))
    }

    /// The log of the gateway that was started for these sandboxes, if it is known where it is.
    pub fn gateway_log(&self) -> Option<PathBuf> {
        self.home.as_ref().map(|home| home.join("state").join("gateway.log"))
    }

    /// Takes down everything brought up here and stops what was started for it. Fails with what could not be done.
    pub fn finish(&mut self) -> Result<(), String> {
        let mut problems = Vec::new();
        for name in std::mem::take(&mut self.ours) {
            problems.extend(self.tidy(&["down", &name]));
        }
        if self.is_isolated() {
            problems.extend(self.tidy(&["local", "stop"]));
        }
        let removed = self.home.take().map(|home| (fs::remove_dir_all(&home), home));
        if let Some((Err(cause), home)) = removed {
            problems.push(format!("cannot remove {}: {cause}", home.display()));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
    }

    fn tidy(&self, arguments: &[&str]) -> Option<String> {
        match self.run(arguments) {
            Ok(Ok(_)) => None,
            Ok(Err(refusal)) => Some(format!("'sandbox {}' failed with {refusal}", arguments.join(" "))),
            Err(error) => Some(error.to_string()),
        }
    }

    /// Output goes through files: what `up` leaves running in the background would keep a pipe open.
    fn run(&self, arguments: &[&str]) -> Result<Result<String, Refusal>, SandboxError> {
        let no_program = |cause| SandboxError::NoProgram { program: self.program.clone(), cause };
        let folder = self.home.clone().unwrap_or_else(env::temp_dir);
        let base = folder.join(format!("sandbox-{}-{:x}", std::process::id(), unique()));
        let (out, err) = (base.with_extension("out"), base.with_extension("err"));
        let files = fs::File::create_new(&out).and_then(|stdout| Ok((stdout, fs::File::create_new(&err)?)));
        let (stdout, stderr) = files.map_err(SandboxError::NoHome)?;
        let mut command = Command::new(&self.program);
        if let Some(home) = &self.home {
            let _ = command.env("SANDBOX_HOME", home).current_dir(home).env_remove("SANDBOX_NAME");
        }
        let mut child =
            command.args(arguments).stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn().map_err(no_program)?;
        let began = Instant::now();
        let ended = loop {
            match child.try_wait().map_err(no_program)? {
                Some(status) => break Some(status),
                None if began.elapsed() < LIMIT => thread::sleep(Duration::from_millis(10)),
                None => {
                    let _ = child.kill();
                    let _ = child.wait();
                    break None;
                }
            }
        };
        let (stdout, stderr) = (take(&out), take(&err));
        match ended {
            None => Err(SandboxError::TooLate { command: arguments.join(" ") }),
            Some(status) if status.success() => Ok(Ok(stdout)),
            Some(status) => Ok(Err(Refusal {
                code: status.code().map_or("EXIT_SIGNAL".into(), |code| format!("EXIT_{code}")),
                message: stderr.trim().to_owned(),
            })),
        }
    }
}

impl Drop for Sandboxes {
    fn drop(&mut self) {
        // Nobody is left to be told; whoever wants to know calls `finish`.
        let _ = self.finish();
    }
}

/// The connection in what `up` and `status` came to.
pub fn connection(found: &Value) -> Connection {
    let of = |key: &str| found.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    Connection {
        bootstrap: of("bootstrap"),
        security_protocol: of("securityProtocol"),
        mechanism: of("mechanism"),
        username: of("username"),
        password: of("password"),
        ..Connection::default()
    }
}

/// One flat object: name, id, prefix, state, action and the connection's fields.
fn described(done: Result<String, Refusal>, command: &str) -> Result<Outcome, SandboxError> {
    let text = match done {
        Ok(text) => text,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let unreadable = |problem: String| SandboxError::Unreadable { command: command.to_owned(), problem };
    let printed: Value = serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
    let mut flat = Map::new();
    for part in ["metadata", "status", "connection"] {
        let fields = printed.get(part).and_then(Value::as_object);
        flat.extend(fields.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
    }
    let id = flat.get("id").and_then(Value::as_str).ok_or_else(|| unreadable("it has no metadata.id".into()))?;
    let prefix = format!("{id}.");
    let _ = flat.insert("prefix".to_owned(), prefix.into());
    Ok(Ok(Value::Object(flat)))
}

/// Where the `sandbox` program is: as told, else beside this program, else on the PATH.
pub fn find_program(told: Option<PathBuf>) -> PathBuf {
    let beside = || {
        let own = env::current_exe().ok()?;
        // Test binaries lie one folder deeper than the programs.
        own.ancestors().skip(1).take(2).map(|folder| folder.join("sandbox")).find(|path| path.is_file())
    };
    let found = told.or_else(beside).unwrap_or_else(|| PathBuf::from("sandbox"));
    // It is run from another folder; a bare name is looked for on the PATH instead.
    if found.components().count() > 1 { std::path::absolute(&found).unwrap_or(found) } else { found }
}

fn unique() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_nanos())
}

fn take(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let _ = fs::remove_file(path);
    text
}
