//! One physical cluster as a whole: who its brokers are now, and which topics its ids stand for. Nothing of it holds at another one.

use super::broker::{self, BrokerError};
use super::metadata::{self, Topology};
use super::security::{Link, Security};
use crate::config::HostPort;
use crate::naming::topic_ids::TopicIds;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use wire::schema::ApiKey;

/// Brokers and topics are looked up this often when nobody asks.
pub(super) const REFRESH: Duration = Duration::from_secs(10);
/// However many ask, they are looked up no more often than this: guessing ids costs the guesser time, not the brokers.
const REFRESH_MIN: Duration = Duration::from_millis(250);
/// After a failure, the next attempt waits this long.
pub(super) const RETRY: Duration = Duration::from_millis(500);

/// A physical cluster behind a gateway.
///
/// What is done once in a while is boxed: a session's future has room for everything that it may ever wait for, and thousands
/// of them are idle.
#[derive(Debug)]
pub struct Physical {
    name: Arc<str>,
    bootstrap: Vec<String>,
    security: Security,
    topology: watch::Sender<Arc<Topology>>,
    /// Which topic each id stands for.
    pub topic_ids: Arc<TopicIds>,
    refreshed: Mutex<Option<Instant>>,
    /// Why it did not answer when it was last looked up; `None` where it did.
    trouble: RwLock<Option<String>>,
}

impl Physical {
    /// A cluster of which nothing is known but where to ask.
    pub fn new(name: &str, bootstrap: &[HostPort], security: Security, topic_ids: Arc<TopicIds>) -> Self {
        let bootstrap = bootstrap.iter().map(HostPort::to_string).collect();
        Self {
            name: name.into(),
            bootstrap,
            security,
            topology: watch::Sender::new(Arc::default()),
            topic_ids,
            refreshed: Mutex::default(),
            trouble: RwLock::new(Some("not asked yet".to_owned())),
        }
    }

    /// Its name in the settings.
    pub const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Where it is asked first, as `host:port`.
    pub fn bootstrap(&self) -> &[String] {
        &self.bootstrap
    }

    /// Why it did not answer when it was last looked up; `None` where it did.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.write().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// What is known of it now; without brokers as long as none has answered.
    pub fn topology(&self) -> Arc<Topology> {
        self.topology.borrow().clone()
    }

    /// Connects to `broker`, or to any when there is no such broker: its port is then a bootstrap address. The connection is
    /// logged in as the gateway.
    ///
    /// # Errors
    /// [`BrokerError`] of the last one that was tried.
    pub async fn connect(&self, broker: i32) -> Result<Link, BrokerError> {
        let mut last =
            BrokerError::Io { address: self.bootstrap.join(","), source: std::io::ErrorKind::NotConnected.into() };
        for (broker, address) in Box::pin(self.candidates(broker)).await? {
            match Box::pin(self.connect_to(broker, address)).await {
                Ok(link) => return Ok(link),
                Err(e) => last = e,
            }
        }
        Err(last)
    }

    /// As [`Self::connect`], without logging in: for clients that bring credentials which the broker shall judge.
    ///
    /// # Errors
    /// [`BrokerError`] of the last one that was tried.
    pub async fn dial(&self, broker: i32) -> Result<Link, BrokerError> {
        let mut last =
            BrokerError::Io { address: self.bootstrap.join(","), source: std::io::ErrorKind::NotConnected.into() };
        for (broker, address) in Box::pin(self.candidates(broker)).await? {
            match Box::pin(self.security.dial(&address)).await {
                Ok(connection) => return Ok(Link { broker, address, connection, renewal: None }),
                Err(e) => last = e,
            }
        }
        Err(last)
    }

    /// Connects to the broker of this id at this address.
    ///
    /// # Errors
    /// [`BrokerError`]
    pub async fn connect_to(&self, broker: i32, address: String) -> Result<Link, BrokerError> {
        let (connection, renewal) = self.security.connect(&address).await?;
        Ok(Link { broker, address, connection, renewal })
    }

    /// The broker alone if there is one of this id, and else all.
    async fn candidates(&self, broker: i32) -> Result<Vec<(i32, String)>, BrokerError> {
        let mut topology = self.topology();
        if topology.brokers.is_empty() {
            self.refresh().await?;
            topology = self.topology();
        }
        let all = topology.brokers.iter().map(|(id, (host, port))| (*id, address(host, *port)));
        Ok(match topology.brokers.contains_key(&broker) {
            true => all.filter(|(id, _)| *id == broker).collect(),
            false => all.collect(),
        })
    }

    /// Returns when there is a broker of this id.
    pub async fn returned(&self, broker: i32) {
        let mut topology = self.topology.subscribe();
        // The sender lives as long as `self`.
        let _ = topology.wait_for(|topology| topology.brokers.contains_key(&broker)).await;
    }

    /// Looks brokers and topics up, unless somebody just did.
    ///
    /// # Errors
    /// [`BrokerError`] of the last broker that was asked.
    pub async fn refresh(&self) -> Result<(), BrokerError> {
        let asked = Instant::now();
        let mut refreshed = self.refreshed.lock().await;
        if refreshed.is_some_and(|at| at >= asked) {
            // Whoever just did may have had no answer: then there is none for this one either.
            return self.trouble().map_or(Ok(()), |trouble| Err(BrokerError::Seen { trouble }));
        }
        if let Some(at) = *refreshed {
            tokio::time::sleep_until(at + REFRESH_MIN).await;
        }
        let started = Instant::now();
        let known = self.topology();
        let known = known.brokers.values().map(|(host, port)| address(host, *port));
        let mut last = None;
        for address in known.chain(self.bootstrap.iter().cloned()) {
            match Box::pin(self.look_up(&address)).await {
                Ok(topology) => {
                    for (id, name) in &topology.topics {
                        self.topic_ids.learn(*id, name);
                    }
                    let _ = self.topology.send_replace(Arc::new(topology));
                    self.set_trouble(None);
                    *refreshed = Some(started);
                    return Ok(());
                }
                Err(e) => last = Some(e),
            }
        }
        let none = || BrokerError::Io { address: String::new(), source: std::io::ErrorKind::NotFound.into() };
        let error = last.unwrap_or_else(none);
        self.set_trouble(Some(error.to_string()));
        *refreshed = Some(started);
        drop(refreshed);
        Err(error)
    }

    async fn look_up(&self, address: &str) -> Result<Topology, BrokerError> {
        let wrong = |reason: String| BrokerError::Answer { address: address.to_owned(), key: ApiKey::Metadata, reason };
        let (connection, _) = self.security.connect(address).await?;
        let request = metadata::request(true).map_err(|e| wrong(e.to_string()))?;
        let body = broker::ask(&connection, address, ApiKey::Metadata, metadata::VERSION, &request).await?;
        let topology = metadata::read(&body).map_err(|e| wrong(e.to_string()))?;
        if topology.brokers.is_empty() { Err(wrong("no brokers".to_owned())) } else { Ok(topology) }
    }
}

/// An IPv6 address in brackets.
fn address(host: &str, port: u16) -> String {
    HostPort { host: host.to_owned(), port }.to_string()
}
