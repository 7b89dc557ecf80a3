//! Hostile clients and brokers against the gateway as a process: only the connection that is hostile suffers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that fails panics")]

mod broker;
#[path = "../it/filler.rs"]
mod filler;
#[path = "../frames/mutate.rs"]
mod mutate;
mod stand;

use filler::{Dice, FOREIGN, Filler};
use serde_json::json;
use stand::{Stand, group, request};
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use wire::frame;
use wire::schema::ApiKey;

/// Topic ids: another's, the tenant's, none, and one that nobody has.
const IDS: [[u8; 16]; 4] = [FOREIGN, [0x11; 16], [0; 16], [0x33; 16]];
/// How much the gateway's memory may grow under any of these attacks. What is sent at once is some megabytes; what is claimed
/// is hundreds of gigabytes.
const GROWTH: usize = 32 << 20;
/// Clients of the other tenant that ask all the time.
const VICTIMS: usize = 4;

/// Runs `attack` while the other tenant's clients ask for groups, each for others. None of them may notice: every answer is
/// the one to its request. The gateway's memory stays within bounds.
fn undisturbed(stand: &mut Stand, attack: impl FnOnce(&Stand)) {
    let (over, asked, before) = (AtomicBool::new(false), AtomicUsize::new(0), stand.resident());
    let most = AtomicUsize::new(before);
    thread::scope(|scope| {
        for n in 0..VICTIMS {
            let (over, asked) = (&over, &asked);
            let mut victim = stand.client("team-b");
            let _ = scope.spawn(move || {
                for round in 0.. {
                    let canary = format!("canary-{n}-{round}");
                    victim.send(&group(&canary)).unwrap();
                    assert_eq!(victim.receive_group().unwrap(), canary);
                    let _ = asked.fetch_add(1, Ordering::Relaxed);
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
        let (over, most, shared) = (&over, &most, &*stand);
        let _ = scope.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let _ = most.fetch_max(shared.resident(), Ordering::Relaxed);
                thread::sleep(Duration::from_millis(5));
            }
        });
        // Also where the attack fails, the others are to come to their end.
        let attacked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| attack(shared)));
        over.store(true, Ordering::Relaxed);
        if let Err(panic) = attacked {
            std::panic::resume_unwind(panic);
        }
    });
    stand.is_well();
    let (asked, grown) = (asked.into_inner(), most.into_inner() - before);
    println!("{asked} answers of the other tenant, memory grew by {} KiB", grown >> 10);
    assert!(asked > 2 * VICTIMS, "only {asked} answers");
    assert!(grown < GROWTH, "the gateway's memory grew by {grown} bytes");
}

#[test]
fn damaged_requests_of_every_api_end_their_own_connection_at_most() {
    const SAID: [&str; 4] = ["orders", "team-b.secret", "", "_anabranch.state"];
    let mut stand = Stand::start("damaged");
    let mut dice = Dice(20);
    undisturbed(&mut stand, |stand| {
        for key in ApiKey::ALL {
            let range = key.versions();
            let version =
                range.min + i16::try_from(dice.roll(usize::try_from(range.max - range.min + 1).unwrap())).unwrap();
            let mut filler =
                Filler { message: key.request(), version, names: &SAID, ids: &IDS, dice: Some(dice.clone()) };
            let (mut body, other) = (filler.body(), filler.body());
            dice = filler.dice.unwrap();
            let mut client = if dice.roll(4) == 0 { stand.stranger() } else { stand.client("team-a") };
            for _ in 0..8 {
                // The frame's own length stays true, so that the next one begins where it should.
                if client.send(&frame::request(*key, version, 7, None, &body)).is_err() {
                    break;
                }
                mutate::damage(&mut body, &other, &mut dice);
            }
            // And now it does not.
            let mut bytes = frame::request(*key, version, 7, Some("client"), &body);
            mutate::damage(&mut bytes, &other, &mut dice);
            let _ = client.send(&bytes);
            let _ = client.stream.shutdown(Shutdown::Write);
            client.stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            let _ = client.stream.read_to_end(&mut Vec::new());
        }
    });
}

#[test]
fn claims_of_gigabytes_and_halves_of_frames_cost_nothing() {
    let mut stand = Stand::start("claims");
    undisturbed(&mut stand, |stand| {
        // Two gigabytes, a negative length, more than a login takes: closed at once, before and after a login.
        for claim in [[0x7f, 0xff, 0xff, 0xff, 0, 3], [0xff, 0xff, 0xff, 0xff, 0, 3], [0x06, 0x40, 0, 1, 0, 0]] {
            for mut client in [stand.stranger(), stand.client("team-a")] {
                client.send(&claim).unwrap();
                assert!(client.is_closed(), "{claim:02x?}");
            }
        }
        // A hundred megabytes are what a Produce request may be. Of these, nothing comes but the beginning.
        let halves: Vec<_> = (0..100)
            .map(|_| {
                let mut client = stand.client("team-a");
                client.send(&[0x06, 0x40, 0, 0, 0, 0, 0, 9, 0, 0, 0, 7]).unwrap();
                client
            })
            .collect();
        thread::sleep(Duration::from_millis(300));
        drop(halves);
        // Counts in a message that is whole: an array, a string, bytes.
        for (key, version, body) in [
            (ApiKey::DescribeGroups, 0, &[0x7f, 0xff, 0xff, 0xff][..]),
            (ApiKey::DescribeGroups, 5, &[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0]),
            (ApiKey::Heartbeat, 0, &[0x7f, 0xff]),
            (ApiKey::SyncGroup, 0, &[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0x7f, 0xff, 0xff, 0xff]),
        ] {
            let mut client = stand.client("team-a");
            client.send(&frame::request(key, version, 7, None, body)).unwrap();
            assert!(client.is_closed(), "{key:?} {version}");
        }
    });
    assert!(stand.admin.metrics().unwrap().contains("gateway_frames_refused_total{reason=\"oversized\"} 6\n"));
    assert!(stand.admin.metrics().unwrap().contains("gateway_frames_refused_total{reason=\"malformed\"} 4\n"));
}

#[test]
fn a_frame_may_be_split_at_each_byte_and_followed_by_bytes_that_are_none() {
    let mut stand = Stand::start("split");
    undisturbed(&mut stand, |stand| {
        let mut slow = stand.client("team-a");
        for byte in [group("slowly"), group("and once more")].concat() {
            slow.send(&[byte]).unwrap();
            thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(slow.receive_group().unwrap(), "slowly");
        assert_eq!(slow.receive_group().unwrap(), "and once more");
        // A split at every place of one frame.
        let bytes = group("halves");
        for at in 1..bytes.len() {
            slow.send(&bytes[..at]).unwrap();
            thread::sleep(Duration::from_millis(1));
            slow.send(&bytes[at..]).unwrap();
            assert_eq!(slow.receive_group().unwrap(), "halves");
        }
        // Bytes behind the last field are not forwarded: they would be the start of somebody's next request.
        let mut longer = group("longer");
        longer.extend_from_slice(&group("smuggled"));
        let length = u32::try_from(longer.len() - 4).unwrap();
        longer[..4].copy_from_slice(&length.to_be_bytes());
        slow.send(&[longer, group("next")].concat()).unwrap();
        assert_eq!(slow.receive_group().unwrap(), "longer");
        assert_eq!(slow.receive_group().unwrap(), "next");
    });
}

#[test]
fn a_hundred_requests_at_once_are_answered_in_order_also_between_those_without_an_answer() {
    let mut stand = Stand::start("pipeline");
    undisturbed(&mut stand, |stand| {
        let mut client = stand.client("team-a");
        let silent = request(ApiKey::Produce, 9, &json!({ "Acks": 0, "TimeoutMs": 1, "TransactionalId": null }));
        let denied = request(ApiKey::DescribeQuorum, 0, &json!({}));
        let all: Vec<u8> = (0..100)
            .flat_map(|n| [silent.clone(), group(&n.to_string()), denied.clone(), silent.clone()].concat())
            .collect();
        client.send(&all).unwrap();
        for n in 0..100 {
            assert_eq!(client.receive_group().unwrap(), n.to_string());
            assert_eq!(client.receive(ApiKey::DescribeQuorum, 0).unwrap()["ErrorCode"], 31);
        }
    });
}

#[test]
fn thousands_of_requests_of_one_correlation_id_each_get_their_own_answer() {
    const CONNECTIONS: usize = 24;
    const EACH: usize = 250;
    let mut stand = Stand::start("canaries");
    undisturbed(&mut stand, |stand| {
        thread::scope(|scope| {
            for connection in 0..CONNECTIONS {
                let tenant = ["team-a", "team-b"][connection % 2];
                let canary = move |n: usize| format!("{tenant}-{connection}-{n}");
                let mut client = stand.client(tenant);
                let mut sending = client.stream.try_clone().unwrap();
                let _ = scope.spawn(move || {
                    let all: Vec<u8> = (0..EACH).flat_map(|n| group(&canary(n))).collect();
                    sending.write_all(&all).unwrap();
                });
                let _ = scope.spawn(move || {
                    for n in 0..EACH {
                        assert_eq!(client.receive_group().unwrap(), canary(n));
                    }
                });
            }
        });
    });
}

#[test]
fn an_answer_that_is_none_ends_its_own_session_and_is_logged_and_counted() {
    let mut stand = Stand::start("answers");
    undisturbed(&mut stand, |stand| {
        for lie in broker::LIES {
            let (mut other, mut client) = (stand.client("team-a"), stand.client("team-a"));
            client.send(&group("before")).unwrap();
            assert_eq!(client.receive_group().unwrap(), "before");
            client.send(&group(lie)).unwrap();
            if lie == "unasked" {
                assert_eq!(client.receive_group().unwrap(), lie);
            }
            assert!(client.is_closed(), "{lie}");
            other.send(&group("other")).unwrap();
            assert_eq!(other.receive_group().unwrap(), "other", "{lie}");
        }
    });
    // One half went away with its broker; it was no answer at all.
    let (withheld, log) = (stand.counter("gateway_upstream_answers_withheld_total"), stand.log());
    assert_eq!(withheld, 6, "{log}");
    assert_eq!(log.matches("answer withheld").count(), 6, "{log}");
    assert!(log.contains("correlation id 6 instead of 7") && log.contains("at most 268435456 are taken"), "{log}");
}

#[test]
fn of_a_client_that_does_not_read_little_is_kept_and_nothing_is_lost() {
    const CONNECTIONS: usize = 4;
    const EACH: usize = 120;
    let mut stand = Stand::start("unread");
    // Loggers of brokers are refused one by one, each by its name: what the answer needs is as long as the request.
    let resources: Vec<_> =
        (0..100).map(|n| json!({ "ResourceType": 8, "ResourceName": format!("{n:02500}") })).collect();
    let request = request(ApiKey::DescribeConfigs, 1, &json!({ "Resources": resources }));
    undisturbed(&mut stand, |stand| {
        let sending: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                let (client, request) = (stand.client("team-a"), request.clone());
                let mut writing = client.stream.try_clone().unwrap();
                // Blocks for as long as nothing is read.
                (client, thread::spawn(move || (0..EACH).for_each(|_| writing.write_all(&request).unwrap())))
            })
            .collect();
        thread::sleep(Duration::from_secs(3));
        for (mut client, sending) in sending {
            for _ in 0..EACH {
                let answer = client.receive(ApiKey::DescribeConfigs, 1).unwrap();
                assert_eq!(answer["Results"].as_array().unwrap().len(), 100);
            }
            sending.join().unwrap();
        }
    });
}
