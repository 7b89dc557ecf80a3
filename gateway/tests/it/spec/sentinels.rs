//! A sentinel in one field at a time: for each field with a role, at each version that is served, what is put there is
//! renamed on the way in and back on the way out, nothing beside it changes, and a foreign tenant's never comes through.

use super::decisions;
use super::expected::probes;
use super::kafkas;
use super::message::{Leaf, drop_around, filled, get, leaves, set, with_tags};
use super::probes::{Cluster, Expect, FOREIGN, Probe, Way, harmless};
use crate::runner::{self, BROKER};
use gateway::apis::{self, Verdict, roles};
use gateway::naming::request::Asked;
use gateway::naming::{Tenant, response};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use wire::plan::Role;
use wire::schema::{ApiKey, Message};
use wire::segments::Segments;
use wire::value;

/// One served message at one version.
#[derive(Clone, Copy)]
struct At {
    key: ApiKey,
    version: i16,
    way: Way,
    message: &'static Message,
    /// For whom it is carried.
    cluster: Cluster,
}

fn served(cluster: Cluster) -> impl Iterator<Item = At> {
    let forwarded = apis::served().filter(|(key, _)| apis::row(*key).verdict != Verdict::Own);
    forwarded.flat_map(move |(key, range)| {
        (range.min..=range.max).flat_map(move |version| {
            let both = [(Way::In, key.request()), (Way::Out, key.response())];
            both.map(|(way, message)| At { key, version, way, message, cluster })
        })
    })
}

impl At {
    fn fill(self) -> Value {
        filled(self.message, self.version, &|place| harmless(self.cluster, self.way, place))
    }

    /// The body that leaves the gateway for this one, as a value and in bytes.
    fn carry(self, tenant: &Tenant, asked: &Asked, given: &Value) -> Result<(Value, Vec<u8>), String> {
        let body = value::encode(self.message, self.version, given).map_err(|e| format!("not encoded: {e}"))?;
        let out = match self.way {
            Way::In => runner::sent(tenant, self.key, self.version, &body)?.0,
            Way::Out => {
                let (mut memory, mut segments) = (response::Memory::default(), Segments::default());
                let (key, version) = (self.key, self.version);
                let _ = response::map(key, version, &body, asked, tenant, BROKER, &mut memory, &mut segments)
                    .map_err(|why| format!("withheld: {why}"))?;
                segments.to_vec(&body)
            }
        };
        let got = value::decode(self.message, self.version, &out).map_err(|e| format!("not decoded: {e}"))?;
        Ok((got, out))
    }

    /// A tagged field that became its default is there or not: both say the same.
    fn plain(self, given: &Value) -> Result<Value, String> {
        let bytes = value::encode(self.message, self.version, given).map_err(|e| format!("not encoded: {e}"))?;
        value::decode(self.message, self.version, &bytes).map_err(|e| format!("not decoded: {e}"))
    }

    /// The request before an answer, with the probe's own fields in it; `None` where it has none of them.
    fn request(self, probe: &Probe) -> Option<Value> {
        let request = Self { way: Way::In, message: self.key.request(), ..self };
        let mut given = request.fill();
        let all = leaves(request.message, self.version, &roles::role_of);
        for (role, value) in &probe.asked {
            let of_role: Vec<&Leaf> = all.iter().filter(|leaf| leaf.role == *role).collect();
            if of_role.is_empty() {
                return None;
            }
            of_role.iter().for_each(|leaf| set(&mut given, &leaf.path, value.clone()));
        }
        Some(given)
    }

    /// What a request leaves behind for its answer.
    fn asked(self, tenant: &Tenant, request: &Value) -> Result<Asked, String> {
        if self.way == Way::In {
            return Ok(Asked::default());
        }
        let body = value::encode(self.key.request(), self.version, request).map_err(|e| e.to_string())?;
        runner::sent(tenant, self.key, self.version, &body).map(|(_, asked)| asked)
    }

    /// Whether what `probe` promises of the field holds; `None` where the message can't be put so.
    fn holds(self, all: &[Leaf], leaf: &Leaf, probe: &Probe, gateway: Gateway) -> Option<Result<(), String>> {
        let mut given = self.fill();
        let alone = |role: &Role| !all.iter().any(|other| other.role == *role && other.parent() == leaf.parent());
        if !probe.alone.iter().all(alone) {
            return None;
        }
        for (role, value) in &probe.beside {
            // The nearest one: in the struct of the field, or in one around it.
            let around = |other: &&Leaf| other.role == *role && leaf.path.starts_with(other.parent());
            let beside = all.iter().filter(around).max_by_key(|other| other.parent().len())?;
            if value.is_null() && !beside.nullable {
                return None;
            }
            set(&mut given, &beside.path, value.clone());
        }
        let request = self.request(probe)?;
        Some(self.compared(leaf, probe, given, &request, gateway))
    }

    fn compared(
        self,
        leaf: &Leaf,
        probe: &Probe,
        mut given: Value,
        request: &Value,
        gateway: Gateway,
    ) -> Result<(), String> {
        let tenant = self.cluster.tenant();
        let asked = self.asked(&tenant, request)?;
        // What is left out takes along what stands beside it.
        let without = if matches!(probe.expect, Expect::Gone) { self.fill() } else { given.clone() };
        let (mut expected, _) =
            self.carry(&tenant, &asked, &without).map_err(|why| format!("without the sentinel: {why}"))?;
        let carried = if gateway == Gateway::Forgets {
            let (mut carried, _) = self.carry(&tenant, &asked, &given)?;
            set(&mut carried, &leaf.path, probe.put.clone());
            let bytes = value::encode(self.message, self.version, &carried).map_err(|e| e.to_string())?;
            Ok((carried, bytes))
        } else {
            set(&mut given, &leaf.path, probe.put.clone());
            self.carry(&tenant, &asked, &given)
        };
        match &probe.expect {
            Expect::Is(value) => set(&mut expected, &leaf.path, value.clone()),
            Expect::Gone if drop_around(self.message, self.version, &mut expected, &leaf.path) => {}
            Expect::Gone | Expect::Refused => {
                return match carried {
                    Ok((got, _)) => Err(format!("it goes through as {:?}", get(&got, &leaf.path))),
                    Err(_) => Ok(()),
                };
            }
            Expect::Alone(value) => {
                let (got, _) = carried?;
                let got = get(&got, &leaf.path);
                return if got == Some(value) { Ok(()) } else { Err(format!("it goes through as {got:?}")) };
            }
            Expect::Hidden => {
                let out = carried.map(|(_, out)| out).unwrap_or_default();
                let put = probe.put.as_str().unwrap_or_default();
                let whole = value::uuid_from_text(put).map_or(put.as_bytes().to_vec(), |id| id.to_vec());
                let there = |what: &[u8]| out.windows(what.len()).any(|window| window == what);
                let through = there(&whole) || there(b"team-b.") || there(&FOREIGN);
                return if through { Err("it comes through".to_owned()) } else { Ok(()) };
            }
        }
        let (got, expected) = (self.plain(&carried?.0)?, self.plain(&expected)?);
        if got == expected { Ok(()) } else { Err(format!("\n  expected {expected}\n  got      {got}")) }
    }
}

/// Which gateway is checked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gateway {
    /// The one that there is.
    Real,
    /// One that does not look at the field in which the sentinel is.
    Forgets,
}

/// What was checked: the number of checks by API, version and message, and the fields.
#[derive(Default)]
struct Checked {
    checks: BTreeMap<(&'static str, i16), usize>,
    fields: BTreeSet<(&'static str, String)>,
    wrong: Vec<String>,
}

fn check() -> Checked {
    let mut done = Checked::default();
    for at in served(Cluster::Prefixed).chain(served(Cluster::Transparent)) {
        let all = leaves(at.message, at.version, &roles::role_of);
        for leaf in &all {
            let (name, path) = (at.message.name, leaf.path.as_str());
            let mut checks = 0;
            for probe in probes(at.cluster, at.way, leaf) {
                let Some(holds) = at.holds(&all, leaf, &probe, Gateway::Real) else { continue };
                checks += usize::from(!probe.put.is_null());
                *done.checks.entry((name, at.version)).or_default() += 1;
                let _ = done.fields.insert((name, leaf.path.clone()));
                let Err(why) = holds else { continue };
                done.wrong.push(format!("{name} {} {path}, {:?}, {}: {why}", at.version, at.cluster, probe.name));
            }
            if checks == 0 {
                let (version, role, cluster) = (at.version, leaf.role, at.cluster);
                done.wrong
                    .push(format!("{name} {version} {path}, {cluster:?}: nothing is expected of a {role:?} here"));
            }
        }
    }
    done
}

/// What leaves the gateway, by message and version, where every struct holds tagged fields that nobody knows.
pub(super) fn carried() -> Vec<(&'static Message, i16, Vec<u8>)> {
    let nothing = Probe::none();
    let carry = |at: At| {
        let tenant = at.cluster.tenant();
        let mut given = at.fill();
        if at.message.flexible.contains(at.version) {
            given = with_tags(at.message.fields, &given);
        }
        let asked = at.request(&nothing).map(|request| at.asked(&tenant, &request));
        let (got, out) = at.carry(&tenant, &asked.unwrap().unwrap(), &given).unwrap();
        let unknown = |value: &Value| value.to_string().matches("10007").count();
        assert_eq!(unknown(&got), unknown(&given), "{} {}: unknown tagged fields", at.message.name, at.version);
        (at.message, at.version, out)
    };
    served(Cluster::Prefixed).chain(served(Cluster::Transparent)).map(carry).collect()
}

#[test]
fn unknown_tagged_fields_survive_wherever_they_are() {
    assert!(carried().len() > 500);
}

#[test]
fn each_field_is_renamed_both_ways_and_nothing_foreign_comes_through() {
    let done = check();
    assert!(done.wrong.is_empty(), "{} of\n{}", done.wrong.len(), done.wrong.join("\n"));
    for kafka in kafkas::needed_by("each_field_is_renamed_both_ways_and_nothing_foreign_comes_through") {
        let decided = decisions::decided(kafka, &roles::decide);
        let described: Vec<_> =
            kafka.messages().flat_map(|m| (m.versions.min..=m.versions.max).map(move |v| (m, v))).collect();
        let has = |name: &str, version: i16| described.iter().any(|(m, v)| m.name == name && *v == version);
        let checks: usize = done.checks.iter().filter(|((name, v), _)| has(name, *v)).map(|(_, n)| n).sum();
        let fields =
            done.fields.iter().filter(|(name, path)| decided.fields.contains_key(&(*name, path.clone()))).count();
        println!(
            "Kafka {}: {} messages, {} versions, {} fields, {} decided, {} with roles, {checks} sentinel checks in {fields} served fields",
            kafka.version,
            kafka.messages().count(),
            described.len(),
            decided.fields.len(),
            decided.fields.values().flatten().count(),
            decided.roles(),
        );
        assert!(checks > 1500, "only {checks} checks");
    }
}

#[test]
fn a_gateway_that_forgets_a_field_is_told_whichever_it_is() {
    let mut forgotten = 0;
    for at in served(Cluster::Prefixed).filter(|at| at.version == apis::row(at.key).versions.max) {
        let all = leaves(at.message, at.version, &roles::role_of);
        for leaf in &all {
            let of_role = probes(at.cluster, at.way, leaf);
            let changes = |probe: &&Probe| !matches!(&probe.expect, Expect::Is(value) | Expect::Alone(value) if *value == probe.put);
            let told = of_role.iter().filter(changes).filter_map(|probe| at.holds(&all, leaf, probe, Gateway::Forgets));
            let told: Vec<_> = told.collect();
            assert!(told.iter().all(Result::is_err), "{} {} {}", at.message.name, at.version, leaf.path);
            forgotten += usize::from(!told.is_empty());
        }
    }
    assert!(forgotten > 80, "only {forgotten} fields");
}
