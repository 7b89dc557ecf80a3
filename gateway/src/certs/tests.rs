use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use contract::secret::Secret;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;

use super::*;
use crate::authn::principal::PrincipalRules;
use crate::config::tls::{ClientAuth, Material, Store, Tls};
use crate::transport::tls::server::ServerTls;
use crate::transport::tls::stores;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gateway-certs-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn wanted(&self) -> Wanted {
        Wanted {
            folder: self.0.clone(),
            hosts: vec!["gateway.example.com".to_owned(), "10.0.0.1".to_owned()],
            domain: Some("kafka.test".to_owned()),
            virtual_clusters: vec!["Team-A".to_owned()],
            clients: vec!["alice".to_owned()],
            days: 365,
            force: false,
        }
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.join(name)).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_is_made_is_what_the_gateway_reads() {
    let folder = Folder::new("read");
    let told = init(&folder.wanted()).unwrap();
    let file = |name: &str| folder.0.join(name);
    let password = Secret::new(String::from_utf8(folder.read("password")).unwrap().trim());
    let pem = Store { key: Some(Material::File(file("gateway.key"))), ..Store::file(file("gateway.pem")) };
    let p12 = |name: &str| Store { password: Some(password.clone()), ..Store::file(file(name)) };
    let identity = stores::identity(&pem).unwrap();
    assert_eq!(stores::identity(&p12("gateway.p12")).unwrap().chain, identity.chain);
    assert_eq!(identity.chain.len(), 2);
    let trusted = stores::certificates(&p12("truststore.p12")).unwrap();
    assert_eq!(trusted, stores::certificates(&Store::file(file("ca.pem"))).unwrap());
    let settings = Tls {
        identities: vec![p12("gateway.p12")],
        trust: Some(p12("truststore.p12")),
        revocations: Vec::new(),
        only_tls13: false,
        principal_mapping_rules: "DEFAULT".to_owned(),
        update_every: std::time::Duration::from_secs(60),
    };
    let server = ServerTls::load(&settings, ClientAuth::Require).unwrap();
    assert_eq!(server.certificates().len(), 3, "its own, and the authority in both stores");
    assert!(told.contains(&format!("keyStore: {{ path: {}", file("gateway.pem").display())), "{told}");
    assert!(!told.contains(password.reveal()), "the password is in its file only");
}

#[test]
fn the_gateways_certificate_is_for_its_names_and_a_clients_for_a_client() {
    let folder = Folder::new("names");
    drop(init(&folder.wanted()).unwrap());
    let chain = |name: &str| stores::certificates(&Store::file(folder.0.join(name))).unwrap();
    let gateway = chain("gateway.pem");
    let parsed = rustls::server::ParsedCertificate::try_from(&gateway[0]).unwrap();
    let is_for = |name: &str| {
        let name = ServerName::try_from(name).unwrap().to_owned();
        rustls::client::verify_server_name(&parsed, &name).is_ok()
    };
    for name in [
        "localhost",
        "127.0.0.1",
        "::1",
        "10.0.0.1",
        "gateway.example.com",
        "kafka.test",
        "team-a.kafka.test",
        "broker-7.team-a.kafka.test",
    ] {
        assert!(is_for(name), "{name}");
    }
    assert!(!is_for("broker-7.team-b.kafka.test") && !is_for("example.com"));

    let roots = Arc::new(stores::trust(&Store::file(folder.0.join("ca.pem"))).unwrap());
    let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, crypto).build().unwrap();
    let verified = |chain: &[CertificateDer<'static>]| verifier.verify_client_cert(&chain[0], &[], UnixTime::now());
    let alice = chain("alice.pem");
    let _ = verified(&alice).unwrap();
    assert!(verified(&gateway).is_err(), "the gateway's certificate is no client's");
    let principal = PrincipalRules::parse("DEFAULT").unwrap().principal(&alice[0], std::time::SystemTime::now());
    assert_eq!(principal.unwrap().name, "CN=alice");
}

#[test]
fn keys_are_their_owners_and_nothing_is_written_over() {
    let folder = Folder::new("modes");
    drop(init(&folder.wanted()).unwrap());
    let mut secret = Vec::new();
    for entry in fs::read_dir(&folder.0).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert!([0o600, 0o644].contains(&mode), "{entry:?} {mode:o}");
        if mode == 0o644 {
            assert!(!String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).contains("PRIVATE"), "{entry:?}");
        } else {
            secret.push(entry.file_name().into_string().unwrap());
        }
    }
    secret.sort();
    let expected =
        "alice.key alice.p12 alice.properties ca.key gateway.key gateway.p12 password ssl.properties truststore.p12";
    assert_eq!(secret.join(" "), expected);

    let before = folder.read("ca.pem");
    let refused = init(&folder.wanted()).unwrap_err().to_string();
    assert!(refused.ends_with("ca.pem is there already; use another folder, or --force to write over it"), "{refused}");
    assert_eq!(folder.read("ca.pem"), before);
    drop(init(&Wanted { force: true, ..folder.wanted() }).unwrap());
    assert_ne!(folder.read("ca.pem"), before);
}

#[test]
fn wishes_that_make_no_sense_are_refused() {
    let folder = Folder::new("refused");
    let refused = |wanted: Wanted| init(&wanted).unwrap_err().to_string();
    for client in ["../x", "", "a b", "ca", ".hidden", "ssl"] {
        let said = refused(Wanted { clients: vec![client.to_owned()], ..folder.wanted() });
        assert!(said.contains("cannot be a client's name"), "{said}");
    }
    let said = refused(Wanted { domain: None, ..folder.wanted() });
    assert!(said.starts_with("--virtual-cluster needs --domain"), "{said}");
    let said = refused(Wanted { hosts: vec!["käse".to_owned()], ..folder.wanted() });
    assert!(said.starts_with("'käse' is no host name or address"), "{said}");
    assert!(!folder.0.exists(), "nothing was written");
}
