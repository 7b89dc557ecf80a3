//! How a connection becomes one that a broker serves: TCP, TLS, login, each within its time.

use super::broker::{self, BrokerError};
use super::sasl::{Dialogue, Login, LoginError, Next};
use super::tls;
use crate::config::upstream::Security as Settings;
use crate::transport::connection::Connection;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// A broker that does not accept within this time counts as down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The handshake of TLS takes no longer, nor does a login behind it.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// After a refused login, the next attempt waits at least this long; then twice as long each time.
const BACKOFF_MIN: Duration = Duration::from_millis(500);
/// And no longer than this: somebody may have corrected the password.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A login is renewed when this part of its lifetime is over, and up to a tenth more, so that connections that were made
/// together are not renewed together. Kafka's clients take 85 to 95 percent.
const RENEWED_AFTER: f64 = 0.8;
const SPREAD: f64 = 0.1;
/// Kafka takes logins of one connection no more often.
const RENEWED_MIN: Duration = Duration::from_secs(1);

/// Why the gateway cannot connect to brokers as its settings say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecurityError {
    /// TLS.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// SASL.
    #[error("login to Kafka: {0}")]
    Login(#[from] LoginError),
}

/// What protects connections to brokers, and who the gateway is to them.
#[derive(Debug, Default)]
pub struct Security {
    tls: Option<tls::Client>,
    login: Option<Arc<Login>>,
    /// By address, where the last login was refused.
    refused: Mutex<HashMap<String, Refused>>,
}

/// A broker that refused the gateway's login: it is not asked again at once, however many clients come.
#[derive(Debug)]
struct Refused {
    error: LoginError,
    times: u32,
    until: Instant,
}

/// A connection to a broker, which is logged in.
#[derive(Debug)]
pub struct Link {
    /// The broker's id.
    pub broker: i32,
    /// Its address.
    pub address: String,
    /// The connection.
    pub connection: Connection,
    /// What keeps it logged in; `None` where nothing has to.
    pub renewal: Option<Renewal>,
}

/// When and how a login is renewed (KIP-368).
#[derive(Debug)]
pub struct Renewal {
    login: Arc<Login>,
    address: String,
    due: Instant,
    /// Whether a request was sent since the last login.
    used: bool,
}

impl Link {
    /// Whether its login counts for a while yet.
    pub fn is_fresh(&self) -> bool {
        self.renewal.as_ref().is_none_or(|renewal| Instant::now() < renewal.due)
    }
}

impl Security {
    /// Reads the stores and sees what there is to log in with.
    ///
    /// # Errors
    /// [`SecurityError`]
    pub fn new(settings: &Settings) -> Result<Self, SecurityError> {
        let tls = settings.tls.as_ref().map(tls::Client::new).transpose()?;
        let login = settings.sasl.as_ref().map(Login::new).transpose()?.map(Arc::new);
        Ok(Self { tls, login, refused: Mutex::default() })
    }

    /// Connects without logging in: for credentials that are not the gateway's.
    ///
    /// # Errors
    /// [`BrokerError::Io`], [`BrokerError::Tls`]
    pub async fn dial(&self, address: &str) -> Result<Connection, BrokerError> {
        let failed = |source| BrokerError::of(address, source);
        let timed_out = |_| failed(io::ErrorKind::TimedOut.into());
        let socket = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await.map_err(timed_out)?.map_err(failed)?;
        let Some(tls) = &self.tls else { return Connection::plain(socket).map_err(failed) };
        let name = tls::server_name(host_of(address)).map_err(failed)?;
        let handshake = Connection::connect(socket, tls.config().await, name);
        timeout(HANDSHAKE_TIMEOUT, handshake).await.map_err(timed_out)?.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => BrokerError::Tls {
                address: address.to_owned(),
                reason: "the connection ended in the handshake".to_owned(),
                hint: "what answers may not speak TLS: check security.protocol, KAFKA_SECURITY_PROTOCOL, and the port",
            },
            _ => failed(error),
        })
    }

    /// Connects and logs in as the gateway.
    ///
    /// # Errors
    /// [`BrokerError`]
    pub async fn connect(&self, address: &str) -> Result<(Connection, Option<Renewal>), BrokerError> {
        let Some(login) = &self.login else { return Ok((self.dial(address).await?, None)) };
        self.may_try(address, login)?;
        let connection = self.dial(address).await?;
        let done = timeout(HANDSHAKE_TIMEOUT, log_in(login, &connection, address)).await;
        let done = done.unwrap_or_else(|_| Err(BrokerError::of(address, io::ErrorKind::TimedOut.into())));
        self.remember(address, done.as_ref().err());
        let lifetime = done?;
        let renewal = lifetime.map(|lifetime| Renewal {
            login: Arc::clone(login),
            address: address.to_owned(),
            due: due(lifetime),
            used: false,
        });
        Ok((connection, renewal))
    }

    /// Refuses in the broker's place where it just refused. Of those that wait for the next attempt, one makes it.
    fn may_try(&self, address: &str, login: &Login) -> Result<(), BrokerError> {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(refused) = refused.get_mut(address) else { return Ok(()) };
        let now = Instant::now();
        if now < refused.until {
            return Err(BrokerError::login(address, login, refused.error.clone()));
        }
        refused.until = now + CONNECT_TIMEOUT;
        Ok(())
    }

    fn remember(&self, address: &str, error: Option<&BrokerError>) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        match error {
            Some(BrokerError::Login { source, .. }) => {
                let times = refused.get(address).map_or(0, |before| before.times);
                let wait = BACKOFF_MIN.saturating_mul(1 << times.min(10)).min(BACKOFF_MAX);
                let until = Instant::now() + wait;
                let _ = refused.insert(address.to_owned(), Refused { error: source.clone(), times: times + 1, until });
            }
            _ => {
                let _ = refused.remove(address);
            }
        }
    }
}

async fn log_in(login: &Arc<Login>, connection: &Connection, address: &str) -> Result<Option<Duration>, BrokerError> {
    let failed = |error| BrokerError::login(address, login, error);
    let mut dialogue = login.start(host_of(address)).await.map_err(failed)?;
    let mut request = dialogue.first().map_err(failed)?;
    loop {
        let answer = broker::ask(connection, address, request.key, request.version, &request.body).await?;
        match dialogue.advance(answer).await {
            Ok((_, Next::Done(lifetime))) => return Ok(lifetime),
            Ok((next, Next::Ask(following))) => (dialogue, request) = (next, following),
            Err(error) => {
                login.refused(&error).await;
                return Err(failed(error));
            }
        }
    }
}

impl Renewal {
    /// Waits until it is time; on a connection that nobody uses, until it is used again: the broker may close it.
    pub async fn due(&self) {
        if !self.used {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep_until(self.due).await;
    }

    /// A request is about to be sent; returns whether the login has to be renewed before.
    pub fn is_due_for_use(&mut self) -> bool {
        self.used = true;
        self.due <= Instant::now()
    }

    /// Begins to log in anew, on the same connection.
    ///
    /// # Errors
    /// [`BrokerError::Login`]
    pub async fn start(&self) -> Result<Dialogue, BrokerError> {
        self.login.start(host_of(&self.address)).await.map_err(|error| self.failed(error))
    }

    /// What went wrong with it.
    pub fn failed(&self, error: LoginError) -> BrokerError {
        BrokerError::login(&self.address, &self.login, error)
    }

    /// It went well; the broker says how long it counts. A broker that says nothing is asked again as if it had said an hour.
    pub fn renewed(&mut self, lifetime: Option<Duration>) {
        let lifetime = lifetime.unwrap_or(Duration::from_secs(3600));
        (self.due, self.used) = (due(lifetime), false);
    }
}

/// When a login of this lifetime is renewed.
fn due(lifetime: Duration) -> Instant {
    let mut random = [0];
    // Without randomness, all at the same part of their life.
    let _ = aws_lc_rs::rand::fill(&mut random);
    let part = RENEWED_AFTER + SPREAD * f64::from(random[0]) / 255.0;
    Instant::now() + lifetime.mul_f64(part).max(RENEWED_MIN)
}

/// `host:port` without the port; an IPv6 address without its brackets.
fn host_of(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}
