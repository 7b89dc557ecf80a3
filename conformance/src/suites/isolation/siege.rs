//! What attacks that would change something have in common: how the victim's things can be called, and what came of it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wire::schema::ApiKey;

use crate::suites::arena::Trouble;
use crate::suites::arena::victim::Transaction;
use crate::suites::attacker::Reply;
use crate::suites::forge::Names;
use crate::suites::scene::Scene;
use crate::suites::shape;

/// What an attack may at most come to where its API is served. What is not served has to be refused in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hope {
    /// Nothing: there is no such thing in the attacker's own namespace either.
    Refused,
    /// It may act upon what the attacker itself calls so; the victim's is looked at afterwards.
    OnlyOwn,
}

/// How many requests were answered how.
#[derive(Debug, Default)]
pub(super) struct Siege {
    answers: BTreeMap<String, usize>,
    apis: BTreeMap<i16, usize>,
}

impl Siege {
    /// Attacks once.
    pub(super) fn attack(
        &mut self,
        scene: &mut Scene<'_>,
        (key, version): (ApiKey, i16),
        body: &Value,
        hope: Hope,
    ) -> Result<Reply, Trouble> {
        let reply = scene.ask(key, version, body)?;
        let served = scene.versions_in(key, version..=version).contains(&version);
        let holds = if !served { turned_away(&reply) } else { hope == Hope::OnlyOwn || reply.refused() };
        scene.expect(holds && !matches!(reply, Reply::Garbled(_)), || {
            let name = key.name();
            format!(
                "{name} {version} {}was answered {reply:?} to {body}",
                if served { "" } else { "is not served and " }
            )
        });
        *self.answers.entry(reply.codes()).or_default() += 1;
        *self.apis.entry(key.code()).or_default() += 1;
        Ok(reply)
    }

    /// What came of it, in a few words.
    pub(super) fn outcome(&self, what: &str) -> String {
        let requests: usize = self.apis.values().sum();
        let mut answers: Vec<(&String, &usize)> = self.answers.iter().collect();
        answers.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let answers: Vec<String> = answers.into_iter().map(|(answer, count)| format!("{answer}: {count}")).collect();
        format!("{what}: {requests} requests of {} APIs ({})", self.apis.len(), answers.join(", "))
    }
}

/// Whether it was refused before any broker could have an opinion: for lack of a right, or of a version.
pub(super) fn turned_away(reply: &Reply) -> bool {
    /// Topic, group, cluster, transactional id and token authorization failed; unsupported version.
    const RIGHTS: [i64; 6] = [29, 30, 31, 53, 65, 35];
    match reply {
        Reply::Closed(_) => true,
        Reply::Answer(value) => {
            let codes = shape::errors(value);
            !codes.is_empty() && codes.iter().all(|code| RIGHTS.contains(code))
        }
        Reply::Garbled(_) => false,
    }
}

/// The victim's things by each name that might reach them: as the victim calls them, as the broker stores them, and by what
/// the stored names start with.
pub(super) fn callings(scene: &Scene<'_>) -> Vec<Names> {
    let (victim, prefix) = (&scene.arena.victim, &scene.arena.target.prefix);
    let secret = Names { member: victim.secret_group.member.clone(), ..scene.secret() };
    let bait = Names {
        topic: victim.bait.name.clone(),
        topic_id: victim.bait.id.clone(),
        group: victim.bait_group.name.clone(),
        transaction: victim.bait_transaction.id.clone(),
        member: victim.bait_group.member.clone(),
        instance: victim.bait_group.instance.clone(),
    };
    let start =
        |start: String| Names { topic: start.clone(), group: start.clone(), transaction: start, ..secret.clone() };
    let (stored_secret, stored_bait) = (Scene::physical(&secret, prefix), Scene::physical(&bait, prefix));
    let starts = [start(prefix.clone()), start(format!("{prefix}*"))];
    [secret.clone(), bait, stored_secret, stored_bait].into_iter().chain(starts).collect()
}

/// Also the victim's topics by nothing but their ids.
pub(super) fn callings_and_ids(scene: &Scene<'_>) -> Vec<Names> {
    let mut callings = callings(scene);
    let ids = [&scene.arena.victim.secret.id, &scene.arena.victim.bait.id];
    let by_id = ids.map(|id| Names { topic: String::new(), topic_id: id.clone(), ..callings[0].clone() });
    callings.extend(by_id);
    callings
}

/// The request comes from this producer.
pub(super) fn as_producer(body: &mut Value, producer: &Transaction, epoch: i64) {
    for field in ["ProducerId", "V3AndBelowProducerId"] {
        put(body, field, &json!(producer.producer_id));
    }
    for field in ["ProducerEpoch", "V3AndBelowProducerEpoch"] {
        put(body, field, &json!(epoch));
    }
}

/// Sets each field of this name that is there, at any depth.
pub(super) fn put(body: &mut Value, field: &str, value: &Value) {
    match body {
        Value::Object(map) => {
            for (name, old) in map.iter_mut() {
                if name == field {
                    *old = value.clone();
                } else {
                    put(old, field, value);
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|item| put(item, field, value)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lack_of_rights_is_turned_away() {
        let answer = |value: Value| Reply::Answer(value);
        assert!(turned_away(&answer(json!({ "Results": [{ "ErrorCode": 31 }] }))));
        assert!(turned_away(&Reply::Closed(String::new())));
        assert!(!turned_away(&answer(json!({ "Results": [{ "ErrorCode": 31 }, { "ErrorCode": 0 }] }))));
        assert!(!turned_away(&answer(json!({ "ErrorCode": 3 }))), "a broker has looked for it");
        assert!(!turned_away(&answer(json!({ "Results": [] }))), "nothing was refused");
    }

    #[test]
    fn a_field_is_set_wherever_it_is() {
        let mut body = json!({ "ProducerId": -1, "T": [{ "ProducerId": -1, "ProducerEpoch": -1 }], "X": 1 });
        as_producer(&mut body, &Transaction { id: String::new(), producer_id: 7, epoch: 2 }, 3);
        assert_eq!(body, json!({ "ProducerId": 7, "T": [{ "ProducerId": 7, "ProducerEpoch": 3 }], "X": 1 }));
    }
}
