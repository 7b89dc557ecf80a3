//! Touching: what the attacker may not change. Transactions first, then groups and topics.
//!
//! That nothing was changed is seen on the broker itself, by the fingerprint before and after each check.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use wire::schema::ApiKey;

use super::siege::{Hope, Siege, as_producer, callings, callings_and_ids, put};
use crate::records::{Batch, attributes};
use crate::suites::arena::Trouble;
use crate::suites::arena::victim::Transaction;
use crate::suites::arena::witness::Witness;
use crate::suites::forge::{self, Names};
use crate::suites::scene::Scene;

/// Records under the victim's transactional ids, producer ids and epochs.
pub(super) fn i_15(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let witness = witness(scene)?;
    let producers = producers(scene, &witness);
    let own = own_names(scene);
    let mut targets = callings_and_ids(scene);
    targets.push(own.clone());
    let (mut theirs, mut mine) = (Siege::default(), Siege::default());
    for version in scene.versions(ApiKey::Produce) {
        for producer in &producers {
            for target in &targets {
                let by_name = !target.topic.is_empty();
                // A version has either names or ids.
                if by_name == forge::takes_topic_id(ApiKey::Produce, version) && *target != own {
                    continue;
                }
                for (records, transactional) in forged_batches(producer) {
                    for transaction in [Value::Null, json!(producer.id), json!(target.transaction)] {
                        let mut body = forge::request(ApiKey::Produce, version, target);
                        put(&mut body, "Records", &json!(records));
                        body["Acks"] = json!(-1);
                        body["TransactionalId"] = transaction;
                        // A producer id is known to a broker by partition: that of another one may write here.
                        let hope = if *target == own && !transactional { Hope::OnlyOwn } else { Hope::Refused };
                        let siege = if *target == own { &mut mine } else { &mut theirs };
                        let _ = siege.attack(scene, (ApiKey::Produce, version), &body, hope)?;
                    }
                }
            }
        }
    }
    scene.got(theirs.outcome("written to the victim's topics"));
    scene.got(mine.outcome("to its own as the victim's producers, nothing in a transaction"));
    settled(scene, witness)
}

/// Batches as that producer would write them, and whether they belong to a transaction: the next ones, a marker that ends
/// its transaction, one of a newer epoch.
fn forged_batches(producer: &Transaction) -> Vec<(String, bool)> {
    let epoch = i16::try_from(producer.epoch).unwrap_or(-1);
    let batch = |attributes, producer_epoch, base_sequence| Batch {
        attributes,
        producer_id: producer.producer_id,
        producer_epoch,
        base_sequence,
        ..Batch::of("forged", "from the attacker")
    };
    const TRANSACTIONAL: i16 = attributes::TRANSACTIONAL;
    let batches = [
        (batch(0, epoch, 0), false),
        (batch(0, epoch + 1, 0), false),
        (batch(TRANSACTIONAL, epoch, 1), true),
        (batch(TRANSACTIONAL, epoch + 1, 0), true),
        (batch(TRANSACTIONAL | attributes::CONTROL, epoch, -1), true),
    ];
    batches.map(|(batch, transactional)| (STANDARD.encode(batch.bytes()), transactional)).into()
}

/// The victim's transactions ended, taken over and extended by somebody else.
pub(super) fn i_16(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let witness = witness(scene)?;
    let mut siege = Siege::default();
    for producer in producers(scene, &witness) {
        let mut names = callings(scene);
        for prefix in ["", &scene.arena.target.prefix] {
            names.push(Names { transaction: format!("{prefix}{}", producer.id), ..names[0].clone() });
        }
        for names in &names {
            for epoch in [producer.epoch, producer.epoch + 1] {
                end_and_extend(scene, &mut siege, names, &producer, epoch)?;
            }
        }
        for epoch in [producer.epoch, producer.epoch + 1] {
            fence(scene, &mut siege, &witness, &producer, epoch)?;
        }
    }
    scene.got(siege.outcome("as the victim's producers"));
    let mut siege = Siege::default();
    own_transaction(scene, &mut siege)?;
    scene.got(siege.outcome("in a transaction of its own, of the victim's topics and groups"));
    settled(scene, witness)
}

const ENDING: [ApiKey; 4] =
    [ApiKey::EndTxn, ApiKey::AddPartitionsToTxn, ApiKey::AddOffsetsToTxn, ApiKey::TxnOffsetCommit];

/// Each API of a transaction, also at the versions that only brokers are served.
fn end_and_extend(
    scene: &mut Scene<'_>,
    siege: &mut Siege,
    names: &Names,
    producer: &Transaction,
    epoch: i64,
) -> Result<(), Trouble> {
    let own = own_names(scene);
    for key in ENDING {
        for version in key.versions().min..=key.versions().max {
            // With the victim's topic or group, and with the attacker's own.
            for names in [names, &Names { transaction: names.transaction.clone(), ..own.clone() }] {
                let mut body = forge::request(key, version, names);
                as_producer(&mut body, producer, epoch);
                for flag in ending_flags(key, version) {
                    put_flag(&mut body, flag);
                    let _ = siege.attack(scene, (key, version), &body, Hope::Refused)?;
                }
            }
        }
    }
    Ok(())
}

/// Committed or aborted; only verified or added.
fn ending_flags(key: ApiKey, version: i16) -> &'static [Option<(&'static str, bool)>] {
    match key {
        ApiKey::EndTxn => &[Some(("Committed", true)), Some(("Committed", false))],
        ApiKey::AddPartitionsToTxn if version >= 4 => &[Some(("VerifyOnly", true)), Some(("VerifyOnly", false))],
        _ => &[None],
    }
}

fn put_flag(body: &mut Value, flag: &Option<(&'static str, bool)>) {
    if let Some((name, value)) = flag {
        match body.get_mut("Transactions").and_then(Value::as_array_mut) {
            Some(transactions) => transactions.iter_mut().for_each(|one| one[*name] = json!(value)),
            None => body[*name] = json!(value),
        }
    }
}

/// A producer begun anew under the victim's ids: the victim's own would be shut out. What is begun stays with the
/// attacker under its name, so that not every name is used here.
fn fence(
    scene: &mut Scene<'_>,
    siege: &mut Siege,
    witness: &Witness,
    producer: &Transaction,
    epoch: i64,
) -> Result<(), Trouble> {
    let (key, prefix) = (ApiKey::InitProducerId, scene.arena.target.prefix.clone());
    let ids = [&witness.transaction.id, &scene.arena.victim.bait_transaction.id].map(Clone::clone);
    let ids = ids.iter().flat_map(|id| [json!(id), json!(format!("{prefix}{id}"))]).chain([Value::Null]);
    let ids: Vec<Value> = ids.collect();
    for version in scene.versions(key) {
        for id in &ids {
            let mut plain = forge::request(key, version, &scene.secret());
            plain["TransactionalId"] = id.clone();
            let mut continued = plain.clone();
            as_producer(&mut continued, producer, epoch);
            for body in [plain, continued] {
                let reply = siege.attack(scene, (key, version), &body, Hope::OnlyOwn)?;
                let given = reply.value()["ErrorCode"] == 0 && reply.value()["ProducerId"] == producer.producer_id;
                scene.expect(!given, || format!("InitProducerId {version} gave the victim's producer id: {reply:?}"));
            }
        }
    }
    Ok(())
}

/// A transaction that the attacker may have, with what it may not have in it.
fn own_transaction(scene: &mut Scene<'_>, siege: &mut Siege) -> Result<(), Trouble> {
    let id = scene.dice.word(14);
    let begin = json!({ "TransactionalId": id, "TransactionTimeoutMs": 10_000 });
    let Some(version) = scene.versions_in(ApiKey::InitProducerId, 0..=4).last() else { return Ok(()) };
    let begun = scene.ask(ApiKey::InitProducerId, version, &begin)?;
    let number = |field: &str| begun.value()[field].as_i64().unwrap_or(-1);
    let own = Transaction { id: id.clone(), producer_id: number("ProducerId"), epoch: number("ProducerEpoch") };
    scene.expect(own.producer_id >= 0, || format!("the attacker gets no producer of its own: {begun:?}"));
    for names in callings(scene) {
        let names = Names { transaction: id.clone(), ..names };
        for (key, hope) in [
            (ApiKey::AddPartitionsToTxn, Hope::Refused),
            (ApiKey::AddOffsetsToTxn, Hope::OnlyOwn),
            (ApiKey::TxnOffsetCommit, Hope::OnlyOwn),
        ] {
            for version in scene.versions(key) {
                let mut body = forge::request(key, version, &names);
                as_producer(&mut body, &own, own.epoch);
                let _ = siege.attack(scene, (key, version), &body, hope)?;
            }
        }
    }
    if let Some(version) = scene.versions_in(ApiKey::EndTxn, 0..=4).last() {
        let mut body = forge::request(ApiKey::EndTxn, version, &Names { transaction: id, ..own_names(scene) });
        as_producer(&mut body, &own, own.epoch);
        let _ = scene.ask(ApiKey::EndTxn, version, &body)?;
    }
    Ok(())
}

fn witness(scene: &mut Scene<'_>) -> Result<Witness, Trouble> {
    let values = [scene.dice.word(20), scene.dice.word(20)];
    let witness = Witness::begin(scene.arena, values)?;
    scene.arena.tap.number("the victim's producer id", &["ProducerId"], witness.transaction.producer_id);
    Ok(witness)
}

/// The victim's transaction ends as the victim wants.
fn settled(scene: &mut Scene<'_>, witness: Witness) -> Result<(), Trouble> {
    let ended = witness.end()?;
    scene.expect(ended.is_ok(), || ended.clone().err().unwrap_or_default());
    scene.got("the victim's running transaction went on and was committed");
    Ok(())
}

/// The victim's producers: of a transaction under way, of one that is open, of one that is complete.
fn producers(scene: &Scene<'_>, witness: &Witness) -> [Transaction; 3] {
    let victim = &scene.arena.victim;
    [witness.transaction.clone(), victim.secret_transaction.clone(), victim.bait_transaction.clone()]
}

/// What the attacker has, under names that are nobody else's.
fn own_names(scene: &Scene<'_>) -> Names {
    let own = &scene.arena.own;
    Names {
        topic: own.topic.clone(),
        topic_id: own.topic_id.clone(),
        group: own.group.clone(),
        transaction: "my-transaction".into(),
        member: "my-member".into(),
        instance: "my-instance".into(),
    }
}
