//! Rights that are kept beside the data: quotas, logins and tokens.

use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use wire::schema::ApiKey;

use super::siege::{Hope, Siege, turned_away};
use crate::suites::arena::Trouble;
use crate::suites::arena::peer::Peer;
use crate::suites::attacker::Attacker;
use crate::suites::forge;
use crate::suites::scene::Scene;

/// Quotas and SCRAM credentials of the victim and of everybody.
pub(super) fn i_22(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let user = scene.arena.target.connection.username.clone();
    let client = scene.arena.victim.client_id.clone();
    let mut broker = Peer::connect("the harness", &scene.arena.direct, "")?;
    // Something that could be taken away: a quota too high to be felt, a user that nobody logs in as.
    let _ = (given_quota(&mut broker, &user, Some(1e12))?, given_user(&mut broker, &user, true)?);
    let before = standing(&mut broker, &user)?;
    let attacked = quotas(scene, &user, &client).and_then(|()| users(scene, &user));
    let after = described(&mut broker)?;
    let _ = (given_quota(&mut broker, &user, None)?, given_user(&mut broker, &user, false)?);
    attacked?;
    scene.expect(before == after, || format!("quotas and users were {before:?} and became {after:?}"));
    // What was given is gone again for whoever compares.
    gone(&mut broker, &user)
}

/// What a broker was told it also shows a moment later.
fn standing(broker: &mut Peer, user: &str) -> Result<[Value; 2], Trouble> {
    shown(broker, "there", &|lists| lists.iter().all(|list| list.to_string().contains(user)))
}

fn gone(broker: &mut Peer, user: &str) -> Result<(), Trouble> {
    shown(broker, "gone", &|lists| !lists.iter().any(|list| list.to_string().contains(user))).map(drop)
}

fn shown(broker: &mut Peer, what: &str, wanted: &dyn Fn(&[Value; 2]) -> bool) -> Result<[Value; 2], Trouble> {
    for _ in 0..50 {
        let lists = described(broker)?;
        if wanted(&lists) {
            return Ok(lists);
        }
        thread::sleep(Duration::from_millis(100));
    }
    Err(Trouble::State(format!("the victim's quota and user are not {what}: {:?}", described(broker)?)))
}

/// All quotas and all users.
fn described(broker: &mut Peer) -> Result<[Value; 2], Trouble> {
    let quotas = broker.must(ApiKey::DescribeClientQuotas, 0..=1, &json!({ "Components": [], "Strict": false }))?;
    let users = broker.must(ApiKey::DescribeUserScramCredentials, 0..=0, &json!({ "Users": null }))?;
    Ok([quotas["Entries"].clone(), users["Results"].clone()])
}

fn quotas(scene: &mut Scene<'_>, user: &str, client: &str) -> Result<(), Trouble> {
    let mut siege = Siege::default();
    let one = |kind: &str, name: Value| json!([{ "EntityType": kind, "EntityName": name }]);
    let entities = [
        one("user", json!(user)),
        one("user", Value::Null),
        one("client-id", json!(client)),
        one("client-id", Value::Null),
        one("ip", json!("127.0.0.1")),
        one("ip", Value::Null),
        json!([{ "EntityType": "user", "EntityName": user }, { "EntityType": "client-id", "EntityName": client }]),
        json!([]),
    ];
    for entity in entities {
        for remove in [false, true] {
            let keys = ["producer_byte_rate", "consumer_byte_rate", "request_percentage", "connection_creation_rate"];
            for key in keys {
                let op = json!({ "Key": key, "Value": 1.0, "Remove": remove });
                let body = json!({ "Entries": [{ "Entity": entity, "Ops": [op] }], "ValidateOnly": false });
                for version in scene.versions(ApiKey::AlterClientQuotas) {
                    if entity != json!([]) {
                        let _ = siege.attack(scene, (ApiKey::AlterClientQuotas, version), &body, Hope::OnlyOwn)?;
                    }
                }
            }
        }
        // Exactly this entity, the default one, any of the kind.
        for (match_type, wanted) in [(0, entity[0]["EntityName"].clone()), (1, Value::Null), (2, Value::Null)] {
            let kind = entity[0]["EntityType"].as_str().unwrap_or("user");
            let component = json!({ "EntityType": kind, "MatchType": match_type, "Match": wanted });
            let body = json!({ "Components": [component], "Strict": false });
            for version in scene.versions(ApiKey::DescribeClientQuotas) {
                let reply = siege.attack(scene, (ApiKey::DescribeClientQuotas, version), &body, Hope::OnlyOwn)?;
                // Who asks by name hears the name again: the value is what nobody else may know.
                let seen = !reply.value()["Entries"].as_array().is_none_or(Vec::is_empty)
                    && reply.value()["Entries"].to_string().contains(&format!("\"{user}\""));
                scene.expect(!seen, || format!("DescribeClientQuotas {version} shows the victim's: {reply:?}"));
            }
        }
    }
    scene.got(siege.outcome("quotas"));
    Ok(())
}

fn users(scene: &mut Scene<'_>, user: &str) -> Result<(), Trouble> {
    let mut siege = Siege::default();
    let prefix = scene.arena.target.prefix.clone();
    let nobody = scene.dice.word(user.len());
    for version in scene.versions(ApiKey::DescribeUserScramCredentials) {
        let of = |name: &str| json!({ "Users": [{ "Name": name }] });
        for (theirs, other) in
            [(user.to_owned(), nobody.clone()), (format!("{prefix}{user}"), format!("{prefix}{nobody}"))]
        {
            let names = [(theirs.as_str(), other.as_str())];
            let key = ApiKey::DescribeUserScramCredentials;
            let reply = scene.twin_bodies(key, version, &of(&theirs), &of(&other), &names)?;
            let held = if scene.served(key) { reply.refused() } else { turned_away(&reply) };
            scene.expect(held, || format!("the victim's user is known to {} {version}: {reply:?}", key.name()));
        }
    }
    for name in [user.to_owned(), format!("{prefix}{user}"), "admin".into(), String::new()] {
        // SCRAM-SHA-256 and -512.
        for mechanism in [1, 2] {
            let upserted = json!({ "Name": name, "Mechanism": mechanism, "Iterations": 4096,
                "Salt": STANDARD.encode([7u8; 16]), "SaltedPassword": STANDARD.encode([7u8; 32]) });
            let upsert = json!({ "Deletions": [], "Upsertions": [upserted] });
            let delete = json!({ "Deletions": [{ "Name": name, "Mechanism": mechanism }], "Upsertions": [] });
            for body in [upsert, delete] {
                for version in scene.versions(ApiKey::AlterUserScramCredentials) {
                    let _ = siege.attack(scene, (ApiKey::AlterUserScramCredentials, version), &body, Hope::Refused)?;
                }
            }
        }
    }
    scene.got(siege.outcome("logins altered; the victim's user looks like nobody's"));
    Ok(())
}

fn given_quota(broker: &mut Peer, user: &str, rate: Option<f64>) -> Result<Value, Trouble> {
    let op = json!({ "Key": "producer_byte_rate", "Value": rate.unwrap_or(0.0), "Remove": rate.is_none() });
    let entity = json!([{ "EntityType": "user", "EntityName": user }]);
    let body = json!({ "Entries": [{ "Entity": entity, "Ops": [op] }], "ValidateOnly": false });
    broker.must(ApiKey::AlterClientQuotas, 0..=1, &body)
}

fn given_user(broker: &mut Peer, user: &str, there: bool) -> Result<Value, Trouble> {
    let upserted = json!({ "Name": user, "Mechanism": 1, "Iterations": 8192, "Salt": STANDARD.encode([1u8; 16]),
        "SaltedPassword": STANDARD.encode([2u8; 32]) });
    let body = if there {
        json!({ "Deletions": [], "Upsertions": [upserted] })
    } else {
        json!({ "Deletions": [{ "Name": user, "Mechanism": 1 }], "Upsertions": [] })
    };
    broker.must(ApiKey::AlterUserScramCredentials, 0..=0, &body)
}

/// Tokens for and of the victim; the attacker's own login where the victim connects.
pub(super) fn i_23(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let target = scene.arena.target.connection.clone();
    let mut siege = Siege::default();
    let principal = json!({ "PrincipalType": "User", "PrincipalName": target.username });
    let hmac = STANDARD.encode([7u8; 64]);
    let requests = [
        (
            ApiKey::CreateDelegationToken,
            json!({ "Renewers": [principal.clone()], "MaxLifetimeMs": 3_600_000, "OwnerPrincipalType": "User",
                "OwnerPrincipalName": target.username }),
        ),
        (ApiKey::RenewDelegationToken, json!({ "Hmac": hmac, "RenewPeriodMs": 3_600_000 })),
        (ApiKey::ExpireDelegationToken, json!({ "Hmac": hmac, "ExpiryTimePeriodMs": -1 })),
        (ApiKey::DescribeDelegationToken, json!({ "Owners": [principal] })),
        (ApiKey::DescribeDelegationToken, json!({ "Owners": null })),
    ];
    for (key, body) in requests {
        for version in key.versions().min..=key.versions().max {
            let mut body = body.clone();
            if let Some(fields) = body.as_object_mut().filter(|_| version < 3) {
                fields.retain(|field, _| !field.starts_with("OwnerPrincipal"));
            }
            let _ = siege.attack(scene, (key, version), &body, Hope::Refused)?;
        }
    }
    scene.got(siege.outcome("tokens"));
    elsewhere(scene)
}

/// The attacker's login at the victim's address opens nothing, or what is the attacker's own.
fn elsewhere(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let (target, own) = (scene.arena.target.connection.clone(), scene.arena.attacker.connection.clone());
    let mut there = own;
    there.bootstrap = target.bootstrap;
    let guest = Attacker::new(&there, &scene.arena.tap);
    let Ok(mut line) = guest.line() else {
        scene.got("its login is refused at the victim's address");
        return Ok(());
    };
    for version in scene.versions_in(ApiKey::Metadata, 4..=i16::MAX) {
        let body = forge::request(ApiKey::Metadata, version, &scene.secret());
        let reply = line.ask(ApiKey::Metadata, version, &body)?;
        scene.expect(reply.refused(), || format!("the attacker's login reads at the victim's address: {reply:?}"));
    }
    scene.got("its login at the victim's address shows nothing of the victim's");
    Ok(())
}
