//! Connections to brokers that refuse, that are not who they should be, or that say nothing.

use super::broker::BrokerError;
use super::physical::Physical;
use super::security::Security;
use crate::config::HostPort;
use crate::config::tls::{Material, Store};
use crate::config::upstream::{self as settings, Password, Sasl, Tls, TlsVersion};
use crate::naming::topic_ids::TopicIds;
use contract::secret::Secret;
use rcgen::{BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use wire::schema::ApiKey;
use wire::{frame, value};

fn plain() -> settings::Security {
    let login = Password { username: "gw".to_owned(), password: Secret::new("hunter2"), delegation_token: false };
    settings::Security { tls: None, sasl: Some(Sasl::Plain(login)) }
}

/// A broker that refuses every login; how many there were.
async fn refusing() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let logins = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&logins);
    drop(tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let seen = Arc::clone(&counted);
            drop(tokio::spawn(async move {
                while let Ok(length) = stream.read_u32().await {
                    let mut request = vec![0; length as usize];
                    let _ = stream.read_exact(&mut request).await.unwrap();
                    let (code, version, id) = frame::request_start(&request).unwrap();
                    let key = ApiKey::from_code(code).unwrap();
                    let body = match key {
                        ApiKey::SaslHandshake => json!({ "Mechanisms": ["PLAIN"] }),
                        _ => {
                            let _ = seen.fetch_add(1, Ordering::SeqCst);
                            json!({ "ErrorCode": 58, "ErrorMessage": "no" })
                        }
                    };
                    let body = value::encode(key.response(), version, &body).unwrap();
                    stream.write_all(&frame::response(key, version, id, &body)).await.unwrap();
                }
            }));
        }
    }));
    (address, logins)
}

#[tokio::test]
async fn a_refused_login_is_not_repeated_by_every_client_that_comes() {
    let (address, _) = refusing().await;
    let security = Arc::new(Security::new(&plain()).unwrap());
    let first = security.connect(&address).await.unwrap_err().to_string();
    assert!(first.starts_with(&format!("broker at {address}: login as 'gw' by PLAIN: refused: no (check")), "{first}");
    assert!(!first.contains("hunter2"));
    let started = tokio::time::Instant::now();
    for _ in 0..1_000 {
        assert_eq!(security.connect(&address).await.unwrap_err().to_string(), first);
    }
    assert!(started.elapsed() < Duration::from_millis(400), "no network is asked");
}

#[tokio::test]
async fn of_those_that_wait_for_a_broker_that_refused_one_tries_again() {
    let (address, logins) = refusing().await;
    let security = Arc::new(Security::new(&plain()).unwrap());
    let _ = security.connect(&address).await.unwrap_err();
    tokio::time::sleep(Duration::from_millis(600)).await;
    let all = (0..50).map(|_| {
        let (security, address) = (Arc::clone(&security), address.clone());
        tokio::spawn(async move { security.connect(&address).await.is_err() })
    });
    for one in all.collect::<Vec<_>>() {
        assert!(one.await.unwrap());
    }
    assert_eq!(logins.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let error = Security::new(&plain()).unwrap().connect(&address).await.unwrap_err();
    assert!(matches!(&error, BrokerError::Io { source, .. } if source.kind() == io::ErrorKind::TimedOut), "{error}");
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn store(&self) -> Store {
        Store::of(Material::Text(Secret::new(self.0.pem())))
    }

    /// A listener with a certificate for `host`; its port.
    async fn listener(&self, host: &str) -> u16 {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        listener(certificate.der().to_vec(), &key).await
    }
}

/// A listener with this certificate, which accepts and says nothing; its port.
async fn listener(certificate: Vec<u8>, key: &KeyPair) -> u16 {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(certificate)], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = TlsAcceptor::from(Arc::new(config.clone()));
            drop(tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let _ = stream.read_u8().await;
            }));
        }
    }));
    port
}

fn tls(trust: Store) -> Tls {
    Tls {
        trust: Some(trust),
        identity: None,
        verify_host_name: true,
        versions: vec![TlsVersion::Tls12, TlsVersion::Tls13],
        cipher_suites: Vec::new(),
    }
}

async fn connect(tls: Tls, address: String) -> Result<(), String> {
    let security = Security::new(&settings::Security { tls: Some(tls), sasl: None }).map_err(|e| e.to_string())?;
    security.connect(&address).await.map(|_| ()).map_err(|e| e.to_string())
}

#[tokio::test]
async fn a_broker_must_have_the_certificate_of_the_host_that_was_dialled() {
    let authority = Authority::new();
    let port = authority.listener("localhost").await;
    assert_eq!(connect(tls(authority.store()), format!("localhost:{port}")).await, Ok(()));
    let other = connect(tls(authority.store()), format!("127.0.0.1:{port}")).await.unwrap_err();
    assert!(other.contains("must have the dialled host among its subject alternative names"), "{other}");
    let unnamed = Tls { verify_host_name: false, ..tls(authority.store()) };
    assert_eq!(connect(unnamed, format!("127.0.0.1:{port}")).await, Ok(()));
}

/// Many brokers have a certificate that is its own issuer, which is put into the truststore as it is.
#[tokio::test]
async fn a_brokers_own_certificate_may_be_trusted_for_its_name_and_time() {
    let own = |years: std::ops::Range<i32>| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(years.start, 1, 1);
        params.not_after = date_time_ymd(years.end, 1, 1);
        (params.self_signed(&key).unwrap(), key)
    };
    let store = |certificate: &Certificate| Store::of(Material::Text(Secret::new(certificate.pem())));
    let (certificate, key) = own(2020..2120);
    let port = listener(certificate.der().to_vec(), &key).await;
    assert_eq!(connect(tls(store(&certificate)), format!("localhost:{port}")).await, Ok(()));
    let other = connect(tls(store(&certificate)), format!("127.0.0.1:{port}")).await.unwrap_err();
    assert!(other.contains("must have the dialled host"), "{other}");
    let stranger = connect(tls(store(&own(2020..2120).0)), format!("localhost:{port}")).await.unwrap_err();
    assert!(stranger.contains("ssl.truststore.location"), "{stranger}");
    for (years, why) in [(2020..2021, "Expired"), (2110..2120, "NotValidYet")] {
        let (certificate, key) = own(years);
        let port = listener(certificate.der().to_vec(), &key).await;
        let refused = connect(tls(store(&certificate)), format!("localhost:{port}")).await.unwrap_err();
        assert!(refused.contains(why), "{refused}");
    }
}

#[tokio::test]
async fn a_strangers_certificate_is_refused_also_where_names_do_not_count() {
    let port = Authority::new().listener("localhost").await;
    for verify_host_name in [true, false] {
        let tls = Tls { verify_host_name, ..tls(Authority::new().store()) };
        let refused = connect(tls, format!("localhost:{port}")).await.unwrap_err();
        assert!(refused.contains("ssl.truststore.location"), "{refused}");
    }
}

#[tokio::test]
async fn cipher_suites_are_those_that_were_chosen() {
    let authority = Authority::new();
    let port = authority.listener("localhost").await;
    let with = |suites: &[&str], versions: &[TlsVersion]| Tls {
        cipher_suites: suites.iter().map(|suite| (*suite).to_owned()).collect(),
        versions: versions.to_vec(),
        ..tls(authority.store())
    };
    let address = format!("localhost:{port}");
    assert_eq!(connect(with(&["TLS_AES_256_GCM_SHA384"], &[TlsVersion::Tls13]), address.clone()).await, Ok(()));
    let none = connect(with(&["TLS_AES_256_GCM_SHA384"], &[TlsVersion::Tls12]), address.clone()).await;
    assert!(none.unwrap_err().contains("TLS to Kafka cannot be set up"));
    let unknown = connect(with(&["TLS_RSA_WITH_RC4_128_MD5"], &[TlsVersion::Tls12]), address).await.unwrap_err();
    assert!(unknown.contains("'TLS_RSA_WITH_RC4_128_MD5' is none that this gateway has: TLS_AES_"), "{unknown}");
}

/// A broker that takes every login, for `lifetime`.
async fn taking(lifetime: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        while let Ok(length) = stream.read_u32().await {
            let mut request = vec![0; length as usize];
            let _ = stream.read_exact(&mut request).await.unwrap();
            let (code, version, id) = frame::request_start(&request).unwrap();
            let key = ApiKey::from_code(code).unwrap();
            let body = match key {
                ApiKey::SaslHandshake => json!({ "Mechanisms": ["PLAIN"] }),
                _ => json!({ "SessionLifetimeMs": lifetime.as_millis() }),
            };
            let body = value::encode(key.response(), version, &body).unwrap();
            stream.write_all(&frame::response(key, version, id, &body)).await.unwrap();
        }
    }));
    address
}

#[tokio::test]
async fn a_login_is_renewed_in_time_where_the_connection_is_used() {
    let address = taking(Duration::from_secs(2)).await;
    let (_connection, renewal) = Security::new(&plain()).unwrap().connect(&address).await.unwrap();
    let mut renewal = renewal.unwrap();
    let soon = Duration::from_millis(2_100);
    assert!(tokio::time::timeout(soon, renewal.due()).await.is_err(), "nobody uses it");
    assert!(renewal.is_due_for_use(), "the login is too old to be used as it is");
    renewal.renewed(Some(Duration::from_secs(2)));
    assert!(!renewal.is_due_for_use());
    let began = tokio::time::Instant::now();
    tokio::time::timeout(soon, renewal.due()).await.unwrap();
    let after = began.elapsed();
    assert!((Duration::from_millis(1_500)..Duration::from_millis(1_950)).contains(&after), "{after:?}");
}

/// A cluster that nobody answers for, and three who look it up at once.
#[tokio::test]
async fn who_waits_for_a_look_that_fails_is_told_so() {
    let held = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = HostPort { host: "127.0.0.1".into(), port: held.local_addr().unwrap().port() };
    drop(held);
    let ids = Arc::new(TopicIds::new(&[9; 16]).unwrap());
    let cluster = Physical::new("main", std::slice::from_ref(&address), Security::default(), ids);
    let (one, two, three) = tokio::join!(cluster.refresh(), cluster.refresh(), cluster.refresh());
    for seen in [one, two, three] {
        let error = seen.expect_err("nobody answered").to_string();
        assert!(error.starts_with(&format!("broker at {address}: ")), "{error}");
    }
}
