//! A transaction of the victim that is under way while somebody attacks it, and has to end as its owner wants.

use serde_json::json;
use wire::schema::ApiKey;

use super::peer::Peer;
use super::victim::{Topic, Transaction, produce};
use super::{Arena, Trouble};
use crate::records::{Batch, attributes, batches};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const TRANSACTION_MS: i32 = 60_000;

/// The transaction, begun.
#[derive(Debug)]
pub struct Witness {
    peer: Peer,
    topic: Topic,
    values: [String; 2],
    first: i64,
    /// Its id and producer.
    pub transaction: Transaction,
}

impl Witness {
    /// Begins a transaction through the gateway and writes the first of its two records.
    ///
    /// # Errors
    /// [`Trouble`]
    pub fn begin(arena: &Arena, values: [String; 2]) -> Result<Self, Trouble> {
        let mut peer = Peer::connect("the victim", &arena.target.connection, "")?;
        let (id, topic) = (arena.victim.ledger_transaction.clone(), arena.victim.ledger.clone());
        let body = json!({ "TransactionalId": id, "TransactionTimeoutMs": TRANSACTION_MS });
        let begun = peer.must(ApiKey::InitProducerId, 2..=4, &body)?;
        let number = |field: &str| begun[field].as_i64().unwrap_or(-1);
        let (producer_id, epoch) = (number("ProducerId"), number("ProducerEpoch"));
        let add = json!({ "V3AndBelowTransactionalId": id, "V3AndBelowProducerId": producer_id,
            "V3AndBelowProducerEpoch": epoch, "V3AndBelowTopics": [{ "Name": topic.name, "Partitions": [0] }] });
        let _ = peer.must(ApiKey::AddPartitionsToTxn, 0..=3, &add)?;
        let transaction = Transaction { id, producer_id, epoch };
        let mut witness = Self { peer, topic, values, first: -1, transaction };
        witness.first = witness.write(0)?;
        Ok(witness)
    }

    fn write(&mut self, number: usize) -> Result<i64, Trouble> {
        let batch = Batch {
            attributes: attributes::TRANSACTIONAL,
            producer_id: self.transaction.producer_id,
            producer_epoch: i16::try_from(self.transaction.epoch).unwrap_or(-1),
            base_sequence: i32::try_from(number).unwrap_or(-1),
            ..Batch::of("ledger", &self.values[number])
        };
        produce(&mut self.peer, &self.topic.name, &batch, Some(&self.transaction.id))
    }

    /// Writes the second record, commits, and reads both where nothing else may stand. `Err` in the answer says what is
    /// wrong.
    ///
    /// # Errors
    /// [`Trouble`]: the harness could not look.
    pub fn end(mut self) -> Result<Result<(), String>, Trouble> {
        let second = match self.write(1) {
            Ok(offset) => offset,
            Err(trouble) => return Ok(Err(format!("the victim cannot go on with its transaction: {trouble}"))),
        };
        if second != self.first + 1 {
            return Ok(Err(format!("between offsets {} and {second} somebody else wrote", self.first)));
        }
        let Transaction { id, producer_id, epoch } = &self.transaction;
        let end =
            json!({ "TransactionalId": id, "ProducerId": producer_id, "ProducerEpoch": epoch, "Committed": true });
        if let Err(trouble) = self.peer.must(ApiKey::EndTxn, 0..=4, &end) {
            return Ok(Err(format!("the victim cannot commit: {trouble}")));
        }
        let read = self.read()?;
        let found = |value: &String| read.windows(value.len()).any(|window| window == value.as_bytes());
        let both = self.values.iter().all(found);
        Ok(if both { Ok(()) } else { Err("what the victim committed cannot be read".to_owned()) })
    }

    /// What is committed from the first record on. Markers are written a moment after the transaction's end.
    fn read(&mut self) -> Result<Vec<u8>, Trouble> {
        let partition = json!({ "Partition": 0, "FetchOffset": self.first, "PartitionMaxBytes": 1 << 20 });
        let body = json!({ "MaxWaitMs": 500, "MinBytes": 1, "MaxBytes": 1 << 20, "IsolationLevel": 1,
            "Topics": [{ "Topic": self.topic.name, "Partitions": [partition] }] });
        let mut records = Vec::new();
        for _ in 0..20 {
            let answer = self.peer.must(ApiKey::Fetch, 4..=6, &body)?;
            let text = answer["Responses"][0]["Partitions"][0]["Records"].as_str().unwrap_or_default();
            records = STANDARD.decode(text).unwrap_or_default();
            if batches(&records).len() >= self.values.len() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        Ok(records)
    }
}
