//! A gateway as a process, the commands that ask it, and the folder of files.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use contract::client::AdminClient;

const PATIENCE: Duration = Duration::from_secs(60);
/// As the requests that people copy have it.
pub(crate) const PASSWORD: &str = "conduktor";

/// Ended, with its files, when it is dropped; a warning in its log that nobody expected fails the test then.
pub(crate) struct Stand {
    gateway: Child,
    pub(crate) folder: PathBuf,
    pub(crate) admin_port: u16,
}

impl Drop for Stand {
    fn drop(&mut self) {
        let _ = self.gateway.kill();
        let _ = self.gateway.wait();
        if !thread::panicking() {
            let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            // There is no Kafka behind it, and what is said of settings is not of interest here.
            let loud = |line: &&str| line.contains("ERROR") || line.contains("panicked");
            let loud = log.lines().filter(loud).collect::<Vec<_>>();
            assert_eq!(loud, Vec::<&str>::new());
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

pub(crate) fn configs(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/configs").join(kind)
}

/// The names of the files in a folder with one of these extensions.
pub(crate) fn files(folder: &Path, extensions: &[&str]) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names = names.filter(|name| extensions.iter().any(|end| name.ends_with(end))).collect::<Vec<_>>();
    names.sort();
    names
}

/// The gateway's program without anything of this process's environment.
pub(crate) fn program(folder: &Path, arguments: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_gateway"));
    program.args(arguments).current_dir(folder).env_clear().stdin(Stdio::null()).output().unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Stand {
    /// A gateway that keeps what is declared in memory; no Kafka is needed for that.
    pub(crate) fn start() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("resources-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let [port, admin_port, kafka] = [free_port(), free_port(), free_port()];
        let settings = format!(
            "upstream: {{ bootstrapServers: '127.0.0.1:{kafka}' }}
clients: {{ securityProtocol: SASL_PLAINTEXT, portStart: {port}, portCount: 1 }}
admin: {{ port: {admin_port}, users: [{{ username: admin, password: {PASSWORD} }}] }}
"
        );
        fs::write(folder.join("gateway.yaml"), settings).unwrap();
        fs::write(folder.join("password"), format!("{PASSWORD}\n")).unwrap();
        // So that what is written for a gateway at its usual port, as people copy it, goes to this one.
        fs::write(
            folder.join(".curlrc"),
            format!("connect-to = \"localhost:8888:127.0.0.1:{admin_port}\"\nmax-time = 60\n"),
        )
        .unwrap();
        let gateway = Command::new(env!("CARGO_BIN_EXE_gateway"))
            .args(["run", "--config", "gateway.yaml"])
            .current_dir(&folder)
            .env_clear()
            .stderr(fs::File::create(folder.join("log")).unwrap())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let stand = Self { gateway, folder, admin_port };
        let began = Instant::now();
        while stand.admin().health().is_err() {
            let log = fs::read_to_string(stand.folder.join("log")).unwrap_or_default();
            assert!(began.elapsed() < PATIENCE, "the gateway does not start:\n{log}");
            thread::sleep(Duration::from_millis(20));
        }
        stand
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.admin_port)
    }

    pub(crate) fn admin(&self) -> AdminClient {
        AdminClient::new(&self.url(), "admin", PASSWORD)
    }

    /// A command of the gateway's program that asks this gateway; `None` if it ends otherwise than by an exit code.
    pub(crate) fn asks(&self, folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
        let password = self.folder.join("password");
        let connection = ["--server", &self.url(), "--password-file", password.to_str().unwrap()];
        let output = program(folder, &[&arguments[..1], &connection[..], &arguments[1..]].concat());
        (output.status.code(), stdout(&output), stderr(&output))
    }

    /// Runs a script as people do who copy it into a shell.
    pub(crate) fn shell(&self, script: &str) -> String {
        let mut shell = Command::new("sh");
        let shell = shell.args(["-e", "-c", script]).current_dir(&self.folder);
        // A proxy for the web, as some machines have one, knows nothing of this one.
        let path = std::env::var_os("PATH").unwrap_or_default();
        let shell = shell.env_clear().env("PATH", path).env("CURL_HOME", &self.folder);
        let output = shell.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{script}\n{}{}", stdout(&output), stderr(&output));
        stdout(&output)
    }
}
