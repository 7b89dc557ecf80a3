//! The victim's clients at work: they write, read and keep their memberships while the attacks go on, and notice everything.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wire::schema::ApiKey;

use super::peer::Peer;
use super::victim::{Group, Victim, produce};
use super::{Tenant, Trouble};
use crate::drivers::Connection;
use crate::records::{Batch, batches};
use crate::suites::tap::Tap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Rounds are this far apart.
const PAUSE: Duration = Duration::from_millis(50);
/// Members of the new protocols are heard of this often, in rounds.
const BEAT: u64 = 40;
/// The victim may be this slow before it counts as disturbed.
const PATIENCE: Duration = Duration::from_secs(15);

/// The running clients.
#[derive(Debug)]
pub struct Life {
    shared: Arc<Shared>,
    worker: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    rounds: AtomicU64,
    session: AtomicI64,
    complaints: Mutex<Vec<String>>,
}

impl Life {
    /// Starts them; returns once the first round is done.
    ///
    /// # Errors
    /// [`Trouble`]
    pub fn start(target: &Tenant, direct: &Connection, victim: &Victim, tap: &Tap) -> Result<Self, Trouble> {
        let shared = Arc::new(Shared::default());
        let mut own = Peer::connect("the victim", &target.connection, "")?;
        own.call_client(&victim.client_id);
        let mut worker = Worker {
            reader: Peer::connect("the victim", &target.connection, "")?,
            keepers: Vec::new(),
            connection: target.connection.clone(),
            client_id: victim.client_id.clone(),
            own,
            topic: victim.live.name.clone(),
            payload: format!("payload-of-{}", victim.client_id),
            next: 0,
            epoch: 0,
            shared: Arc::clone(&shared),
        };
        tap.canary("the value of a live record", worker.payload.as_bytes());
        for (group, key) in
            [(&victim.modern_group, ApiKey::ConsumerGroupHeartbeat), (&victim.share_group, ApiKey::ShareGroupHeartbeat)]
        {
            if let Some(group) = group {
                let mut keeper = Keeper::of(group, key, target, direct, &victim.client_id)?;
                keeper.settle(direct, &target.prefix)?;
                worker.keepers.push(keeper);
            }
        }
        let worker = thread::spawn(move || worker.run());
        let mut life = Self { shared, worker: Some(worker) };
        match life.pulse().as_slice() {
            [] => Ok(life),
            complaints => {
                life.stop();
                Err(Trouble::State(format!("the victim cannot work: {}", complaints.join("; "))))
            }
        }
    }

    /// Waits until the clients have gone through two more rounds; says what disturbed them since the last time.
    pub fn pulse(&self) -> Vec<String> {
        let wanted = self.shared.rounds.load(Ordering::Acquire) + 2;
        let began = Instant::now();
        while self.shared.rounds.load(Ordering::Acquire) < wanted && began.elapsed() < PATIENCE {
            if self.worker.as_ref().is_none_or(JoinHandle::is_finished) {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let mut complaints =
            std::mem::take(&mut *self.shared.complaints.lock().unwrap_or_else(PoisonError::into_inner));
        if self.shared.rounds.load(Ordering::Acquire) < wanted {
            complaints.push("the victim's client does not get on".to_owned());
        }
        complaints
    }

    /// The fetch session that the victim reads with.
    pub fn session(&self) -> i64 {
        self.shared.session.load(Ordering::Acquire)
    }

    /// How many rounds were gone through.
    pub fn rounds(&self) -> u64 {
        self.shared.rounds.load(Ordering::Acquire)
    }

    /// Ends the clients.
    pub fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Keeps one membership.
struct Keeper {
    peer: Peer,
    key: ApiKey,
    /// As its owner calls it.
    group: String,
    body: Value,
}

impl Keeper {
    fn of(group: &Group, key: ApiKey, target: &Tenant, direct: &Connection, client_id: &str) -> Result<Self, Trouble> {
        let mut peer = Peer::connect("the victim", &target.connection, "")?;
        if !peer.has(key) {
            peer = Peer::connect("the harness", direct, &target.prefix)?;
        }
        peer.call_client(client_id);
        let mut body = json!({ "GroupId": peer.name(&group.name), "MemberId": group.member,
            "MemberEpoch": group.generation });
        if !group.instance.is_empty() {
            body["InstanceId"] = json!(group.instance);
        }
        Ok(Self { peer, key, group: group.name.clone(), body })
    }

    fn beat(&mut self) -> Result<Value, Trouble> {
        let answer = self.peer.must(self.key, 0..=1, &self.body)?;
        self.body["MemberEpoch"] = answer["MemberEpoch"].clone();
        Ok(answer)
    }

    /// Waits until the broker has given the member its partition and has nothing more to change.
    fn settle(&mut self, direct: &Connection, prefix: &str) -> Result<(), Trouble> {
        let mut broker = Peer::connect("the harness", direct, prefix)?;
        let describe = match self.key {
            ApiKey::ConsumerGroupHeartbeat => ApiKey::ConsumerGroupDescribe,
            _ => ApiKey::ShareGroupDescribe,
        };
        let body = json!({ "GroupIds": [broker.name(&self.group)] });
        let began = Instant::now();
        loop {
            let _ = self.beat()?;
            let answer = broker.must(describe, 0..=1, &body)?;
            let group = &answer["Groups"][0];
            let member = &group["Members"][0];
            let given = member["Assignment"]["TopicPartitions"].as_array().is_some_and(|list| !list.is_empty());
            if given && group["GroupEpoch"] == group["AssignmentEpoch"] && member["MemberEpoch"] == group["GroupEpoch"]
            {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                return Err(Trouble::State(format!("the group does not settle: {group}")));
            }
            thread::sleep(Duration::from_millis(200));
        }
    }
}

struct Worker {
    connection: Connection,
    client_id: String,
    own: Peer,
    reader: Peer,
    keepers: Vec<Keeper>,
    topic: String,
    payload: String,
    /// The offset that is read next.
    next: i64,
    /// The epoch of the fetch session.
    epoch: i32,
    shared: Arc<Shared>,
}

impl Worker {
    fn run(mut self) {
        while !self.shared.stop.load(Ordering::Acquire) {
            let round = self.shared.rounds.load(Ordering::Acquire);
            if let Err(trouble) = self.round(round) {
                self.complain(trouble.to_string());
                if let Err(gone) = self.recover() {
                    self.complain(format!("and it does not come back: {gone}"));
                    return;
                }
            }
            let _ = self.shared.rounds.fetch_add(1, Ordering::AcqRel);
            thread::sleep(PAUSE);
        }
    }

    /// New connections and a new fetch session: what was disturbed once was noted, and the next check starts afresh.
    fn recover(&mut self) -> Result<(), Trouble> {
        self.own = Peer::connect("the victim", &self.connection, "")?;
        self.own.call_client(&self.client_id);
        self.reader = Peer::connect("the victim", &self.connection, "")?;
        self.shared.session.store(0, Ordering::Release);
        self.epoch = 0;
        Ok(())
    }

    fn complain(&self, what: String) {
        self.shared.complaints.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    fn round(&mut self, round: u64) -> Result<(), Trouble> {
        let value = format!("{}-{round}", self.payload);
        let offset = produce(&mut self.own, &self.topic, &Batch::of("live", &value), None)?;
        if offset != self.next {
            self.complain(format!("a record of the victim got offset {offset}, expected {}", self.next));
        }
        self.next = offset;
        let records = self.fetch()?;
        let found = batches(&records).iter().any(|(at, bytes)| *at == offset && contains(bytes, value.as_bytes()));
        if !found {
            self.complain(format!("the victim wrote '{value}' at offset {offset} and read something else"));
        }
        self.next = offset + 1;
        if round.is_multiple_of(BEAT) {
            self.keepers.iter_mut().try_for_each(|keeper| keeper.beat().map(drop))?;
        }
        Ok(())
    }

    /// Reads on in the fetch session.
    fn fetch(&mut self) -> Result<Vec<u8>, Trouble> {
        let partition = json!({ "Partition": 0, "FetchOffset": self.next, "PartitionMaxBytes": 1 << 20 });
        let body = json!({ "MaxWaitMs": 2000, "MinBytes": 1, "MaxBytes": 1 << 20, "IsolationLevel": 0,
            "SessionId": self.shared.session.load(Ordering::Acquire), "SessionEpoch": self.epoch,
            "Topics": [{ "Topic": self.reader.name(&self.topic), "Partitions": [partition] }] });
        let answer = self.reader.must(ApiKey::Fetch, 7..=12, &body)?;
        self.shared.session.store(answer["SessionId"].as_i64().unwrap_or(0), Ordering::Release);
        self.epoch += 1;
        let records = answer["Responses"][0]["Partitions"][0]["Records"].as_str().unwrap_or_default();
        Ok(STANDARD.decode(records).unwrap_or_default())
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
