//! A client program behind the line protocol of `fixtures/clients/README.md`.
//!
//! Every wait is bounded, and the program with all it started is ended when the driver is dropped.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Connection, DriverError, Outcome, Refusal};

const HELLO: Duration = Duration::from_secs(30);
const FAREWELL: Duration = Duration::from_secs(3);
const LOG_LINES: usize = 20;

#[derive(Debug)]
pub struct ProcessClient {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    answers: Receiver<String>,
    log: Arc<Mutex<VecDeque<String>>>,
    hello: Hello,
    steps: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Hello {
    pub client: String,
    pub version: String,
    pub capabilities: Vec<String>,
}

#[derive(Deserialize)]
struct Greeting {
    hello: Hello,
}

#[derive(Deserialize)]
struct Answer {
    step: u64,
    ok: bool,
    #[serde(default)]
    result: Value,
    #[serde(default)]
    error: Option<ErrorBlock>,
}

#[derive(Deserialize)]
struct ErrorBlock {
    code: String,
    message: String,
}

impl ProcessClient {
    /// Starts `fixtures/clients/<name>/run` and waits for its hello.
    pub fn start(fixtures: &Path, name: &str, connection: &Connection) -> Result<Self, DriverError> {
        let folder = fixtures.join("clients").join(name);
        let not_started =
            |problem: String| DriverError::NotStarted { client: name.to_owned(), problem, setup: folder.join("setup") };
        let mut child = Command::new(folder.join("run"))
            .envs(connection.variables())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: a wrapper's tools are ended with the wrapper.
            .process_group(0)
            .spawn()
            .map_err(|error| not_started(error.to_string()))?;
        let stdin = child.stdin.take();
        let log = Arc::new(Mutex::new(VecDeque::new()));
        let (sender, answers) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            forward(stdout, move |line| sender.send(line).is_ok());
        }
        if let Some(stderr) = child.stderr.take() {
            let log = Arc::clone(&log);
            forward(stderr, move |line| remember(&log, line));
        }
        let hello = Hello { client: name.to_owned(), version: String::new(), capabilities: Vec::new() };
        let mut client = Self { name: name.to_owned(), child, stdin, answers, log, hello, steps: 0 };
        let line = client.receive("hello", HELLO).map_err(|error| match error {
            DriverError::Ended { log, .. } => not_started(format!("it ended at once{log}")),
            other => other,
        })?;
        let greeting: Greeting = serde_json::from_str(&line).map_err(|error| client.misspoken(&line, &error))?;
        client.hello = greeting.hello;
        Ok(client)
    }

    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Carries out one step within the time given. A client that is late is of no use any more and is ended.
    pub fn step(&mut self, action: &str, with: &Map<String, Value>, limit: Duration) -> Result<Outcome, DriverError> {
        if !self.hello.capabilities.iter().any(|known| known == action) {
            return Err(DriverError::NoSuchStep {
                client: self.name.clone(),
                action: action.to_owned(),
                known: self.hello.capabilities.join(", "),
            });
        }
        self.steps += 1;
        let line = json!({ "step": self.steps, "do": action, "with": with }).to_string() + "\n";
        let written = self.stdin.as_mut().map(|stdin| stdin.write_all(line.as_bytes()).and_then(|()| stdin.flush()));
        if !matches!(written, Some(Ok(()))) {
            return Err(self.ended(action));
        }
        let line = self.receive(action, limit)?;
        let answer: Answer = serde_json::from_str(&line).map_err(|error| self.misspoken(&line, &error))?;
        if answer.step != self.steps {
            let problem = format!("it answered step {} when asked for step {}", answer.step, self.steps);
            return Err(DriverError::Protocol { client: self.name.clone(), problem });
        }
        match answer.error {
            _ if answer.ok => Ok(Ok(answer.result)),
            Some(error) if error.code == "BAD_STEP" => Err(DriverError::BadStep {
                client: self.name.clone(),
                action: action.to_owned(),
                problem: error.message,
            }),
            Some(error) => Ok(Err(Refusal { code: error.code, message: error.message })),
            None => Err(DriverError::Protocol {
                client: self.name.clone(),
                problem: "a failed step without an error".into(),
            }),
        }
    }

    fn receive(&mut self, action: &str, limit: Duration) -> Result<String, DriverError> {
        match self.answers.recv_timeout(limit) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Disconnected) => Err(self.ended(action)),
            Err(RecvTimeoutError::Timeout) => {
                self.end();
                Err(DriverError::TooLate {
                    client: self.name.clone(),
                    action: action.to_owned(),
                    seconds: limit.as_secs(),
                    log: self.last_words(),
                })
            }
        }
    }

    fn ended(&mut self, action: &str) -> DriverError {
        self.end();
        DriverError::Ended { client: self.name.clone(), action: action.to_owned(), log: self.last_words() }
    }

    fn misspoken(&self, line: &str, error: &serde_json::Error) -> DriverError {
        DriverError::Protocol { client: self.name.clone(), problem: format!("{error} in {line:?}") }
    }

    fn last_words(&self) -> String {
        let lines = self.log.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        lines.iter().map(|line| format!("\n    {line}")).collect()
    }

    /// Ends the program: asked first by the end of its input, then with all it started.
    fn end(&mut self) {
        self.stdin = None;
        let deadline = Instant::now() + FAREWELL;
        while Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(None) => thread::sleep(Duration::from_millis(20)),
                // Gone, and its number may be another's by now: nothing more to end.
                Ok(Some(_)) | Err(_) => return,
            }
        }
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(group) = group {
            // Fails only if all of it is gone already.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

impl Drop for ProcessClient {
    fn drop(&mut self) {
        self.end();
    }
}

fn forward(from: impl Read + Send + 'static, mut to: impl FnMut(String) -> bool + Send + 'static) {
    let _ = thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if !to(line) {
                break;
            }
        }
    });
}

fn remember(log: &Mutex<VecDeque<String>>, line: String) -> bool {
    let mut lines = log.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if lines.len() == LOG_LINES {
        let _ = lines.pop_front();
    }
    lines.push_back(line);
    true
}
