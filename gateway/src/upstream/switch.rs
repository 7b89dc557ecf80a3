//! Which physical cluster serves clients: a record of `_anabranch.switch`, a topic of each of them.
//!
//! The cluster that fails is the one that cannot be asked, so the record is kept on all: whoever switches writes it where it can,
//! every gateway reads all that it reaches, and the highest epoch holds. A gateway that finds an older one on a cluster that was
//! away, or none, writes the newer one there.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::cluster::Cluster;
use super::physical::Physical;
use super::topic_log::{LogError, Shape, TopicLog};

/// The topic's name.
pub const TOPIC: &str = "_anabranch.switch";
const SHAPE: Shape = Shape { partitions: 1, replication_factor: -1, cleanup_policy: "compact" };
/// The switches of the other gateways are looked for this often.
const LOOK: Duration = Duration::from_millis(250);
/// A cluster that did not answer is asked again after this time.
const RETRY: Duration = Duration::from_secs(1);
/// No cluster that is there takes longer to read or write a record.
const PATIENCE: Duration = Duration::from_secs(5);

/// One change of the cluster that serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Switch {
    /// Counts the switches; the highest holds.
    pub epoch: u64,
    /// The name of the physical cluster that serves from then on.
    pub to: String,
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// Whoever asked for it.
    pub by: String,
}

impl Switch {
    /// The one that supersedes `known`.
    pub fn after(known: Option<&Self>, to: &str, by: &str) -> Self {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis());
        Self {
            epoch: known.map_or(0, |known| known.epoch).saturating_add(1),
            to: to.to_owned(),
            at: u64::try_from(at).unwrap_or(u64::MAX),
            by: by.to_owned(),
        }
    }

    /// Whether `other` supersedes it. Two of one epoch were asked for at once: all gateways agree on one of them.
    pub fn is_before(&self, other: &Self) -> bool {
        (self.epoch, self.at, &self.to, &self.by) < (other.epoch, other.at, &other.to, &other.by)
    }
}

/// The records of one physical cluster.
#[derive(Debug)]
struct Notice {
    log: TopicLog,
    /// What the record is called: gateways with other declarations have another.
    key: String,
    next: i64,
    known: Option<Switch>,
}

impl Notice {
    fn new(physical: &Arc<Physical>, key: &str) -> Self {
        let only = Arc::new(Cluster::new(Arc::clone(physical), Vec::new()));
        let log = TopicLog::new(only, TOPIC.to_owned(), SHAPE, 0);
        Self { log, key: key.to_owned(), next: 0, known: None }
    }

    /// The last switch that the cluster knows of.
    async fn read(&mut self) -> Result<Option<Switch>, LogError> {
        loop {
            let page = match self.log.read(self.next).await {
                Ok(page) => page,
                Err(error) => {
                    // It may be a topic that was made anew.
                    (self.next, self.known) = (0, None);
                    return Err(error);
                }
            };
            for record in page.records {
                if record.key.as_deref() != Some(self.key.as_bytes()) {
                    continue;
                }
                match serde_json::from_slice::<Switch>(record.value.as_deref().unwrap_or_default()) {
                    Ok(switch) if self.known.as_ref().is_none_or(|known| known.is_before(&switch)) => {
                        self.known = Some(switch);
                    }
                    Ok(_) => {}
                    Err(error) => tracing::warn!(offset = record.offset, "ignored a record of '{TOPIC}': {error}"),
                }
            }
            self.next = page.next;
            if page.is_last {
                return Ok(self.known.clone());
            }
        }
    }

    async fn write(&mut self, switch: &Switch) -> Result<(), LogError> {
        let value = serde_json::to_vec(switch);
        let value = value.map_err(|error| LogError::Codec { topic: TOPIC.to_owned(), reason: error.to_string() })?;
        self.log.append(vec![(self.key.clone(), Some(value))]).await.map(drop)
    }
}

/// What became of a switch at one physical cluster.
#[derive(Debug)]
pub struct Told {
    /// The cluster.
    pub cluster: Arc<str>,
    /// Why it does not know of the switch; gateways tell it as soon as they reach it.
    pub trouble: Option<String>,
}

/// Makes `switch` hold: at the cluster that it leads to, or not at all, and then at the others as far as they can be reached.
///
/// # Errors
/// Why the cluster that it leads to could not be told: then nothing has changed.
pub async fn announce(cluster: &Cluster, key: &str, switch: &Switch) -> Result<Vec<Told>, String> {
    let target = cluster.named(&switch.to).ok_or_else(|| format!("there is no physical cluster '{}'", switch.to))?;
    tell(target, key, switch).await?;
    cluster.activate(switch);
    let mut told = Vec::new();
    for physical in cluster.all() {
        let trouble = if Arc::ptr_eq(physical, target) { None } else { tell(physical, key, switch).await.err() };
        told.push(Told { cluster: Arc::clone(physical.name()), trouble });
    }
    Ok(told)
}

async fn tell(physical: &Arc<Physical>, key: &str, switch: &Switch) -> Result<(), String> {
    let mut notice = Notice::new(physical, key);
    match timeout(PATIENCE, notice.write(switch)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

/// Takes over the last switch that any cluster knows of, before clients are served: all have the same time to answer, and together
/// as long as it takes until one does. Returns the names of those that did not answer.
pub async fn recall(cluster: &Cluster, key: &str) -> Vec<Arc<str>> {
    loop {
        let mut asking = JoinSet::new();
        for physical in cluster.all().cloned() {
            let key = key.to_owned();
            let _ = asking.spawn(async move { (timeout(PATIENCE, ask(&physical, &key)).await.ok(), physical) });
        }
        let (mut answered, mut silent) = (false, Vec::new());
        while let Some(Ok((answer, physical))) = asking.join_next().await {
            match answer {
                Some(known) => {
                    answered = true;
                    known.iter().for_each(|switch| {
                        let _ = cluster.activate(switch);
                    });
                }
                None => silent.push(Arc::clone(physical.name())),
            }
        }
        if answered {
            return silent;
        }
    }
}

/// The last switch that a cluster knows of, as soon as it says so: a topic that was just made has no leader for a moment.
async fn ask(physical: &Arc<Physical>, key: &str) -> Option<Switch> {
    let mut notice = Notice::new(physical, key);
    loop {
        match notice.read().await {
            Ok(known) => return known,
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
}

/// Follows the switches that one physical cluster knows of, and tells it of later ones, for as long as it is polled.
pub async fn follow(cluster: &Cluster, physical: &Arc<Physical>, key: &str) {
    let mut notice = Notice::new(physical, key);
    loop {
        let read = timeout(PATIENCE, notice.read()).await;
        let holds = cluster.follow().borrow().switch.clone();
        let pause = match read {
            Ok(Ok(known)) => {
                if let Some(switch) = &known {
                    let _ = cluster.activate(switch);
                }
                let behind = holds.filter(|holds| known.as_ref().is_none_or(|known| known.is_before(holds)));
                if let Some(holds) = behind {
                    match timeout(PATIENCE, notice.write(&holds)).await {
                        Ok(Ok(())) => {
                            tracing::info!(cluster = %physical.name(), epoch = holds.epoch, "told of the last switch")
                        }
                        Ok(Err(error)) => {
                            tracing::debug!(cluster = %physical.name(), %error, "not told of the last switch")
                        }
                        Err(_) => tracing::debug!(cluster = %physical.name(), "not told of the last switch in time"),
                    }
                }
                LOOK
            }
            Ok(Err(error)) => {
                tracing::debug!(cluster = %physical.name(), %error, "cannot look for switches");
                RETRY
            }
            Err(_) => RETRY,
        };
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn switch(epoch: u64, at: u64, to: &str) -> Switch {
        Switch { epoch, to: to.into(), at, by: "ops".into() }
    }

    #[test]
    fn the_highest_epoch_holds_and_all_agree_on_one_of_two_at_once() {
        let (first, second) = (switch(1, 20, "failover"), switch(2, 10, "main"));
        assert!(first.is_before(&second) && !second.is_before(&first), "clocks may go backwards, epochs do not");
        let (one, other) = (switch(2, 10, "failover"), switch(2, 10, "main"));
        assert!(one.is_before(&other) != other.is_before(&one));
        assert!(!one.is_before(&one));
        let next = Switch::after(Some(&second), "failover", "ops");
        assert_eq!(next.epoch, 3);
        assert!(second.is_before(&next));
        assert_eq!(Switch::after(None, "failover", "ops").epoch, 1);
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let written = serde_json::to_string(&switch(7, 9, "failover")).unwrap();
        assert_eq!(written, r#"{"epoch":7,"to":"failover","at":9,"by":"ops"}"#);
        assert_eq!(serde_json::from_str::<Switch>(&written).unwrap(), switch(7, 9, "failover"));
    }
}
