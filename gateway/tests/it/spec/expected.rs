//! What becomes of a field of each role: what is put into it, and what must come out.

use super::message::{Leaf, drop_around, filled, leaves};
use super::probes::{
    Cluster, Expect, FOREIGN, OWN, Probe, SESSION, UNKNOWN, Way, embedded, encoded, id, named, share_key, veiled,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gateway::apis::roles;
use serde_json::{Value, json};
use wire::plan::Role;
use wire::schema::Message;

/// A setting whose value is the name of a topic.
const DEAD_LETTERS: &str = "errors.deadletterqueue.topic.name";

/// What is put into a field; nothing for a role that is not known here.
pub(super) fn probes(cluster: Cluster, way: Way, leaf: &Leaf) -> Vec<Probe> {
    let mut found = match (cluster, way) {
        (Cluster::Transparent, _) => transparent(way, leaf),
        (Cluster::Prefixed, Way::In) => request(leaf),
        (Cluster::Prefixed, Way::Out) => response(leaf),
    };
    if leaf.nullable && !found.is_empty() {
        found.push(Probe::kept("null", Value::Null));
    }
    found
}

/// Names stay what they are for the transparent cluster; the gateway's own topics are nobody's. The rest is as for the others.
fn transparent(way: Way, leaf: &Leaf) -> Vec<Probe> {
    const HIDDEN: &str = "_anabranch.state";
    let mut name = vec![Probe::kept("a name", "team-b.sentinel")];
    let hidden = match way {
        Way::In => Probe::is("the gateway's own", HIDDEN, "_anabranch.state/"),
        Way::Out => Probe::new("the gateway's own", HIDDEN, Expect::Gone),
    };
    let of = |kind: i32, mut probe: Probe| {
        probe.name = "of a kind";
        probe.beside(Role::ResourceType, kind)
    };
    match (leaf.role, way) {
        (Role::Topic, _) => [name, vec![hidden]].concat(),
        (Role::TopicCursor, Way::In) => name,
        (Role::TopicCursor, Way::Out) => [name, vec![Probe::new("the gateway's own", HIDDEN, Expect::Hidden)]].concat(),
        (Role::ResourceName, _) => {
            let kept = name.remove(0);
            vec![of(2, kept.clone()), of(32, kept.clone()), of(4, kept.clone()), of(16, kept), of(2, hidden)]
        }
        (Role::Group | Role::TransactionalId | Role::CoordinatorKey | Role::TopicRegex, _) => name,
        (Role::TransactionalIdRegex | Role::Subscription | Role::Assignment, _) => {
            vec![Probe::kept("as it is", STANDARD.encode("sentinel"))]
        }
        (Role::TopicId, Way::In) => vec![
            Probe::kept("anybody's", id(UNKNOWN)),
            Probe::is("the gateway's own", id(FOREIGN), id(veiled(FOREIGN))),
        ],
        (Role::TopicId, Way::Out) => vec![
            Probe::kept("anybody's", id(UNKNOWN)),
            Probe::new("the gateway's own", id(FOREIGN), Expect::Hidden).without(Role::Topic),
            Probe::is("what was sent", id(veiled(FOREIGN)), id(FOREIGN)).asked(Role::TopicId, id(FOREIGN)),
        ],
        (Role::SettingValue, _) => {
            let dead_letters = |probe: Probe| probe.beside(Role::SettingName, DEAD_LETTERS);
            let hidden = if way == Way::In { hidden } else { Probe::is("the gateway's own", HIDDEN, Value::Null) };
            vec![name.remove(0), dead_letters(Probe::kept("a topic", "team-b.sentinel")), dead_letters(hidden)]
        }
        (Role::ClusterId | Role::ErrorText | Role::LogDir | Role::SettingName, Way::Out) => {
            vec![Probe::kept("as it is", "team-b.sentinel")]
        }
        (Role::ReadOnly, Way::Out) => vec![Probe::kept("a broker's", false).beside(Role::ResourceType, 4)],
        (Role::VolumeBytes, Way::Out) => vec![Probe::kept("a size", 4711)],
        // Where there are no rules, what the broker says.
        (Role::AuthorizedOperations | Role::ClusterOperations, Way::Out) => vec![Probe::kept("rights", 328)],
        (Role::AutoCreation, Way::In) => vec![Probe::kept("a truth value", false)],
        (_, Way::In) => request(leaf),
        (_, Way::Out) => response(leaf),
    }
}

/// The keys of a request for a coordinator, with what becomes of one that is a name.
fn sought_keys(renamed: &Probe) -> Vec<Probe> {
    let of = |kind: i32| renamed.clone().beside(Role::CoordinatorType, kind);
    let share = |name, put: String, becomes: String| Probe::is(name, put, becomes).beside(Role::CoordinatorType, 2);
    let veiled = veiled(FOREIGN);
    vec![
        // Version 0 knows groups only.
        renamed.clone().without(Role::CoordinatorType),
        of(0),
        of(1),
        share("a share partition", share_key("sentinel", OWN), share_key("team-a.sentinel", OWN)),
        share("a foreign one", share_key("sentinel", FOREIGN), share_key("team-a.sentinel", veiled)),
        share("no share partition", "sentinel:x:0".to_owned(), "team-a.sentinel:x:0:?".to_owned()),
    ]
}

fn request(leaf: &Leaf) -> Vec<Probe> {
    let renamed = || Probe::is("a name", "sentinel", "team-a.sentinel");
    match leaf.role {
        Role::Topic | Role::TopicCursor | Role::Group | Role::TransactionalId => {
            // The prefix of another is a name like any other.
            vec![renamed(), Probe::is("a foreign name", "team-b.x", "team-a.team-b.x")]
        }
        Role::CoordinatorKey => sought_keys(&renamed()),
        Role::ResourceName => {
            let of = |kind: i32| renamed().beside(Role::ResourceType, kind);
            let refused =
                |kind: i32| Probe::new("of an operator", "sentinel", Expect::Gone).beside(Role::ResourceType, kind);
            vec![of(2), of(32), refused(8), refused(16)]
        }
        Role::TopicId => {
            let veiled = |of| id(veiled(of));
            vec![
                Probe::kept("its own", id(OWN)),
                Probe::is("a foreign one", id(FOREIGN), veiled(FOREIGN)),
                Probe::is("an unknown one", id(UNKNOWN), veiled(UNKNOWN)),
            ]
        }
        Role::Subscription => embedded_probes("ConsumerProtocolSubscription", Way::In),
        Role::Assignment => embedded_probes("ConsumerProtocolAssignment", Way::In),
        Role::TopicRegex | Role::TransactionalIdRegex => vec![
            Probe::is("a pattern", "^sentinel.*|b", "team\\-a\\.(?:(?s-s:)sentinel.*|b)"),
            Probe::new("one that climbs out", "a)|(?:team-b.*", Expect::Refused),
            Probe::kept("none", ""),
        ],
        Role::SettingName => vec![Probe::kept("a topic's", "sentinel")],
        Role::SettingValue => vec![
            Probe::kept("of no topic", "sentinel"),
            renamed().beside(Role::SettingName, DEAD_LETTERS),
            Probe::is("a foreign name", "team-b.x", "team-a.team-b.x").beside(Role::SettingName, DEAD_LETTERS),
            Probe::kept("no name", "").beside(Role::SettingName, DEAD_LETTERS),
        ],
        Role::ClusterId => vec![Probe::is("the cluster's", "physical-cluster", Value::Null)],
        Role::ReplicaId => vec![Probe::is("a follower", 3, -1), Probe::kept("a debugging consumer", -2)],
        Role::FetchSessionId => {
            vec![
                Probe::new("another tenant's", SESSION + 1, Expect::Refused).beside(Role::FetchSessionEpoch, 1),
                Probe::new("nobody's", SESSION + 2, Expect::Refused).beside(Role::FetchSessionEpoch, 1),
                // What ends a session, and may begin another, ends none of them.
                Probe::is("another tenant's at its end", SESSION + 1, 0).beside(Role::FetchSessionEpoch, -1),
                Probe::is("nobody's anew", SESSION + 2, 0).beside(Role::FetchSessionEpoch, 0),
                Probe::kept("its own", SESSION),
            ]
        }
        Role::ProtocolType => vec![Probe::new("another protocol", "connect", Expect::Alone(json!("connect")))],
        Role::Records | Role::AuthBytes => vec![Probe::kept("bytes", STANDARD.encode("sentinel"))],
        Role::FetchSessionEpoch | Role::ShareSessionEpoch | Role::Acks => vec![Probe::kept("a number", 1)],
        Role::ResourceType => vec![Probe::kept("a group", 32)],
        Role::AutoCreation => vec![Probe::kept("a truth value", false)],
        Role::CoordinatorType => vec![Probe::kept("a transactional id", 1)],
        Role::Principal | Role::Mechanism | Role::Rack | Role::ErrorText => vec![Probe::kept("text", "sentinel")],
        _ => Vec::new(),
    }
}

/// A name, with `near` saying what it names.
fn names(near: &dyn Fn(Probe) -> Probe) -> Vec<Probe> {
    let own = near(Probe::is("its own", "team-a.sentinel", "sentinel"));
    let others =
        [("a foreign one", "team-b.sentinel"), ("a bare one", "sentinel"), ("nearly its own", "team-axsentinel")];
    let others = others.map(|(name, put)| near(Probe::new(name, put, Expect::Gone)));
    std::iter::once(own).chain(others).collect()
}

fn coordinator_keys() -> Vec<Probe> {
    let of = |kind: i32| move |probe: Probe| probe.asked(Role::CoordinatorType, kind);
    let share = |name, put: String, becomes: &str| Probe::is(name, put, becomes).asked(Role::CoordinatorType, 2);
    let theirs = Probe::new("a foreign one", share_key("team-b.sentinel", OWN), Expect::Gone);
    let shares = vec![
        share("a share partition", share_key("team-a.sentinel", OWN), &share_key("sentinel", OWN)),
        share("no share partition", "team-a.sentinel:x:0:?".to_owned(), "sentinel:x:0"),
        theirs.asked(Role::CoordinatorType, 2),
    ];
    [names(&of(0)), names(&of(1)), shares].concat()
}

/// Ids alone, beside no name and beside a name: a broker that says an id beside a name of the tenant's says whose it is.
fn topic_ids() -> Vec<Probe> {
    let veiled = veiled(FOREIGN);
    vec![
        Probe::kept("its own", id(OWN)),
        Probe::new("a foreign one", id(FOREIGN), Expect::Hidden).without(Role::Topic),
        Probe::new("a foreign one", id(FOREIGN), Expect::Hidden).beside(Role::Topic, Value::Null),
        Probe::new("a foreign topic's", id(FOREIGN), Expect::Gone).beside(Role::Topic, "team-b.sentinel"),
        Probe::new("an unknown one", id(UNKNOWN), Expect::Hidden).without(Role::Topic),
        Probe::new("an unknown one", id(UNKNOWN), Expect::Hidden).beside(Role::Topic, Value::Null),
        Probe::is("what was sent", id(veiled), id(FOREIGN)).asked(Role::TopicId, id(FOREIGN)),
    ]
}

fn response(leaf: &Leaf) -> Vec<Probe> {
    match leaf.role {
        Role::Topic | Role::Group | Role::TransactionalId => names(&|probe| probe),
        Role::TopicCursor => vec![
            Probe::is("its own", "team-a.sentinel", "sentinel"),
            Probe::new("a foreign one", "team-b.sentinel", Expect::Hidden),
        ],
        Role::CoordinatorKey => coordinator_keys(),
        Role::ResourceName => {
            let of = |kind: i32| move |probe: Probe| probe.beside(Role::ResourceType, kind);
            let others = Probe::new("of an operator", "sentinel", Expect::Gone).beside(Role::ResourceType, 16);
            [names(&of(2)), names(&of(32)), vec![others]].concat()
        }
        Role::TopicId => topic_ids(),
        Role::Subscription => embedded_probes("ConsumerProtocolSubscription", Way::Out),
        Role::Assignment => embedded_probes("ConsumerProtocolAssignment", Way::Out),
        Role::Host => vec![
            Probe::is("a broker's", "physical-2", "gateway").beside(Role::BrokerId, 2),
            Probe::new("nobody's", "physical-3", Expect::Hidden).beside(Role::BrokerId, -1),
        ],
        Role::Port => vec![
            Probe::is("a broker's", 9093, 9002).beside(Role::BrokerId, 2),
            Probe::is("nobody's", 9093, -1).beside(Role::BrokerId, -1),
        ],
        // A coordinator that is left out would be waited for: an error stands in its place.
        Role::BrokerId if matches!(leaf.path.as_str(), "NodeId" | "Coordinators.NodeId") => {
            vec![Probe::new("one without a port here", 3, Expect::Alone(json!(-1)))]
        }
        Role::BrokerId => vec![Probe::new("one without a port here", 3, Expect::Gone)],
        Role::TopicRegex => vec![
            Probe::is("its own", "team\\-a\\.(?:(?s-s:)sentinel.*|b)", "^sentinel.*|b"),
            Probe::is("a foreign one", "team-b.sentinel.*", Value::Null),
        ],
        Role::ErrorText => vec![
            Probe::is("its own", "Topic 'team-a.sentinel' is.", "Topic 'sentinel' is."),
            Probe::is("one that collides", "'team-a_sentinel' is.", "'***' is."),
            Probe::new("a foreign one", "Topic 'team-b.sentinel' is.", Expect::Hidden),
        ],
        Role::ProtocolType => vec![Probe::new("another protocol", "connect", Expect::Alone(json!("connect")))],
        Role::Records | Role::AuthBytes => vec![Probe::kept("bytes", STANDARD.encode("sentinel"))],
        Role::ResourceType => vec![Probe::kept("a group", 32)],
        Role::FetchSessionId => vec![Probe::kept("a new one", 42)],
        Role::Principal | Role::Mechanism | Role::Rack => vec![Probe::kept("text", "sentinel")],
        _ => physical(leaf),
    }
}

/// What tells of the brokers that all tenants share.
fn physical(leaf: &Leaf) -> Vec<Probe> {
    match leaf.role {
        Role::SettingName => vec![
            Probe::kept("a topic's", "sentinel"),
            Probe::kept("a broker's that is shown", "message.max.bytes").beside(Role::ResourceType, 4),
            Probe::new("a broker's that is not", "listeners", Expect::Hidden).beside(Role::ResourceType, 4),
        ],
        Role::SettingValue => {
            let dead_letters = |probe: Probe| probe.beside(Role::SettingName, DEAD_LETTERS);
            vec![
                Probe::kept("of no topic", "team-b.sentinel"),
                dead_letters(Probe::is("its own", "team-a.sentinel", "sentinel")),
                dead_letters(Probe::is("a foreign one", "team-b.sentinel", Value::Null)),
                dead_letters(Probe::kept("no name", "")),
            ]
        }
        Role::ReadOnly => {
            vec![Probe::kept("a topic's", false), Probe::is("a broker's", false, true).beside(Role::ResourceType, 4)]
        }
        Role::ErrorCode => vec![
            Probe::kept("a broker's", 14),
            Probe::is("beside a broker without a port", 0, 8).beside(Role::BrokerId, 3),
        ],
        Role::ClusterId => vec![Probe::is("the cluster's", "physical-2", "virtual-cluster")],
        Role::LogDir => vec![Probe::is("a path", "/disk-2", "/log-dir-1")],
        Role::VolumeBytes => vec![Probe::is("a size", 4711, -1)],
        Role::AuthorizedOperations | Role::ClusterOperations => vec![Probe::kept("rights", 328)],
        _ => Vec::new(),
    }
}

/// A sentinel in each field of the embedded bytes that names something, at each of their versions.
fn embedded_probes(name: &str, way: Way) -> Vec<Probe> {
    let message = Message::named(name).unwrap();
    let mut found = Vec::new();
    for version in message.versions.min..=message.versions.max {
        for leaf in leaves(message, version, &roles::role_of) {
            let bytes = |put: &str, name: &str| embedded(message.name, version, name, Some((leaf.path.as_str(), put)));
            match way {
                Way::In => found.push(Probe::is(
                    "a name inside",
                    bytes("sentinel", "own"),
                    bytes("team-a.sentinel", "team-a.own"),
                )),
                Way::Out => {
                    found.push(Probe::is(
                        "its own inside",
                        bytes("team-a.sentinel", "team-a.own"),
                        bytes("sentinel", "own"),
                    ));
                    let mut one_less = filled(message, version, &|place| named(place, "own"));
                    assert!(drop_around(message, version, &mut one_less, &leaf.path));
                    let one_less = encoded(message, version, &one_less);
                    found.push(Probe::is("a foreign one inside", bytes("team-b.sentinel", "team-a.own"), one_less));
                }
            }
        }
    }
    let opaque = STANDARD.encode("another protocol's own");
    found.push(Probe::kept("another protocol's", opaque).beside(Role::ProtocolType, "connect"));
    found
}
