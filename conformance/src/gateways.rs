//! Starts gateways with settings of their own, where a sandbox's gateway would not do: other listeners, TLS, other logins.
//!
//! A gateway that was started is ended when its value is dropped.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::drivers::http;

const ADMIN: &str = "admin";
const PASSWORD: &str = "conformance-admin";
/// A debug build on a machine that compiles beside it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why there is no gateway, or not the resource.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// No program, no folder, no port.
    #[error("the gateway cannot be started with {program}: {cause}")]
    NotStarted { program: PathBuf, cause: io::Error },
    /// It ended or was not ready in time.
    #[error("the gateway was not ready; its log ends with:\n{log}")]
    NotReady { log: String },
    /// It could not be asked.
    #[error("{method} {path}: {cause}")]
    Admin { method: String, path: String, cause: io::Error },
    /// It said no.
    #[error("{method} {path} was answered with {status}: {answer}")]
    Refused { method: String, path: String, status: u16, answer: Box<Value> },
}

/// So many lines of its log does a gateway leave behind where what used it panics.
const SHOWN_LINES: usize = 40;

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    admin: String,
    folder: PathBuf,
}

impl Gateway {
    /// Starts one by `sandbox gateway` and waits until it is ready. `settings` are those of `gateway.yaml`, without `admin`.
    ///
    /// # Errors
    /// [`GatewayError`]
    pub fn start(sandbox_program: &Path, settings: &Value) -> Result<Self, GatewayError> {
        let mut gateway = Self::begin(sandbox_program, settings)?;
        gateway.wait()?;
        Ok(gateway)
    }

    /// Starts one and does not wait for it.
    ///
    /// # Errors
    /// [`GatewayError::NotStarted`]
    pub fn begin(sandbox_program: &Path, settings: &Value) -> Result<Self, GatewayError> {
        let not_started = |cause| GatewayError::NotStarted { program: sandbox_program.to_owned(), cause };
        let port = free_ports(1).map_err(not_started)?;
        let mut settings = settings.clone();
        settings["admin"] = json!({ "port": port, "users": [{ "username": ADMIN, "password": PASSWORD }] });
        let folder = std::env::temp_dir().join(format!("conformance-gateway-{}-{port}", std::process::id()));
        fs::create_dir_all(&folder).map_err(not_started)?;
        let file = folder.join("gateway.yaml");
        fs::write(&file, settings.to_string()).map_err(not_started)?;
        let log = fs::File::create(folder.join("gateway.log")).map_err(not_started)?;
        let child = Command::new(sandbox_program)
            .arg("gateway")
            .arg("--config")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(not_started)?;
        Ok(Self { child, admin: format!("127.0.0.1:{port}"), folder })
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// [`GatewayError::NotReady`]
    pub fn wait(&mut self) -> Result<(), GatewayError> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE && matches!(self.child.try_wait(), Ok(None)) {
            if http::ask(&self.admin, "GET", "/health/ready", None, "").is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(50));
        }
        let log = self.log();
        let end: Vec<&str> = log.lines().rev().take(12).collect();
        Err(GatewayError::NotReady { log: end.into_iter().rev().collect::<Vec<_>>().join("\n") })
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("gateway.log")).unwrap_or_default()
    }

    /// Where its settings and its log are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it says to probes: whether it is ready, and why not.
    pub fn readiness(&self) -> Option<(u16, Value)> {
        let answer = http::ask(&self.admin, "GET", "/health/ready", None, "").ok()?;
        Some((answer.status, answer.body()))
    }

    /// Asks it to read its files again.
    pub fn hang_up(&self) {
        let child = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // Whether it still runs shows by what it does next.
        let _ = child.map(|child| kill_process(child, Signal::HUP));
    }

    /// Asks it to leave.
    pub fn terminate(&self) {
        let child = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let _ = child.map(|child| kill_process(child, Signal::TERM));
    }

    /// Kills it in the middle of whatever it does.
    ///
    /// # Errors
    /// The system's.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// How it ended, once it has.
    ///
    /// # Errors
    /// The system's.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Where its admin API is, as `host:port`.
    pub fn admin(&self) -> &str {
        &self.admin
    }

    /// Asks its admin API as somebody who may do everything.
    ///
    /// # Errors
    /// [`GatewayError`]: also where the answer is not a good one.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, GatewayError> {
        let login = http::basic(ADMIN, PASSWORD);
        let of = || (method.to_owned(), path.to_owned());
        let answer = http::ask(&self.admin, method, path, Some(&login), &body.to_string()).map_err(|cause| {
            let (method, path) = of();
            GatewayError::Admin { method, path, cause }
        })?;
        if (200..300).contains(&answer.status) {
            return Ok(answer.body());
        }
        let (method, path) = of();
        Err(GatewayError::Refused { method, path, status: answer.status, answer: Box::new(answer.body()) })
    }

    /// Its metrics in Prometheus' text.
    ///
    /// # Errors
    /// [`GatewayError::Admin`]
    pub fn metrics(&self) -> Result<String, GatewayError> {
        let (method, path) = ("GET", "/metrics");
        let login = http::basic(ADMIN, PASSWORD);
        let answer = http::ask(&self.admin, method, path, Some(&login), "");
        let of = |cause| GatewayError::Admin { method: method.to_owned(), path: path.to_owned(), cause };
        answer.map(|answer| String::from_utf8_lossy(&answer.bytes).into_owned()).map_err(of)
    }

    /// Declares a virtual cluster.
    ///
    /// # Errors
    /// [`GatewayError`]
    pub fn virtual_cluster(&self, name: &str, spec: &Value) -> Result<(), GatewayError> {
        let body = json!({
            "kind": "VirtualCluster", "apiVersion": "gateway/v2", "metadata": { "name": name }, "spec": spec,
        });
        self.ask("PUT", "/gateway/v2/virtual-cluster", &body).map(drop)
    }

    /// Declares who may log in to a virtual cluster.
    ///
    /// # Errors
    /// [`GatewayError`]
    pub fn account(&self, virtual_cluster: &str, name: &str, spec: &Value) -> Result<(), GatewayError> {
        let metadata = json!({ "name": name, "vCluster": virtual_cluster });
        let body = json!({
            "kind": "GatewayServiceAccount", "apiVersion": "gateway/v2", "metadata": metadata, "spec": spec,
        });
        self.ask("PUT", "/gateway/v2/service-account", &body).map(drop)
    }

    /// A signed password of a local account.
    ///
    /// # Errors
    /// [`GatewayError`]
    pub fn token(&self, virtual_cluster: &str, name: &str, seconds: u64) -> Result<String, GatewayError> {
        let body = json!({ "vCluster": virtual_cluster, "username": name, "lifeTimeSeconds": seconds });
        let answer = self.ask("POST", "/gateway/v2/token", &body)?;
        Ok(answer["token"].as_str().unwrap_or_default().to_owned())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let log = self.log();
            let end = log.lines().count().saturating_sub(SHOWN_LINES);
            eprintln!("the end of the log of the gateway at {}:", self.admin);
            log.lines().skip(end).for_each(|line| eprintln!("  {line}"));
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The domain of the host names in the certificate of [`certificates`].
pub const DOMAIN: &str = "gateway.test";
/// The virtual clusters that the certificate has names for.
pub const TENANTS: [&str; 2] = ["payments", "search"];

/// The folder of what `fixtures/certs` makes; its server certificate is good for [`DOMAIN`] and for brokers of [`TENANTS`].
///
/// # Errors
/// The script's complaint.
pub fn certificates(fixtures: &Path) -> io::Result<PathBuf> {
    // The script is quick when all is there, but two at once would get in each other's way.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = fixtures.with_file_name("target").join("fixtures/certs");
    let names = TENANTS.map(|tenant| format!("*.{tenant}.{DOMAIN}"));
    let of_all = [DOMAIN.to_owned(), format!("*.{DOMAIN}")];
    let done = Command::new(fixtures.join("certs")).arg(&folder).args(of_all).args(names).output()?;
    if done.status.success() {
        Ok(folder)
    } else {
        Err(io::Error::other(format!("fixtures/certs: {}", String::from_utf8_lossy(&done.stderr).trim())))
    }
}

/// The first of so many ports in a row that nobody listens on, for whoever is about to.
///
/// They lie below those that systems give to outgoing connections, since one of these could take a port in between; and no two
/// callers of a process get the same.
///
/// # Errors
/// There are none.
pub fn free_ports(count: u16) -> io::Result<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    const FIRST: u32 = 12_000;
    const END: u32 = 32_000;
    // Processes at the same time begin at places of their own.
    let begin = std::process::id().wrapping_mul(97);
    for _ in 0..1000 {
        let at = begin.wrapping_add(NEXT.fetch_add(u32::from(count), Ordering::Relaxed));
        let first = u16::try_from(FIRST + at % (END - FIRST - u32::from(count))).map_err(io::Error::other)?;
        let held: io::Result<Vec<TcpListener>> =
            (first..first + count).map(|port| TcpListener::bind(("127.0.0.1", port))).collect();
        if held.is_ok() {
            return Ok(first);
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, format!("no {count} free ports in a row")))
}
