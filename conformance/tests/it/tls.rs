//! TLS at the gateway's listeners, seen by openssl: who gets in and who does not, which certificate is shown, and that new files
//! are used without an open connection noticing.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use conformance::gateways::{Gateway, free_ports};
use serde_json::json;
use wire::schema::ApiKey;
use wire::{frame, value};

use super::broker::Broker;
use super::{needs, stand};

const PATIENCE: Duration = Duration::from_secs(20);
/// Long enough for a handshake on a busy machine, short enough to wait for.
const LOGIN_SECONDS: u64 = 8;
/// The gateway's listeners, by their place behind the first port.
const ANONYMOUS: u16 = 0;
const REQUIRED: u16 = 1;

/// A folder of keys and certificates that goes with the test.
struct Certificates(PathBuf);

impl Drop for Certificates {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Certificates {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("conformance-tls-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let certificates = Self(folder);
        certificates.authority("ca");
        certificates.authority("stranger-ca");
        certificates.signed("gateway", "ca", "/CN=first", "2099", "subjectAltName=DNS:localhost,IP:127.0.0.1");
        certificates.signed("other", "ca", "/CN=other", "2099", "subjectAltName=DNS:other.test");
        certificates.signed("alice", "ca", "/O=Acme/CN=Alice", "2099", "extendedKeyUsage=clientAuth");
        certificates.signed("late", "ca", "/O=Acme/CN=Alice", "2020", "extendedKeyUsage=clientAuth");
        certificates.signed("revoked", "ca", "/O=Acme/CN=Alice", "2099", "extendedKeyUsage=clientAuth");
        certificates.signed("nobody", "ca", "/O=Acme/CN=Nobody", "2099", "extendedKeyUsage=clientAuth");
        certificates.signed("server", "ca", "/O=Acme/CN=Alice", "2099", "extendedKeyUsage=serverAuth");
        certificates.signed("stranger", "stranger-ca", "/O=Acme/CN=Alice", "2099", "extendedKeyUsage=clientAuth");
        certificates.revoke("revoked");
        certificates
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn openssl(&self, line: &str) -> String {
        let done = Command::new("openssl").args(line.split(' ')).current_dir(&self.0).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "openssl {line}: {said}");
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    fn authority(&self, name: &str) {
        self.openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.pem -days 30 -subj /CN={name}"
        ));
        fs::write(self.0.join(format!("{name}.index")), "").unwrap();
        let settings = format!(
            "[ca]\ndefault_ca=own\n[own]\ndatabase={name}.index\nserial={name}.serial\ncrlnumber={name}.crlnumber\nnew_certs_dir=.\ncertificate={name}.pem\nprivate_key={name}.key\n\
             default_md=sha256\npolicy=any\ndefault_crl_days=30\nunique_subject=no\n[any]\norganizationName=optional\ncommonName=supplied\n"
        );
        fs::write(self.0.join(format!("{name}.cnf")), settings).unwrap();
        for counter in ["serial", "crlnumber"] {
            fs::write(self.0.join(format!("{name}.{counter}")), "1000\n").unwrap();
        }
    }

    /// `NAME.pem` with key and certificate, good until the end of a year.
    fn signed(&self, name: &str, authority: &str, subject: &str, year: &str, extension: &str) {
        self.openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.csr -subj {subject}"
        ));
        let extensions = format!("basicConstraints=CA:FALSE\n{extension}\n");
        fs::write(self.0.join(format!("{name}.ext")), extensions).unwrap();
        self.openssl(&format!(
            "ca -batch -notext -config {authority}.cnf -in {name}.csr -out {name}.crt -extfile {name}.ext -startdate 20190101000000Z \
             -enddate {year}1231000000Z"
        ));
        let text = [".key", ".crt"].map(|end| fs::read_to_string(self.0.join(name.to_owned() + end)).unwrap());
        fs::write(self.0.join(format!("{name}.pem")), text.concat()).unwrap();
    }

    fn revoke(&self, name: &str) {
        self.openssl(&format!("ca -config ca.cnf -revoke {name}.crt"));
        self.openssl("ca -config ca.cnf -gencrl -out ca.crl");
    }

    fn replace(&self, with: &str) {
        fs::copy(self.path(with), self.path("gateway.new")).unwrap();
        fs::rename(self.path("gateway.new"), self.path("gateway.pem")).unwrap();
    }
}

/// A gateway with TLS, one listener that asks for certificates and one that does not.
struct Door {
    gateway: Gateway,
    port: u16,
    certificates: Certificates,
    // Goes last.
    _broker: Broker,
}

impl Door {
    fn open(name: &str) -> Self {
        let broker = Broker::start();
        let certificates = Certificates::new(name);
        let port = free_ports(2).unwrap();
        let settings = json!({
            "upstream": { "bootstrapServers": broker.address },
            "clients": {
                "securityProtocol": "SSL", "portStart": port, "portCount": 1, "minBrokerId": 1, "anonymous": "team",
                "loginTimeoutSeconds": LOGIN_SECONDS,
                "listeners": [{
                    "name": "required", "securityProtocol": "SSL", "clientAuth": "REQUIRE",
                    "portStart": port + REQUIRED, "portCount": 1, "minBrokerId": 1,
                }],
            },
            "tls": {
                "keyStore": { "path": certificates.path("gateway.pem") },
                "moreKeyStores": [{ "path": certificates.path("other.pem") }],
                "trustStore": { "path": certificates.path("ca.pem") },
                "revocationLists": [certificates.path("ca.crl")],
                "principalMappingRules": "RULE:^CN=([^,]*),O=Acme$/$1@acme/L",
            },
        });
        let gateway = Gateway::start(&needs::sandbox_program(), &settings).unwrap_or_else(|error| panic!("{error}"));
        gateway.virtual_cluster("team", &json!({})).unwrap();
        let spec = json!({ "type": "EXTERNAL", "externalNames": ["alice@acme"] });
        gateway.account("team", "alice", &spec).unwrap();
        Self { gateway, port, certificates, _broker: broker }
    }

    fn talk(&self, listener: u16, more: &str) -> Talk {
        Talk::begin(self.port + listener, &self.certificates.0, more)
    }

    /// The common name of the certificate that is shown to who asks for a host.
    fn shown(&self, host: &str) -> String {
        let mut talk = self.talk(ANONYMOUS, &format!("-servername {host}"));
        assert!(talk.api_versions(), "{host}");
        let said = talk.end();
        let name = said.lines().find_map(|line| line.split_once("depth=0 CN = ")).map(|(_, name)| name.to_owned());
        name.unwrap_or_else(|| panic!("no certificate in: {said}"))
    }

    fn metric(&self, line: &str) -> f64 {
        let mut admin = TcpStream::connect(self.gateway.admin()).unwrap();
        let basic = "YWRtaW46Y29uZm9ybWFuY2UtYWRtaW4=";
        write!(admin, "GET /metrics HTTP/1.0\r\nAuthorization: Basic {basic}\r\n\r\n").unwrap();
        let mut text = String::new();
        let _ = admin.read_to_string(&mut text).unwrap();
        let found = text.lines().find_map(|known| known.strip_prefix(line)).map(str::trim);
        found.unwrap_or_else(|| panic!("{line} is not in {text}")).parse().unwrap()
    }

    fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !holds(self) {
            assert!(began.elapsed() < PATIENCE, "{what}; the log:\n{}", self.gateway.log());
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// A client's TLS connection, held by openssl, over which Kafka is spoken.
struct Talk {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
}

impl Drop for Talk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Talk {
    fn begin(port: u16, folder: &Path, more: &str) -> Self {
        let mut child = Command::new("openssl")
            .args(["s_client", "-quiet", "-no_ign_eof", "-verify_return_error", "-CAfile", "ca.pem"])
            .args(["-connect", &format!("127.0.0.1:{port}")])
            .args(more.split_whitespace())
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().unwrap());
        Self { child, stdin, stdout }
    }

    /// Asks for ApiVersions; whether an answer comes.
    fn api_versions(&mut self) -> bool {
        let body = json!({ "ClientSoftwareName": "tls", "ClientSoftwareVersion": "1" });
        let body = value::encode(ApiKey::ApiVersions.request(), 3, &body).unwrap();
        let request = frame::request(ApiKey::ApiVersions, 3, 7, Some("tls"), &body);
        let sent =
            self.stdin.as_mut().is_some_and(|stdin| stdin.write_all(&request).and_then(|()| stdin.flush()).is_ok());
        let mut head = [0; 8];
        if !sent || self.stdout.read_exact(&mut head).is_err() {
            return false;
        }
        assert_eq!(&head[4..], [0, 0, 0, 7], "the correlation id");
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        self.stdout.read_exact(&mut vec![0; length - 4]).is_ok()
    }

    /// Ends it; what openssl said.
    fn end(mut self) -> String {
        drop(self.stdin.take());
        let mut said = String::new();
        let _ = self.child.kill();
        let _ = self.child.stderr.take().unwrap().read_to_string(&mut said);
        said
    }
}

fn met(test: &str) -> bool {
    if Command::new("openssl").arg("version").output().is_err() {
        println!("SKIPPED {test}: openssl is not installed");
        return false;
    }
    needs::met(test, &[])
}

#[test]
fn certificates_of_clients_decide() {
    if !met("certificates_of_clients_decide") {
        return;
    }
    let door = Door::open("clients");
    let certificate = |name: &str| format!("-cert {name}.pem -key {name}.key");
    for versions in ["-tls1_3", "-tls1_2"] {
        assert!(door.talk(REQUIRED, &format!("{versions} {}", certificate("alice"))).api_versions(), "{versions}");
        for bad in ["late", "revoked", "stranger", "server"] {
            let failed = door.metric("gateway_tls_handshakes_failed_total");
            let mut talk = door.talk(REQUIRED, &format!("{versions} {}", certificate(bad)));
            assert!(!talk.api_versions(), "{versions} {bad}");
            let said = talk.end();
            assert!(said.contains("alert"), "{versions} {bad} is told why: {said}");
            assert!(door.metric("gateway_tls_handshakes_failed_total") > failed, "{versions} {bad}");
        }
        assert!(!door.talk(REQUIRED, versions).api_versions(), "{versions}, no certificate");
        let failed = door.metric("gateway_authentication_failures_total");
        assert!(!door.talk(REQUIRED, &format!("{versions} {}", certificate("nobody"))).api_versions());
        assert!(door.metric("gateway_authentication_failures_total") > failed, "no account has the name");
        assert!(door.talk(ANONYMOUS, versions).api_versions(), "{versions}, where nobody asks");
    }
    let mut open = door.talk(REQUIRED, &certificate("alice"));
    assert!(open.api_versions());
    let alice = json!({ "name": "alice", "vCluster": "team" });
    let _ = door.gateway.ask("DELETE", "/gateway/v2/service-account", &alice).unwrap();
    let began = Instant::now();
    while open.api_versions() {
        assert!(began.elapsed() < PATIENCE, "the session outlives its account");
        thread::sleep(Duration::from_millis(100));
    }
    stand::log_is_calm(&door.gateway.log(), &["audit.sinks is not set"]);
}

#[test]
fn what_is_not_tls_gets_nothing() {
    if !met("what_is_not_tls_gets_nothing") {
        return;
    }
    let door = Door::open("strangers");
    let failed = || door.metric("gateway_tls_handshakes_failed_total");
    let closed = |mut socket: TcpStream, sent: &[u8]| {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = socket.write_all(sent);
        let mut rest = Vec::new();
        // An alert may come; then the end, or a reset.
        let _ = socket.read_to_end(&mut rest);
        assert!(rest.len() < 16, "{rest:02x?}");
    };
    let connect = || TcpStream::connect(("127.0.0.1", door.port)).unwrap();
    let before = failed();
    let body = value::encode(ApiKey::Metadata.request(), 12, &json!({})).unwrap();
    closed(connect(), &frame::request(ApiKey::Metadata, 12, 1, Some("x"), &body));
    door.until("a client in the clear is counted", |_| failed() > before);

    let before = failed();
    let mut old = door.talk(ANONYMOUS, "-tls1_1 -cipher ALL:@SECLEVEL=0");
    assert!(!old.api_versions());
    assert!(old.end().contains("alert"), "an old TLS is told");
    door.until("an old TLS is counted", |_| failed() > before);

    // The first bytes of a greeting whose rest never comes, and one who says nothing at all.
    for sent in [&[22, 3, 1, 0, 200, 1][..], &[]] {
        let (before, began) = (failed(), Instant::now());
        closed(connect(), sent);
        let waited = began.elapsed().as_secs();
        assert!((LOGIN_SECONDS - 1..LOGIN_SECONDS + 5).contains(&waited), "closed after {waited} s");
        door.until("a slow handshake is counted", |_| failed() > before);
    }
    stand::log_is_calm(&door.gateway.log(), &["audit.sinks is not set"]);
}

#[test]
fn new_certificates_are_used_while_connections_live_on() {
    if !met("new_certificates_are_used_while_connections_live_on") {
        return;
    }
    let door = Door::open("reload");
    let (used, refused) =
        ("gateway_certificate_reloads_total{result=\"used\"}", "gateway_certificate_reloads_total{result=\"refused\"}");
    let mut open = door.talk(ANONYMOUS, "");
    assert!(open.api_versions());
    assert_eq!(
        [door.shown("localhost"), door.shown("other.test"), door.shown("third.test")],
        ["first", "other", "first"]
    );

    door.certificates.signed("second", "ca", "/CN=second", "2098", "subjectAltName=DNS:localhost");
    // Nobody says that it changed.
    door.certificates.replace("second.pem");
    door.until("new connections get the new certificate", |door| door.shown("localhost") == "second");
    assert!(open.api_versions(), "the open connection lives on");
    assert_eq!((door.metric(used), door.metric(refused)), (1.0, 0.0));
    let place = format!(
        "gateway_certificate_expiry_timestamp_seconds{{place=\"{}\",subject=\"CN=second\"}}",
        door.certificates.path("gateway.pem")
    );
    assert_eq!(door.metric(&place), 4_070_822_400.0, "the last day of 2098");

    // A key that does not fit, as in the middle of a careless renewal.
    let careless = ["second.crt", "alice.key"].map(|name| fs::read_to_string(door.certificates.path(name)).unwrap());
    fs::write(door.certificates.path("careless.pem"), careless.concat()).unwrap();
    door.certificates.replace("careless.pem");
    door.gateway.hang_up();
    door.until("a key that does not fit is noticed", |door| door.metric(refused) > 0.0);
    assert_eq!(door.shown("localhost"), "second");
    let health = door.gateway.ask("GET", "/health", &json!(null)).unwrap().to_string();
    assert!(health.contains("the private key does not belong to the certificate"), "{health}");
    assert!(health.contains("\"status\":\"UP\""), "{health}");

    door.certificates.replace("second.pem");
    door.gateway.hang_up();
    let well =
        |door: &Door| !door.gateway.ask("GET", "/health", &json!(null)).unwrap().to_string().contains("certificates");
    door.until("all is well again", well);
    assert!(open.api_versions(), "the open connection has seen nothing of it");
    let expected = ["audit.sinks is not set", "changed certificates cannot be used"];
    stand::log_is_calm(&door.gateway.log(), &expected);
}
