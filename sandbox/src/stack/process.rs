//! Processes that outlive the command which started them.

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::error::{Failure, Kind, Result};

const POLL: Duration = Duration::from_millis(20);
/// How long a killed process may take to disappear.
const KILL_WAIT: Duration = Duration::from_secs(5);

/// One process, told apart from a later one with the same number by when it started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    pub pid: u32,
    started: String,
}

impl Process {
    /// The process that has this number now.
    pub fn identify(pid: u32) -> Option<Self> {
        started(pid).map(|started| Self { pid, started })
    }

    /// Whether it still runs. False when its number went to another process.
    pub fn is_alive(&self) -> bool {
        started(self.pid).is_some_and(|started| started == self.started)
    }

    /// Asks it to stop, waits for `grace`, then kills it. Returns whether it stopped by itself.
    pub fn stop(&self, grace: Duration) -> Result<bool> {
        for (signal, wait, by_itself) in [(Signal::TERM, grace, true), (Signal::KILL, KILL_WAIT, false)] {
            if !self.is_alive() {
                return Ok(by_itself);
            }
            self.signal(signal)?;
            let deadline = Instant::now() + wait;
            while Instant::now() < deadline {
                if !self.is_alive() {
                    return Ok(by_itself);
                }
                thread::sleep(POLL);
            }
        }
        Err(Failure::new(Kind::TimedOut, format!("process {} does not end, not even when killed", self.pid)))
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        match pid.map(|pid| kill_process(pid, signal)) {
            Some(Ok(()) | Err(rustix::io::Errno::SRCH)) => Ok(()),
            Some(Err(error)) => {
                Err(Failure::new(Kind::Denied, format!("cannot send a signal to process {}: {error}", self.pid)))
            }
            None => Err(Failure::new(Kind::Internal, format!("{} is not the number of a process", self.pid))),
        }
    }
}

/// Starts a program in a session of its own, so that neither the end of this command nor a closed terminal reaches it.
/// Its output goes to a new file at `log`.
///
/// `launcher` is the executable of the sandbox itself: its hidden command `detach` makes the session and becomes the
/// program, because a session can only be made from within the new process.
pub fn start_detached(launcher: &Path, command: &[&str], log: &Path) -> Result<Process> {
    let file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(log)
        .map_err(|error| Failure::file("write", log, &error))?;
    let errors = file.try_clone().map_err(|error| Failure::file("write", log, &error))?;
    let mut child = Command::new(launcher);
    child.arg("detach").arg("--").args(command).stdin(Stdio::null()).stdout(file).stderr(errors);
    let child = child.spawn().map_err(|error| Failure::file("start", launcher, &error))?;
    Process::identify(child.id()).ok_or_else(|| {
        Failure::new(Kind::Internal, format!("{} ended at once", command.first().copied().unwrap_or_default()))
    })
}

/// The last lines of a log, for the error of a process that did not start.
pub fn last_lines(log: &Path, count: usize) -> String {
    const ENOUGH: u64 = 64 * 1024;
    let mut text = Vec::new();
    let read = fs::File::open(log).and_then(|mut file| {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(ENOUGH)))?;
        file.read_to_end(&mut text)
    });
    match read {
        Ok(_) => {
            let text = String::from_utf8_lossy(&text);
            let lines = text.lines().collect::<Vec<_>>();
            lines[lines.len().saturating_sub(count)..].join("\n")
        }
        Err(error) => format!("(no log: {error})"),
    }
}

/// When a process started, in a form that is only compared. `None` if there is none or it has ended.
fn started(pid: u32) -> Option<String> {
    if Path::new("/proc/self/stat").exists() {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The command in parentheses may hold anything, also spaces and parentheses; the fields follow the last one.
        let mut fields = stat.get(stat.rfind(')')? + 2..)?.split(' ');
        let state = fields.next()?;
        // The 22nd field of the line; the state is the third.
        let ticks = fields.nth(18)?;
        return (!matches!(state, "Z" | "X")).then(|| ticks.to_owned());
    }
    let output = Command::new("ps").args(["-o", "stat=,lstart=", "-p", &pid.to_string()]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let (state, start) = text.split_once(' ')?;
    (!state.starts_with('Z')).then(|| start.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recycled_number_is_another_process() {
        let me = Process::identify(std::process::id()).unwrap();
        assert!(me.is_alive());
        let before = Process { started: "1".to_owned(), ..me };
        assert!(!before.is_alive());
        assert!(before.stop(Duration::from_secs(1)).unwrap(), "must not have signalled this very process");
    }

    #[test]
    fn a_process_is_stopped_and_reaped_or_not_is_gone() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::identify(child.id()).unwrap();
        assert!(process.stop(Duration::from_secs(5)).unwrap());
        assert!(!process.is_alive());
        child.wait().unwrap();
    }

    #[test]
    fn the_last_lines_of_a_log() {
        let path = std::env::temp_dir().join(format!("process-log-{}", std::process::id()));
        fs::write(&path, "one\ntwo\nthree\n").unwrap();
        assert_eq!(last_lines(&path, 2), "two\nthree");
        fs::remove_file(&path).unwrap();
        assert!(last_lines(&path, 2).starts_with("(no log: "));
    }
}
