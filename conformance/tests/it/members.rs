//! Members that stay in a group: how they share its partitions, come and go, and find topics by a pattern. In the other
//! sandbox a group of the same name, with members and topics of the same names, must not notice.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::needs;
use super::stand::{Stand, TeamClient, records, values};

const PATIENCE: Duration = Duration::from_secs(45);
const PARTITIONS: usize = 4;

/// What `fixtures/clients/README.md` says of `member_state`.
#[derive(Debug)]
pub(crate) struct State {
    partitions: Vec<String>,
    values: Vec<String>,
    topics: Vec<String>,
    events: Vec<Event>,
    error: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
struct Event {
    what: String,
    partitions: Vec<String>,
}

fn texts(value: &Value) -> Vec<String> {
    serde_json::from_value(value.clone()).unwrap_or_else(|_| panic!("{value} is not a list of texts"))
}

impl State {
    fn of(answer: &Value) -> Self {
        let events = answer["events"].as_array().expect("events");
        let event = |event: &Value| Event {
            what: event["what"].as_str().unwrap().into(),
            partitions: texts(&event["partitions"]),
        };
        Self {
            partitions: texts(&answer["partitions"]),
            values: texts(&answer["values"]),
            topics: texts(&answer["topics"]),
            events: events.iter().map(event).collect(),
            error: answer["error"]["code"].as_str().map(str::to_owned),
        }
    }

    fn partitions_that_were(&self, what: &str) -> Vec<String> {
        self.events.iter().filter(|event| event.what == what).flat_map(|event| event.partitions.clone()).collect()
    }
}

impl TeamClient {
    fn joins(&mut self, member: &str, mut with: Value) {
        with["member"] = json!(member);
        let _ = self.does("member_start", with);
    }

    fn state(&mut self, member: &str) -> State {
        State::of(&self.does("member_state", json!({ "member": member })))
    }

    fn leaves(&mut self, member: &str) -> State {
        State::of(&self.does("member_stop", json!({ "member": member })))
    }

    /// Looks again until it is so.
    fn until(&mut self, member: &str, what: &str, met: impl Fn(&State) -> bool) -> State {
        let began = Instant::now();
        loop {
            let state = self.state(member);
            if met(&state) {
                return state;
            }
            assert!(began.elapsed() < PATIENCE, "{member}, waiting for {what}: {state:?}");
            thread::sleep(Duration::from_millis(200));
        }
    }

    pub(crate) fn until_partitions(&mut self, member: &str, count: usize) -> State {
        self.until(member, &format!("{count} partitions"), |state| state.partitions.len() == count)
    }
}

/// A group of one client and one feature in both sandboxes, on a topic with the group's name.
struct Scene {
    stand: std::sync::Arc<Stand>,
    payments: TeamClient,
    search: TeamClient,
    topic: String,
}

impl Scene {
    fn set(client: &str, topic: String) -> Self {
        let stand = Stand::shared();
        let (mut payments, mut search) = (stand.payments.client(client), stand.search.client(client));
        for team in [&mut payments, &mut search] {
            let _ = team.does("create_topic", json!({ "topic": topic, "partitions": PARTITIONS }));
        }
        Self { stand, payments, search, topic }
    }

    fn membership(&self, protocol: &str) -> Value {
        json!({ "topic": self.topic, "group": self.topic, "protocol": protocol })
    }

    /// One member in search has all of its own topic, and nothing that payments did changed that.
    fn search_did_not_notice(&mut self, member: &str) {
        let state = self.search.state(member);
        assert_eq!(state.partitions.len(), PARTITIONS, "{state:?}");
        assert_eq!(state.error, None);
        assert_eq!(state.events.len(), 1, "another team's group moved this one: {state:?}");
    }
}

/// Both members read, each partition by one of them, and only what is their team's.
fn share(client: &str, protocol: &str) {
    let mut scene = Scene::set(client, format!("shared-{client}-{protocol}"));
    let with = scene.membership(protocol);
    scene.payments.joins("one", with.clone());
    scene.search.joins("alone", with.clone());
    let _ = scene.payments.until_partitions("one", PARTITIONS);
    scene.payments.joins("two", with);
    let _ = scene.payments.until_partitions("two", PARTITIONS / 2);
    let _ = scene.payments.until_partitions("one", PARTITIONS / 2);
    let _ = scene.search.until_partitions("alone", PARTITIONS);

    let topic = scene.topic.clone();
    let produce = |team: &mut TeamClient, prefix| {
        let _ = team.does("produce", json!({ "topic": topic, "records": records(prefix, 40) }));
    };
    produce(&mut scene.payments, "payments-");
    produce(&mut scene.search, "search-");
    let alone = scene.search.until("alone", "its records", |state| state.values.len() >= 40);
    assert_eq!(alone.values, values("search-", 40));
    let began = Instant::now();
    loop {
        let (one, two) = (scene.payments.state("one").values, scene.payments.state("two").values);
        let mut both = [one.clone(), two.clone()].concat();
        both.sort();
        if both.len() >= 40 {
            assert_eq!(both, values("payments-", 40));
            assert!(!one.is_empty() && !two.is_empty(), "one member read everything: {} and {}", one.len(), two.len());
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{} of 40 records", both.len());
    }
    let listed = scene.payments.does("list_groups", json!({}))["groups"].to_string();
    assert!(listed.contains(&topic) && !listed.contains(&scene.stand.search.prefix), "{listed}");
    scene.search_did_not_notice("alone");
    scene.stand.log_is_calm(&[]);
}

/// The first member gives half away and never lets go of the rest; when the second leaves it gets back what it gave.
fn cooperative(client: &str) {
    let mut scene = Scene::set(client, format!("cooperative-{client}"));
    let mut with = scene.membership("classic");
    with["assignor"] = json!("cooperative-sticky");
    scene.payments.joins("one", with.clone());
    scene.search.joins("alone", with.clone());
    let _ = scene.payments.until_partitions("one", PARTITIONS);
    let _ = scene.search.until_partitions("alone", PARTITIONS);
    scene.payments.joins("two", with);
    let two = scene.payments.until_partitions("two", PARTITIONS / 2);
    let one = scene.payments.until_partitions("one", PARTITIONS / 2);
    assert_eq!(one.partitions_that_were("revoked"), two.partitions, "only what the other one gets: {one:?}");

    let _ = scene.payments.leaves("two");
    let one = scene.payments.until_partitions("one", PARTITIONS);
    assert_eq!(one.events.last().map(|event| &event.partitions), Some(&two.partitions), "{one:?}");
    assert_eq!(one.partitions_that_were("lost"), [""; 0]);
    scene.search_did_not_notice("alone");
    scene.stand.log_is_calm(&[]);
}

/// A static member that restarts gets its partitions back and nobody else notices; a second one of the same name is
/// dealt with as the protocol says, and never because of a member of the same name in the other sandbox.
fn static_members(client: &str, protocol: &str, restarts: bool) {
    let mut scene = Scene::set(client, format!("static-{client}-{protocol}"));
    let with = |scene: &Scene, instance: &str| {
        let mut with = scene.membership(protocol);
        with["instance_id"] = json!(instance);
        with
    };
    let (first, second) = (with(&scene, "first"), with(&scene, "second"));
    scene.payments.joins("one", first.clone());
    scene.search.joins("alone", first.clone());
    let _ = scene.payments.until_partitions("one", PARTITIONS);
    scene.payments.joins("two", second.clone());
    let _ = scene.payments.until_partitions("two", PARTITIONS / 2);
    let before = scene.payments.until_partitions("one", PARTITIONS / 2).partitions;
    let _ = scene.search.until_partitions("alone", PARTITIONS);

    let events = scene.payments.state("two").events;
    if restarts {
        let _ = scene.payments.leaves("one");
        scene.payments.joins("one again", first);
        let again = scene.payments.until_partitions("one again", PARTITIONS / 2);
        assert_eq!(again.partitions, before, "a restart is no reason to rebalance");
        assert_eq!(scene.payments.state("two").events, events, "the other member has nothing to do with it");
    }

    scene.payments.joins("usurper", second);
    let (loser, code) = match protocol {
        "classic" => ("two", "FENCED_INSTANCE_ID"),
        _ => ("usurper", "UNRELEASED_INSTANCE_ID"),
    };
    let lost = scene.payments.until(loser, code, |state| state.error.is_some());
    assert_eq!(lost.error.as_deref(), Some(code));
    scene.search_did_not_notice("alone");
    scene.stand.log_is_calm(&[]);
}

/// A pattern finds the team's own topics, also one that is made later, whatever the other team has.
fn pattern(client: &str, protocol: &str, regex: &str) {
    let name = format!("{client}-{protocol}-{regex}");
    let mut scene = Scene::set(client, format!("found-{name}-a"));
    let _ = scene.search.does("create_topic", json!({ "topic": format!("found-{name}-only-search") }));
    // Begins with anything: on the broker that would be the other team's prefix as well.
    let mut with = json!({ "pattern": format!("^.*found-{name}-.*"), "group": name, "protocol": protocol });
    if regex == "server" {
        // Java's clients can leave it to either side, the others have no choice.
        with["regex"] = json!(regex);
    }
    scene.payments.joins("one", with.clone());
    scene.search.joins("one", with);
    let _ = scene.payments.until_partitions("one", PARTITIONS);
    let _ = scene.search.until_partitions("one", PARTITIONS + 1);

    let (first, later) = (scene.topic.clone(), format!("found-{name}-later"));
    let _ = scene.payments.does("create_topic", json!({ "topic": later }));
    for topic in [&first, &later] {
        let _ = scene.payments.does("produce", json!({ "topic": topic, "records": records(&format!("{topic}-"), 3) }));
    }
    let _ = scene.search.does("produce", json!({ "topic": first, "records": records("search-", 3) }));
    let found = scene.payments.until("one", "both topics", |state| state.values.len() >= 6);
    assert_eq!(found.topics, [first.clone(), later.clone()]);
    assert_eq!(found.values, [values(&format!("{first}-"), 3), values(&format!("{later}-"), 3)].concat());
    let found = scene.search.until("one", "its topic", |state| state.values.len() >= 3);
    assert_eq!((found.values, found.topics), (values("search-", 3), vec![first]));
    assert_eq!(found.partitions.len(), PARTITIONS + 1, "{:?}", found.partitions);
    scene.stand.log_is_calm(&[]);
}

macro_rules! tests {
    ($($name:ident: $client:literal => $run:expr;)*) => {
        $(#[test]
        fn $name() {
            if needs::met(stringify!($name), &[$client]) {
                $run
            }
        })*
    };
}

tests! {
    java_classic_members_share_a_topic: "java-clients" => share("java-clients", "classic");
    confluent_kafka_classic_members_share_a_topic: "python" => share("python", "classic");
    franz_go_classic_members_share_a_topic: "go" => share("go", "classic");
    java_cooperative_rebalance: "java-clients" => cooperative("java-clients");
    confluent_kafka_cooperative_rebalance: "python" => cooperative("python");
    franz_go_cooperative_rebalance: "go" => cooperative("go");
    java_classic_static_members: "java-clients" => static_members("java-clients", "classic", true);
    confluent_kafka_classic_static_members: "python" => static_members("python", "classic", true);
    franz_go_classic_static_members: "go" => static_members("go", "classic", true);
    java_classic_pattern_of_the_client: "java-clients" => pattern("java-clients", "classic", "client");
    confluent_kafka_classic_pattern_of_the_client: "python" => pattern("python", "classic", "client");
    franz_go_classic_pattern_of_the_client: "go" => pattern("go", "classic", "client");
    java_consumer_members_share_a_topic: "java-clients" => share("java-clients", "consumer");
    confluent_kafka_consumer_members_share_a_topic: "python" => share("python", "consumer");
    franz_go_consumer_members_share_a_topic: "go" => share("go", "consumer");
    java_consumer_static_members: "java-clients" => static_members("java-clients", "consumer", true);
    confluent_kafka_consumer_static_members: "python" => static_members("python", "consumer", true);
    // Its static members say goodbye without their name, which a broker refuses: a restart waits for the session's end.
    franz_go_consumer_static_members: "go" => static_members("go", "consumer", false);
    java_consumer_pattern_of_the_client: "java-clients" => pattern("java-clients", "consumer", "client");
    java_consumer_pattern_of_the_broker: "java-clients" => pattern("java-clients", "consumer", "server");
    confluent_kafka_consumer_pattern_of_the_broker: "python" => pattern("python", "consumer", "broker");
    franz_go_consumer_pattern_of_the_broker: "go" => pattern("go", "consumer", "broker");
}
