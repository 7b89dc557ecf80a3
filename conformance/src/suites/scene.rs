//! What a check has at hand, and what it says it found.

use std::ops::RangeInclusive;

use serde_json::Value;
use wire::schema::{ApiKey, Versions};
use wire::value::uuid_text;

use super::arena::{Arena, Trouble};
use super::attacker::{Attacker, Reply};
use super::forge::Names;
use super::seed::Dice;
use crate::drivers::Connection;

/// A check's stage.
#[derive(Debug)]
pub struct Scene<'a> {
    /// Broker, attacker and victim.
    pub arena: &'a Arena,
    /// The check's own chance.
    pub dice: Dice,
    /// The attacker, logged in.
    pub attacker: Attacker,
    connection: Connection,
    complaints: Vec<String>,
    got: Vec<String>,
}

impl<'a> Scene<'a> {
    /// A scene whose attacker connects as told: to the gateway, or to what stands before it.
    pub fn new(arena: &'a Arena, dice: Dice, connection: &Connection) -> Self {
        let attacker = Attacker::new(connection, &arena.tap);
        Self { arena, dice, attacker, connection: connection.clone(), complaints: Vec::new(), got: Vec::new() }
    }

    /// Another attacker with the same credentials.
    pub fn another(&self) -> Attacker {
        Attacker::new(&self.connection, &self.arena.tap)
    }

    /// Asks as the attacker.
    ///
    /// # Errors
    /// [`Trouble`]
    pub fn ask(&mut self, key: ApiKey, version: i16, body: &Value) -> Result<Reply, Trouble> {
        Ok(self.attacker.ask(key, version, body)?)
    }

    /// Whether the attacker is served the API.
    pub fn served(&self, key: ApiKey) -> bool {
        self.arena.served.contains_key(&key.code())
    }

    /// The versions of the API that the attacker is served; where it isn't served any, all that exist, for they have to be
    /// refused.
    pub fn versions(&self, key: ApiKey) -> RangeInclusive<i16> {
        let Versions { min, max } = self.arena.served.get(&key.code()).copied().unwrap_or(key.versions());
        min..=max
    }

    /// The versions of the API that the attacker is served and that lie in `wanted`.
    pub fn versions_in(&self, key: ApiKey, wanted: RangeInclusive<i16>) -> RangeInclusive<i16> {
        let served = self.arena.served.get(&key.code()).copied().unwrap_or(Versions::NONE);
        let both = served.intersect(Versions { min: *wanted.start(), max: *wanted.end() });
        both.min..=both.max
    }

    /// Complains unless it holds.
    pub fn expect(&mut self, holds: bool, complaint: impl FnOnce() -> String) {
        if !holds {
            self.complaints.push(complaint());
        }
    }

    /// Notes in a few words what the attacker got.
    pub fn got(&mut self, what: impl Into<String>) {
        self.got.push(what.into());
    }

    /// Complaints, and what the attacker got.
    pub fn findings(self) -> (Vec<String>, String) {
        (self.complaints, self.got.join("; "))
    }

    /// The names of something that nobody has, as long as the victim's.
    pub fn nobody(&mut self) -> Names {
        let dice = &mut self.dice;
        Names {
            topic: dice.word(14),
            topic_id: uuid_text(&dice.uuid()),
            group: dice.word(14),
            transaction: dice.word(14),
            member: uuid_text(&dice.uuid()),
            instance: dice.word(14),
        }
    }

    /// The victim's secret entities, as the victim calls them.
    pub fn secret(&self) -> Names {
        let victim = &self.arena.victim;
        Names {
            topic: victim.secret.name.clone(),
            topic_id: victim.secret.id.clone(),
            group: victim.secret_group.name.clone(),
            transaction: victim.secret_transaction.id.clone(),
            // Of the form that nobody's has: a member of a classic group is called otherwise.
            member: victim.modern_group.as_ref().unwrap_or(&victim.secret_group).member.clone(),
            instance: victim.bait_group.instance.clone(),
        }
    }

    /// The names with a tenant's physical prefix before them.
    pub fn physical(names: &Names, prefix: &str) -> Names {
        let with = |name: &str| format!("{prefix}{name}");
        Names {
            topic: with(&names.topic),
            group: with(&names.group),
            transaction: with(&names.transaction),
            ..names.clone()
        }
    }

    /// A physical prefix that no tenant has, as long as the victim's.
    pub fn no_prefix(&mut self) -> String {
        let length = self.arena.target.prefix.len();
        format!("sb_{}.", self.dice.word(length.saturating_sub(4)))
    }
}
