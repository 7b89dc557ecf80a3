//! A gateway as a process of its own, between a broker and the clients of two tenants.

use crate::broker::{self, Complaints};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use contract::client::AdminClient;
use contract::resources::{GatewayServiceAccount, VirtualCluster};
use contract::secret::Secret;
use serde_json::{Value, json};
use std::fs;
use std::io::{self, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use wire::schema::ApiKey;
use wire::{frame, value};

const PATIENCE: Duration = Duration::from_secs(60);
const PASSWORD: &str = "hostile-frames";
/// The version without compact lengths in which groups are described here.
const GROUPS: i16 = 4;

/// Ended, with its files, when it is dropped.
pub(crate) struct Stand {
    gateway: Child,
    folder: PathBuf,
    port: u16,
    pub(crate) admin: AdminClient,
    complaints: Complaints,
}

impl Drop for Stand {
    fn drop(&mut self) {
        let _ = self.gateway.kill();
        let _ = self.gateway.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Stand {
    /// `name` tells the tests of one process apart.
    pub(crate) fn start(name: &str) -> Self {
        let (broker, complaints) = broker::start();
        let (port, admin) = (free_port(), free_port());
        let folder = std::env::temp_dir().join(format!("hostile-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let settings = format!(
            "upstream: {{ bootstrapServers: '127.0.0.1:{broker}' }}\n\
             clients: {{ securityProtocol: SASL_PLAINTEXT, portStart: {port}, portCount: 1, minBrokerId: 1 }}\n\
             admin: {{ port: {admin}, users: [{{ username: admin, password: admin-of-hostile }}] }}\n"
        );
        fs::write(folder.join("gateway.yaml"), settings).unwrap();
        let gateway = Command::new(env!("CARGO_BIN_EXE_gateway"))
            .args(["run", "--config"])
            .arg(folder.join("gateway.yaml"))
            .env_clear()
            .env("RUST_LOG", "info")
            .stderr(fs::File::create(folder.join("log")).unwrap())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let admin = AdminClient::new(&format!("http://127.0.0.1:{admin}"), "admin", "admin-of-hostile");
        let stand = Self { gateway, folder, port, admin, complaints };
        stand.declare();
        stand
    }

    fn declare(&self) {
        let began = Instant::now();
        while !self.admin.ready().unwrap_or(false) {
            assert!(began.elapsed() < PATIENCE, "the gateway does not get ready:\n{}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
        for tenant in ["team-a", "team-b"] {
            let _ = self.admin.put_virtual_cluster(&VirtualCluster::new(tenant), false).unwrap();
            let account = GatewayServiceAccount::local(format!("{tenant}-app"), tenant, Some(Secret::new(PASSWORD)));
            let _ = self.admin.put_service_account(&account, false).unwrap();
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap()
    }

    /// A counter of the gateway.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        let text = self.admin.metrics().unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
    }

    /// The memory of the gateway's process that is resident, in bytes.
    pub(crate) fn resident(&self) -> usize {
        let statm = fs::read_to_string(format!("/proc/{}/statm", self.gateway.id())).unwrap();
        statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    }

    /// The gateway lives, and nothing reached the broker that is no request.
    pub(crate) fn is_well(&mut self) {
        assert!(self.gateway.try_wait().unwrap().is_none(), "the gateway ended:\n{}", self.log());
        assert!(!self.log().contains("panicked"), "{}", self.log());
        let complaints = self.complaints.lock().unwrap();
        assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    }

    /// A connection that nobody has logged in on.
    pub(crate) fn stranger(&self) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Client { stream }
    }

    /// A client of a tenant.
    pub(crate) fn client(&self, tenant: &str) -> Client {
        let mut client = self.stranger();
        let hello = client.ask(ApiKey::SaslHandshake, 1, &json!({ "Mechanism": "PLAIN" }));
        assert_eq!(hello["ErrorCode"], 0);
        let token = STANDARD.encode(format!("\0{tenant}-app\0{PASSWORD}"));
        let welcome = client.ask(ApiKey::SaslAuthenticate, 1, &json!({ "AuthBytes": token }));
        assert_eq!(welcome["ErrorCode"], 0, "{welcome}");
        client
    }
}

/// One connection. All requests of all clients have the same correlation id.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
}

const CORRELATION: i32 = 7;

/// A request as it goes over the wire.
pub(crate) fn request(key: ApiKey, version: i16, body: &Value) -> Vec<u8> {
    frame::request(key, version, CORRELATION, Some("client"), &value::encode(key.request(), version, body).unwrap())
}

/// A request for a group of that name, whose answer repeats it.
pub(crate) fn group(name: &str) -> Vec<u8> {
    request(ApiKey::DescribeGroups, GROUPS, &json!({ "Groups": [name] }))
}

impl Client {
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The body of the next answer.
    pub(crate) fn receive(&mut self, key: ApiKey, version: i16) -> io::Result<Value> {
        let answer = broker::read(&mut self.stream)?;
        let (id, start) = frame::response_header(key.response_header(version), &answer).unwrap();
        assert_eq!(id, CORRELATION);
        Ok(value::decode(key.response(), version, &answer[start..]).unwrap())
    }

    pub(crate) fn ask(&mut self, key: ApiKey, version: i16, body: &Value) -> Value {
        self.send(&request(key, version, body)).unwrap();
        self.receive(key, version).unwrap()
    }

    /// The name of the group that the next answer is about.
    pub(crate) fn receive_group(&mut self) -> io::Result<String> {
        let answer = self.receive(ApiKey::DescribeGroups, GROUPS)?;
        Ok(answer["Groups"][0]["GroupId"].as_str().unwrap_or_default().to_owned())
    }

    /// Whether the gateway closes the connection, whatever it says before.
    pub(crate) fn is_closed(&mut self) -> bool {
        loop {
            match broker::read(&mut self.stream) {
                Ok(_) => {}
                Err(e) => return !matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
            }
        }
    }
}
