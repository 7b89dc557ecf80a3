//! What is remembered between commands: one file, replaced whole, changed by one command at a time.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use contract::secret::Secret;
use serde::{Deserialize, Serialize};

use crate::connection::Connection;
use crate::error::{Failure, Kind, Result};
use crate::home::{self, Home};
use crate::stack::process::Process;

/// How long a command waits for another one; the first download over a slow line is the longest of all.
const LOCK_WAIT: Duration = Duration::from_secs(600);
const LOCK_POLL: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The local broker and gateway, if they were started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<Stack>,
    #[serde(default)]
    pub sandboxes: BTreeMap<String, Sandbox>,
}

/// The local stack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stack {
    pub broker: Broker,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Gateway>,
}

/// The Kafka behind the gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "provider", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum Broker {
    /// Somebody else's; never stopped by us.
    Existing { bootstrap: String },
    /// Apache Kafka as a child process.
    Local { process: Process, port: u16, internal_port: u16, controller_port: u16 },
    /// Apache Kafka in a container.
    Docker { container: String, image: String, port: u16 },
}

impl Broker {
    pub fn bootstrap(&self) -> String {
        match self {
            Self::Existing { bootstrap } => bootstrap.clone(),
            Self::Local { port, .. } | Self::Docker { port, .. } => format!("127.0.0.1:{port}"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gateway {
    pub process: Process,
    /// The Kafka it stands before.
    pub upstream: String,
    /// The first of the ports for Kafka clients, and how many.
    pub port: u16,
    pub port_count: u16,
    pub admin_port: u16,
    pub admin_user: String,
    pub admin_password: Secret,
}

impl Gateway {
    pub fn admin_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.admin_port)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sandbox {
    /// Never used twice; the virtual cluster's name and, with a dot, the prefix of every physical name.
    pub id: String,
    pub server: Server,
    pub connection: Connection,
    /// RFC 3339.
    pub created_at: String,
}

/// Which gateway a sandbox is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Server {
    /// The local stack's.
    Local,
    /// The admin address of another one.
    Url(String),
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::Url(url) => url,
        })
    }
}

impl State {
    /// As it is now. No lock is needed to read, because the file is only ever replaced whole.
    pub fn read(home: &Home) -> Result<Self> {
        load(&path(home))
    }

    pub fn sandbox(&self, name: &str) -> Result<&Sandbox> {
        self.sandboxes.get(name).ok_or_else(|| not_found(name, &self.sandboxes))
    }
}

/// The state while this command alone may change it.
#[derive(Debug)]
pub struct Locked {
    pub state: State,
    path: PathBuf,
    /// Released by the system when it is closed, also when the process dies.
    _lock: File,
}

impl Locked {
    /// Waits until no other command changes the state; `waiting` is called once if there is one.
    pub fn acquire(home: &Home, waiting: impl FnOnce()) -> Result<Self> {
        home::private_dir(&home.state)?;
        let lock_path = home.state.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(|error| Failure::file("open", &lock_path, &error))?;
        let deadline = Instant::now() + LOCK_WAIT;
        let mut waiting = Some(waiting);
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(Failure::file("lock", &lock_path, &error)),
                Err(TryLockError::WouldBlock) if Instant::now() > deadline => {
                    return Err(Failure::new(
                        Kind::TimedOut,
                        format!("another sandbox command has held {} for {LOCK_WAIT:?}", lock_path.display()),
                    )
                    .hint("wait until it ends, or end it"));
                }
                Err(TryLockError::WouldBlock) => {
                    if let Some(waiting) = waiting.take() {
                        waiting();
                    }
                    thread::sleep(LOCK_POLL);
                }
            }
        }
        let path = path(home);
        Ok(Self { state: load(&path)?, path, _lock: lock })
    }

    pub fn save(&self) -> Result<()> {
        let text = serde_json::to_string_pretty(&self.state)
            .map_err(|error| Failure::new(Kind::Internal, format!("cannot write the state: {error}")))?;
        home::write_private(&self.path, &text)
    }
}

/// The failure of every command that names a sandbox which is not there.
fn not_found(name: &str, known: &BTreeMap<String, Sandbox>) -> Failure {
    let failure = Failure::new(Kind::NotFound, format!("no sandbox '{name}'"));
    let nearest = known.keys().map(|key| (strsim::osa_distance(key, name), key)).min();
    match nearest {
        Some((distance, key)) if distance <= 2 => failure.hint(format!("did you mean '{key}'?")),
        Some(_) => failure.hint("`sandbox list` shows those there are"),
        None => failure.hint(format!("there is none yet: `sandbox up {name} --local` makes it")),
    }
}

fn path(home: &Home) -> PathBuf {
    home.state.join("state.json")
}

fn load(path: &Path) -> Result<State> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(State::default()),
        Err(error) => return Err(Failure::file("read", path, &error)),
    };
    serde_json::from_str(&text).map_err(|error| {
        Failure::new(Kind::Internal, format!("{} is not a state file: {error}", path.display()))
            .hint("move it away to begin anew; processes that it names keep running")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> Home {
        let root = std::env::temp_dir().join(format!("state-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        Home::under(&root)
    }

    fn sandbox(id: &str) -> Sandbox {
        Sandbox {
            id: id.to_owned(),
            server: Server::Local,
            connection: Connection::plain("127.0.0.1:6969", "user", Secret::new("secret")),
            created_at: "2026-01-01T00:00:00Z".to_owned(),
        }
    }

    #[test]
    fn what_is_saved_is_read() {
        let home = scratch("saved");
        assert_eq!(State::read(&home).unwrap(), State::default());
        let mut locked = Locked::acquire(&home, || ()).unwrap();
        locked.state.sandboxes.insert("demo".into(), sandbox("sb_aaaaaaaaaa"));
        locked.state.stack = Some(Stack { broker: Broker::Existing { bootstrap: "kafka:9092".into() }, gateway: None });
        locked.save().unwrap();
        assert_eq!(State::read(&home).unwrap(), locked.state);
    }

    #[test]
    fn changes_of_many_at_once_are_all_kept() {
        let home = scratch("many");
        thread::scope(|scope| {
            for number in 0..8 {
                let home = &home;
                scope.spawn(move || {
                    let mut locked = Locked::acquire(home, || ()).unwrap();
                    locked.state.sandboxes.insert(format!("s{number}"), sandbox("sb_x"));
                    locked.save().unwrap();
                });
            }
        });
        assert_eq!(State::read(&home).unwrap().sandboxes.len(), 8);
    }

    #[test]
    fn an_unknown_name_is_told_with_its_neighbour() {
        let mut state = State::default();
        assert_eq!(state.sandbox("demo").unwrap_err().kind, Kind::NotFound);
        state.sandboxes.insert("demo".into(), sandbox("sb_x"));
        assert_eq!(state.sandbox("dmeo").unwrap_err().hint.unwrap(), "did you mean 'demo'?");
        assert_eq!(state.sandbox("other").unwrap_err().hint.unwrap(), "`sandbox list` shows those there are");
    }

    #[test]
    fn a_broken_file_is_named() {
        let home = scratch("broken");
        home::private_dir(&home.state).unwrap();
        std::fs::write(path(&home), "{").unwrap();
        assert!(State::read(&home).unwrap_err().message.contains("state.json is not a state file"));
    }
}
