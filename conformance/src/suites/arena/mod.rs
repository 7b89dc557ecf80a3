//! Where attacks happen: one broker, two sandboxes on it, a victim that works all the while.

pub mod fingerprint;
pub mod life;
pub mod peer;
pub mod sweep;
pub mod victim;
pub mod witness;

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use wire::schema::ApiKey;

use self::life::Life;
use self::peer::{Peer, Served};
use self::victim::Victim;
use super::seed::Seed;
use super::tap::Tap;
use crate::drivers::socket::SocketError;
use crate::drivers::{Connection, Outcome};
use crate::sandboxes::{self, SandboxError, Sandboxes};

/// The harness could not tell.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The sandbox program.
    #[error("{0}")]
    Sandbox(#[from] SandboxError),
    /// A connection that has to work does not.
    #[error("{what}: {source}")]
    Socket {
        /// Who wanted what.
        what: String,
        /// Why it did not work.
        source: SocketError,
    },
    /// The connection of the attacker itself.
    #[error("the attacker's connection: {0}")]
    Attacker(#[from] SocketError),
    /// Something is not as it has to be.
    #[error("{0}")]
    State(String),
}

/// One of the two sandboxes.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// How its clients connect.
    pub connection: Connection,
    /// What its names start with on the broker.
    pub prefix: String,
    /// Its id.
    pub id: String,
}

/// What belongs to the attacker, so that its lists are not empty.
#[derive(Debug, Clone)]
pub struct Own {
    /// A topic with one partition and some records.
    pub topic: String,
    /// The topic's id.
    pub topic_id: String,
    /// A group with committed offsets.
    pub group: String,
}

/// Broker, attacker and victim.
#[derive(Debug)]
pub struct Arena {
    /// What all of the attacker's bytes run past.
    pub tap: Tap,
    /// The attacker.
    pub attacker: Tenant,
    /// The victim's sandbox.
    pub target: Tenant,
    /// Others, whose names start with each other.
    pub neighbours: Vec<Tenant>,
    /// What the victim has.
    pub victim: Victim,
    /// What the attacker has.
    pub own: Own,
    /// The victim's clients, at work.
    pub life: Life,
    /// The broker itself, behind the gateway.
    pub direct: Connection,
    /// The broker's own cluster id.
    pub cluster_id: String,
    /// What the attacker is served.
    pub served: Served,
    /// The gateway's admin API, where it is known.
    pub admin: Option<String>,
    /// The gateway's process, where it runs on this machine.
    pub gateway_pid: Option<u32>,
    // Goes last: the sandboxes are taken down with it.
    sandboxes: Mutex<Sandboxes>,
}

impl Arena {
    /// Brings everything up: sandboxes, the victim's entities, its running clients.
    ///
    /// # Errors
    /// [`Trouble`]
    pub fn up(mut sandboxes: Sandboxes, seed: Seed) -> Result<Self, Trouble> {
        let attacker = tenant(sandboxes.up("attacker")?)?;
        let target = tenant(sandboxes.up("victim")?)?;
        let neighbours = ["team", "team-a", "team-a-b"].map(|name| tenant(sandboxes.up(name)?));
        let neighbours = neighbours.into_iter().collect::<Result<Vec<_>, Trouble>>()?;
        let stack = done("local status", sandboxes.local_status()?)?;
        let text = |part: &str, field: &str| stack[part][field].as_str().map(str::to_owned);
        let direct = text("kafka", "bootstrap").ok_or_else(|| Trouble::State(format!("no broker in {stack}")))?;
        let direct = Connection::plain(&direct);
        let tap = Tap::default();
        let mut broker = Peer::connect("the harness", &direct, "")?;
        let cluster = broker.must(ApiKey::Metadata, 9..=12, &json!({ "Topics": [] }))?;
        let cluster_id = cluster["ClusterId"].as_str().unwrap_or_default().to_owned();
        let mut own = Peer::connect("the attacker", &attacker.connection, "")?;
        let served = own.served().clone();
        let victim = Victim::set_up(&target, &direct, &tap, seed)?;
        let own = settle(&mut own, seed)?;
        let life = Life::start(&target, &direct, &victim, &tap)?;
        let admin = text("gateway", "admin");
        let gateway_pid = stack["gateway"]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        let arena = Self {
            tap,
            attacker,
            target,
            neighbours,
            victim,
            own,
            life,
            direct,
            cluster_id,
            served,
            admin,
            gateway_pid,
            sandboxes: Mutex::new(sandboxes),
        };
        arena.watch_for_the_broker(&cluster)?;
        Ok(arena)
    }

    /// The broker's address, cluster id and the physical prefixes are never to be seen either.
    fn watch_for_the_broker(&self, cluster: &Value) -> Result<(), Trouble> {
        let brokers = cluster["Brokers"].as_array().cloned().unwrap_or_default();
        let [broker] = brokers.as_slice() else {
            return Err(Trouble::State(format!("attacks are made on a cluster of one broker, not {}", brokers.len())));
        };
        let (host, port) = (broker["Host"].as_str().unwrap_or_default(), broker["Port"].as_i64().unwrap_or_default());
        let port_bytes = i32::try_from(port).unwrap_or_default().to_be_bytes();
        let tap = &self.tap;
        tap.canary("the broker's address", &[host.as_bytes(), &port_bytes].concat());
        tap.canary("the broker's address", format!("{host}:{port}").as_bytes());
        tap.number("the broker's port", &["Port"], port);
        tap.canary("the broker's cluster id", self.cluster_id.as_bytes());
        tap.canary("the victim's physical prefix", self.target.prefix.as_bytes());
        tap.canary("the attacker's own physical prefix", self.attacker.prefix.as_bytes());
        tap.canary("the victim's user", self.target.connection.username.as_bytes());
        tap.canary("the victim's password", self.target.connection.password.as_bytes());
        Ok(())
    }

    /// The sandboxes, to bring up others beside these.
    pub fn sandboxes(&self) -> MutexGuard<'_, Sandboxes> {
        self.sandboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The gateway's log so far, where it is known.
    pub fn gateway_log(&self) -> Option<String> {
        std::fs::read_to_string(self.sandboxes().gateway_log()?).ok()
    }

    /// Ends the victim's clients and takes everything down.
    ///
    /// # Errors
    /// What could not be taken down.
    pub fn close(mut self) -> Result<(), String> {
        self.life.stop();
        let left = sweep::victim(&self).map_err(|trouble| trouble.to_string());
        left.and(self.sandboxes().finish())
    }
}

fn done(what: &str, outcome: Outcome) -> Result<Value, Trouble> {
    outcome.map_err(|refusal| Trouble::State(format!("sandbox {what}: {refusal}")))
}

/// The tenant in what `up` came to.
///
/// # Errors
/// [`Trouble::State`]: it was not brought up.
pub fn tenant(found: Outcome) -> Result<Tenant, Trouble> {
    let found = done("up", found)?;
    let of = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    Ok(Tenant { connection: sandboxes::connection(&found), prefix: of("prefix"), id: of("id") })
}

/// The id of the one broker.
///
/// # Errors
/// [`Trouble`]
pub fn the_broker(direct: &Connection) -> Result<i64, Trouble> {
    let mut broker = Peer::connect("the harness", direct, "")?;
    let cluster = broker.must(ApiKey::Metadata, 9..=12, &json!({ "Topics": [] }))?;
    cluster["Brokers"][0]["NodeId"].as_i64().ok_or_else(|| Trouble::State(format!("no broker in {cluster}")))
}

/// What the attacker owns.
fn settle(peer: &mut Peer, seed: Seed) -> Result<Own, Trouble> {
    let word = seed.dice("own").word(8);
    let (topic, group) = (format!("mine-{word}"), format!("my-group-{word}"));
    let topic_id = victim::create_topic(peer, &topic, &victim::kept())?;
    let _ = victim::produce(peer, &topic, &crate::records::Batch::of("k", "of the attacker"), None)?;
    let partition = json!({ "PartitionIndex": 0, "CommittedOffset": 1, "CommittedMetadata": "" });
    let topics = json!([{ "Name": topic, "Partitions": [partition] }]);
    let body = json!({ "GroupId": group, "GenerationIdOrMemberEpoch": -1, "MemberId": "", "Topics": topics });
    let _ = peer.must(ApiKey::OffsetCommit, 5..=8, &body)?;
    Ok(Own { topic, topic_id, group })
}
