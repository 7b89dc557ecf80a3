//! Beats, what is heard of them, and the view that they make.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::beat::{Beat, Reach, key, node_of};
use super::heard::{Change, Heard};
use super::view::{Node, View};

const HERE: &str = "machine-1";

fn beat(node: &str, host: &str, rack: Option<&str>) -> Beat {
    let port = Reach::Port { host: host.to_owned(), port_start: 6969, port_count: 10, min_broker_id: 1 };
    let hosts = Reach::Host { domain: format!("{node}.example.com"), port: 9092 };
    Beat {
        node: node.to_owned(),
        incarnation: "1".to_owned(),
        machine: if host == "127.0.0.1" { format!("of {node}") } else { HERE.to_owned() },
        rack: rack.map(str::to_owned),
        listeners: BTreeMap::from([("default".to_owned(), port), ("tls".to_owned(), hosts)]),
        started: 1,
        expires: 10_000,
        lasts: 4_000,
        usage: json!({ "x": [1, 2] }),
    }
}

fn node(beat: Beat) -> Node {
    Node::new(Arc::new(beat), HERE)
}

fn brokers(racks: &[(i32, Option<&str>)]) -> BTreeMap<i32, Option<String>> {
    racks.iter().map(|(id, rack)| (*id, rack.map(str::to_owned))).collect()
}

#[test]
fn a_beat_is_read_as_it_was_written_and_nothing_else_is() {
    let written = beat("a:1", "gw-1", Some("r"));
    assert_eq!(Beat::read("a:1", &written.write().unwrap()), Ok(written.clone()));
    assert!(Beat::read("b:1", &written.write().unwrap()).is_err(), "another node's key");
    for wrong in ["", "gw 1", "gw\n1", &"h".repeat(254)] {
        assert!(Beat::read("a:1", &beat("a:1", wrong, None).write().unwrap()).is_err(), "{wrong:?}");
    }
    for wrong in [&b""[..], b"{}", b"[1]", b"\xff", br#"{"node": "a:1"}"#] {
        assert!(Beat::read("a:1", wrong).is_err());
    }
}

#[test]
fn a_key_names_the_cluster_and_the_node() {
    assert_eq!(node_of("gateway", key("gateway", "a/b:1").as_bytes()), Some("a/b:1"));
    for other in ["gateway2/a", "gateway", "gateway/", "", "other/a"] {
        assert_eq!(node_of("gateway", other.as_bytes()), None, "{other}");
    }
    assert_eq!(node_of("gateway", b"gateway/\xff"), None);
}

#[test]
fn a_node_is_there_until_its_beats_stay_out_or_it_says_goodbye() {
    let (mut heard, now, wall) = (Heard::default(), Instant::now(), 6_000_000);
    let second = Duration::from_secs(1);
    // Whatever the clock of the other says, a fresh beat counts as long as it lasts.
    assert_eq!(heard.beat(beat("a", "h", None), now, wall, false), Some(Change::Came("a".into())));
    assert_eq!(heard.beat(beat("a", "h", None), now + second, wall, false), None);
    assert_eq!(heard.expire(now + 4 * second), []);
    assert_eq!(heard.expire(now + 5 * second), [Change::Expired("a".into())]);
    assert_eq!(heard.beats().count(), 0);
    let _ = heard.beat(beat("a", "h", None), now, wall, false);
    assert_eq!(heard.goodbye("a", false), Some(Change::Left("a".into())));
    assert_eq!(heard.goodbye("a", false), None);
    // An outage in which nobody could be heard is nobody's end.
    let _ = heard.beat(beat("b", "h", None), now, wall, false);
    heard.spare(now + 60 * second);
    assert_eq!(heard.expire(now + 63 * second), []);
    assert_eq!(heard.expire(now + 64 * second).len(), 1);
}

#[test]
fn beats_that_lie_in_the_topic_count_as_long_as_they_say() {
    let (mut heard, now) = (Heard::default(), Instant::now());
    assert_eq!(heard.beat(beat("dead", "h", None), now, 10_000, true), None, "expired at 10,000");
    assert!(heard.beat(beat("alive", "h", None), now, 9_000, true).is_some());
    assert_eq!(heard.expire(now + Duration::from_secs(1)).len(), 1, "no longer than it said");
    let _ = heard.beat(beat("ahead", "h", None), now, 1, true);
    assert_eq!(
        heard.expire(now + Duration::from_secs(4)).len(),
        1,
        "a clock that is ahead gives no more than a beat lasts"
    );
}

#[test]
fn a_goodbye_that_lies_in_the_other_clusters_topic_is_not_one_of_who_is_there_now() {
    let (mut heard, now) = (Heard::default(), Instant::now());
    let _ = heard.beat(beat("a", "h", None), now, 0, false);
    heard.start_over(now);
    assert_eq!(heard.beat(beat("a", "h", None), now, 10_000, true), None, "an old beat of it, expired");
    assert_eq!(heard.goodbye("a", true), None, "said by an earlier process");
    assert_eq!(heard.beats().count(), 1);
    let _ = heard.beat(beat("a", "h", None), now, 9_000, true);
    assert_eq!(heard.goodbye("a", true), Some(Change::Left("a".into())), "behind a beat in the same topic it is one");
    let _ = heard.beat(beat("a", "h", None), now, 0, false);
    heard.start_over(now);
    assert!(heard.goodbye("a", false).is_some(), "said just now");
}

#[test]
fn no_number_of_nodes_takes_all_memory() {
    let (mut heard, now) = (Heard::default(), Instant::now());
    for at in 0..1000 {
        let _ = heard.beat(Beat { lasts: u64::MAX, ..beat(&at.to_string(), "h", None) }, now, 0, false);
    }
    assert_eq!(heard.beats().count(), 256);
    assert_eq!(heard.expire(now + Duration::from_secs(600)).len(), 256, "none counts for ever");
}

#[test]
fn clients_are_sent_to_the_node_that_has_the_broker() {
    let brokers = brokers(&[(1, None), (2, None), (3, None)]);
    let all = |me: &str| {
        let others = ["a", "b", "c"].into_iter().filter(|id| *id != me);
        View::new(
            node(beat(me, &format!("gw-{me}"), None)),
            others.map(|id| node(beat(id, &format!("gw-{id}"), None))),
            false,
            &brokers,
        )
    };
    let mut found: Vec<_> = (1..=3).map(|id| all("a").owner(id).id().to_owned()).collect();
    for me in ["b", "c"] {
        let view = all(me);
        assert_eq!(found, (1..=3).map(|id| view.owner(id).id().to_owned()).collect::<Vec<_>>(), "all say the same");
        for id in 1..=3 {
            let owner = view.owner(id).id().to_owned();
            let port = 6969 + u16::try_from(id).unwrap() - 1;
            let (plain, hosts) = match owner == me {
                true => (None, None),
                false => {
                    (Some((format!("gw-{owner}"), port)), Some((format!("broker-{id}.team.{owner}.example.com"), 9092)))
                }
            };
            assert_eq!(view.elsewhere("default", "team", id), plain);
            assert_eq!(view.elsewhere("tls", "team", id), hosts);
            assert_eq!(view.elsewhere("unknown", "team", id), None, "its own address will do");
        }
        assert!(["a", "b", "c"].contains(&view.owner(99).id()), "a broker that is not known yet");
    }
    found.sort();
    assert_eq!(found, ["a", "b", "c"], "each has one");
}

#[test]
fn a_rack_is_reached_through_its_node() {
    let brokers = brokers(&[(1, Some("r1")), (2, Some("r1")), (3, Some("r2")), (4, Some("r3"))]);
    let view = View::new(node(beat("a", "gw-a", Some("r1"))), [node(beat("b", "gw-b", Some("r2")))], false, &brokers);
    assert_eq!([1, 2, 3].map(|id| view.owner(id).id()), ["a", "a", "b"]);
    assert_eq!(view.owner(4).id(), "b", "nobody is there; it evens out");
}

#[test]
fn who_leaves_sends_its_clients_to_the_others_if_there_are_any() {
    let brokers = brokers(&[(1, None), (2, None)]);
    let alone = View::new(node(beat("a", "gw-a", None)), [], true, &brokers);
    assert_eq!([1, 2].map(|id| alone.owner(id).id()), ["a", "a"]);
    let view = View::new(node(beat("a", "gw-a", None)), [node(beat("b", "gw-b", None))], true, &brokers);
    assert_eq!([1, 2, 3].map(|id| view.owner(id).id()), ["b", "b", "b"]);
    assert_eq!((view.me().id(), view.nodes().len()), ("a", 2));
    assert_eq!(view.nodes()[1].usage(), &json!({ "x": [1, 2] }));
}

#[test]
fn an_address_that_means_here_is_told_to_nobody_elsewhere() {
    let brokers = brokers(&[(1, None), (2, None)]);
    let mut far = beat("b", "127.0.0.1", None);
    let _ = far.listeners.remove("tls");
    let view = View::new(node(beat("a", "gw-a", None)), [node(far.clone())], false, &brokers);
    assert_eq!([1, 2].map(|id| view.owner(id).id()), ["a", "a"]);
    far.machine = HERE.to_owned();
    let view = View::new(node(beat("a", "gw-a", None)), [node(far)], false, &brokers);
    assert_ne!(view.owner(1).id(), view.owner(2).id(), "on the same machine it is as good as any");
}
