use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::Rate;
use super::bucket::{AHEAD, BURST, Bucket, Delay, LONGEST_HOLD, LONGEST_MUTE};
use super::ledger::{Ledger, TooMany, Usage};
use super::rules::{Entity, Name, Rules};
use super::shares::{Demand, share};

const SECOND: u64 = 1_000_000_000;

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap()
}

/// Clients that take a frame each, wait as they are told, and take the next at once: what each of them took by the end.
fn played(bucket: &Bucket, frames: &[u64], seconds: u64) -> Vec<Vec<(u64, u64)>> {
    let mut next: Vec<u64> = vec![SECOND; frames.len()];
    let mut taken = vec![Vec::new(); frames.len()];
    loop {
        let (client, now) = next.iter().copied().enumerate().min_by_key(|(_, at)| *at).unwrap();
        if now >= (seconds + 1) * SECOND {
            return taken;
        }
        let Delay { hold, mute } = bucket.take(now, frames[client]);
        assert!(hold <= LONGEST_HOLD && mute <= LONGEST_MUTE);
        taken[client].push((now + nanos(hold), frames[client]));
        // A request takes a moment even where nobody waits.
        next[client] = now + nanos(hold) + nanos(mute).max(1000);
    }
}

fn sum(taken: &[Vec<(u64, u64)>], before: u64) -> u64 {
    taken.iter().flatten().filter(|(at, _)| *at < before).map(|(_, units)| units).sum()
}

proptest! {
    /// Whatever the clients take at once and however many they are.
    #[test]
    fn never_above_the_limit_and_its_burst(
        limit in 1_000_u64..50_000_000,
        parts in prop::collection::vec(1_u64..3_000, 1..20),
        seconds in 3_u64..20,
    ) {
        // Frames of up to three seconds' worth.
        let frames: Vec<u64> = parts.iter().map(|part| (limit * part / 1_000).max(1)).collect();
        let work = frames.iter().sum::<u64>() / limit;
        prop_assume!(work < LONGEST_HOLD.as_secs());
        let taken = played(&Bucket::new(limit, 1.0), &frames, seconds);
        for second in 1..=seconds {
            let at_once = frames.iter().max().unwrap() + limit * (nanos(BURST) + nanos(AHEAD)) / SECOND;
            let most = limit * second + at_once + 1_000;
            let took = sum(&taken, (second + 1) * SECOND);
            prop_assert!(took <= most, "{took} in {second} s, limit {limit}");
        }
    }

    /// What is not taken in time is not lost, and everybody has a turn.
    #[test]
    fn nobody_starves_and_nothing_is_left(
        limit in 1_000_u64..50_000_000,
        parts in prop::collection::vec(1_u64..500, 1..20),
    ) {
        let frames: Vec<u64> = parts.iter().map(|part| (limit * part / 1_000).max(1)).collect();
        let taken = played(&Bucket::new(limit, 1.0), &frames, 40);
        prop_assert!(sum(&taken, 41 * SECOND) >= limit * 40 * 9 / 10);
        // As often as everybody else: each waits for the others once.
        let turns: Vec<usize> = taken.iter().map(Vec::len).collect();
        let (least, most) = (*turns.iter().min().unwrap(), *turns.iter().max().unwrap());
        prop_assert!(least * 2 + 2 >= most, "{turns:?}");
    }

    #[test]
    fn nodes_never_divide_more_than_there_is(
        limit in 1.0_f64..1e9,
        nodes in prop::collection::vec((0.0_f64..2.0, prop::option::of(1.0_f64..1e9)), 1..8),
    ) {
        let told = |(used, backlog): &(f64, Option<f64>)| Demand { used: used * limit, backlog: backlog.unwrap_or(0.0) };
        let demands: Vec<Demand> = nodes.iter().map(told).collect();
        let shares: Vec<f64> = (0..demands.len()).map(|me| share(limit, me, &demands)).collect();
        let sum: f64 = shares.iter().sum();
        prop_assert!(sum <= 1.000_001, "{shares:?}");
        prop_assert!(sum >= 0.999_999 || demands.iter().all(|node| node.backlog > 0.0), "{shares:?}");
        prop_assert!(shares.iter().all(|share| *share > 0.0), "{shares:?}");
    }
}

#[test]
fn a_share_follows_demand() {
    let idle = Demand::default();
    let busy = |backlog: f64| Demand { used: 500.0, backlog };
    assert!(share(1000.0, 0, &[busy(10.0), idle]) > 0.95);
    assert!((share(1000.0, 0, &[busy(10.0), busy(30.0)]) - 0.25).abs() < 0.02);
    let calm = Demand { used: 100.0, backlog: 0.0 };
    assert!((share(1000.0, 0, &[busy(10.0), calm]) - 0.88).abs() < 0.01);
    assert!((share(1000.0, 0, &[idle, idle]) - 0.5).abs() < 0.01);
    assert!((share(1000.0, 0, &[idle]) - 1.0).abs() < 1e-9);
}

fn entity(user: Option<&str>, client_id: Option<&str>) -> Entity {
    Entity { user: Name::declared(user), client_id: Name::declared(client_id) }
}

fn rules(operator: &[(Option<&str>, Option<&str>, u64)]) -> Rules {
    let rates = |limit| [Some(limit), None, None];
    let operator = operator.iter().map(|(user, client, limit)| (entity(*user, *client), rates(*limit)));
    Rules { operator: operator.collect(), ..Rules::default() }
}

/// Kafka's own order: `ClientQuotaManager` and KIP-257's table of precedence.
#[test]
fn the_most_specific_limit_wins_as_in_kafka() {
    let mut declared = vec![
        (Some("a"), Some("c"), 1),
        (Some("a"), Some("*"), 2),
        (Some("a"), None, 3),
        (Some("*"), Some("c"), 4),
        (Some("*"), Some("*"), 5),
        (Some("*"), None, 6),
        (None, Some("c"), 7),
        (None, Some("*"), 8),
    ];
    let shared = [
        (Some("a"), Some("c")),
        (Some("a"), Some("c")),
        (Some("a"), None),
        (Some("a"), Some("c")),
        (Some("a"), Some("c")),
        (Some("a"), None),
        (None, Some("c")),
        (None, Some("c")),
    ];
    for (expected, (user, client_id)) in (1..).zip(shared) {
        let rules = rules(&declared);
        let holds = rules.holding(Rate::Produce, "a", "c")[1].unwrap();
        assert_eq!((holds.limit, holds.user, holds.client_id), (expected, user, client_id));
        declared.remove(0);
    }
    assert_eq!(rules(&declared).holding(Rate::Produce, "a", "c"), [None; 3]);
}

/// One dimension does not hide another.
#[test]
fn each_limit_is_looked_for_by_itself() {
    let mut rules = rules(&[(Some("a"), Some("c"), 1)]);
    rules.operator.insert(entity(Some("a"), None), [Some(9), Some(5), None]);
    rules.whole = [None, Some(100), None];
    rules.clients.insert(entity(None, Some("*")), [None, Some(3), None]);
    let limits = |rate| rules.holding(rate, "a", "c").map(|holds| holds.map(|holds| holds.limit));
    assert_eq!(limits(Rate::Produce), [None, Some(1), None]);
    assert_eq!(limits(Rate::Fetch), [Some(100), Some(5), Some(3)]);
    assert_eq!(limits(Rate::Requests), [None; 3]);
}

#[test]
fn clients_of_an_entity_share_an_account_and_others_do_not() {
    let (ledger, tenant) = (Ledger::default(), Arc::<str>::from("dev"));
    let rules = rules(&[(Some("*"), None, 1000)]);
    let of = |user: &str, client: &str| ledger.accounts(0, &tenant, &rules, user, client).of(Rate::Produce)[0].clone();
    assert!(Arc::ptr_eq(&of("a", "one"), &of("a", "two")));
    assert!(!Arc::ptr_eq(&of("a", "one"), &of("b", "one")));
    let other: Arc<str> = "prod".into();
    let elsewhere = ledger.accounts(0, &other, &rules, "a", "one").of(Rate::Produce)[0].clone();
    assert!(!Arc::ptr_eq(&of("a", "one"), &elsewhere));
}

#[test]
fn a_changed_limit_holds_for_accounts_that_are_in_use() {
    let (ledger, tenant) = (Ledger::default(), Arc::<str>::from("dev"));
    let accounts = ledger.accounts(0, &tenant, &rules(&[(Some("a"), None, 1000)]), "a", "");
    drop(ledger.accounts(0, &tenant, &rules(&[(Some("a"), None, 10)]), "a", ""));
    assert!((accounts.of(Rate::Produce)[0].rate() - 10.0).abs() < 1e-9);
}

#[test]
fn made_up_client_ids_do_not_fill_the_memory() {
    let (ledger, tenant) = (Ledger::default(), Arc::<str>::from("dev"));
    let rules = rules(&[(None, Some("*"), 1000)]);
    for number in 0..30_000_u64 {
        // Each of them owes something, so that none can be forgotten.
        let accounts = ledger.accounts(SECOND, &tenant, &rules, "a", &number.to_string());
        let _ = accounts.take(Rate::Produce, SECOND, 5_000);
    }
    let full = ledger.len();
    assert!(full <= 4_001, "{full}");
    // Nobody else feels it: the clients of another virtual cluster have accounts of their own.
    let other: Arc<str> = "prod".into();
    let [one, two] = ["one", "two"].map(|id| ledger.accounts(SECOND, &other, &rules, "a", id));
    assert!(!Arc::ptr_eq(&one.of(Rate::Produce)[0], &two.of(Rate::Produce)[0]));
    drop((one, two));
    // In an hour they are forgotten.
    drop(ledger.accounts(3600 * SECOND, &tenant, &rules, "a", "later"));
    assert_eq!(ledger.len(), 1);
}

#[test]
fn connections_are_counted_at_all_nodes_until_they_end() {
    let (ledger, tenant) = (Arc::new(Ledger::default()), Arc::<str>::from("dev"));
    let (alice, bob): (Arc<str>, Arc<str>) = ("alice".into(), "bob".into());
    let rules =
        Rules { connections: Some(4), user_connections: BTreeMap::from([(Name::Default, 2)]), ..Rules::default() };
    // Those from before the limit count.
    let first = ledger.admit(&tenant, &alice, None).unwrap();
    let _second = ledger.admit(&tenant, &alice, Some(&rules)).unwrap();
    let refused = ledger.admit(&tenant, &alice, Some(&rules)).unwrap_err();
    assert_eq!(refused, TooMany::User { name: alice.clone(), open: 2, limit: 2 });
    let told = Usage { connections: vec![(tenant.clone(), bob.clone(), 1)], ..Usage::default() };
    ledger.divide(0, &[ledger.usage(u64::MAX, 1.0), told]);
    let _third = ledger.admit(&tenant, &bob, Some(&rules)).unwrap();
    let refused = ledger.admit(&tenant, &"carol".into(), Some(&rules)).unwrap_err();
    assert_eq!(refused, TooMany::Whole { name: tenant.clone(), open: 4, limit: 4 });
    drop(first);
    assert!(ledger.admit(&tenant, &"carol".into(), Some(&rules)).is_ok());
}

#[test]
fn two_nodes_find_their_shares_by_what_they_tell() {
    let rules = rules(&[(Some("a"), None, 1_000)]);
    let tenant: Arc<str> = "dev".into();
    let nodes = [Ledger::default(), Ledger::default()];
    let accounts: Vec<_> = nodes.iter().map(|node| node.accounts(0, &tenant, &rules, "a", "")).collect();
    for beat in 1..5_u64 {
        // One client here, three there, each of which waits for a hundred.
        for (node, clients) in accounts.iter().zip([1, 3]) {
            for _ in 0..clients {
                let _ = node.take(Rate::Produce, beat * 10 * SECOND, 1_000);
            }
        }
        let told = nodes.each_ref().map(|node| node.usage(u64::MAX, 1.0));
        nodes.iter().enumerate().for_each(|(me, node)| node.divide(me, &told));
    }
    let rates: Vec<f64> = accounts.iter().map(|accounts| accounts.of(Rate::Produce)[0].rate()).collect();
    assert!((rates[0] + rates[1] - 1_000.0).abs() < 1.0, "{rates:?}");
    assert!(rates[0] < 400.0 && rates[0] > 100.0, "{rates:?}");
}

#[test]
fn a_node_whose_client_still_pays_keeps_its_share() {
    const CHUNK: u64 = 100_000;
    let rules = rules(&[(Some("a"), None, 1_000_000)]);
    let tenant: Arc<str> = "dev".into();
    let nodes = [Ledger::default(), Ledger::default()];
    let accounts: Vec<_> = nodes.iter().map(|node| node.accounts(0, &tenant, &rules, "a", "")).collect();
    // The first node begins with next to nothing, so that one answer is paid off over many beats.
    accounts[0].of(Rate::Produce)[0].set_rate(15_000.0);
    accounts[1].of(Rate::Produce)[0].set_rate(985_000.0);
    let (mut free, mut taken) = ([0; 2], [0; 2]);
    for tick in 0..60_000_u64 {
        let now = SECOND + tick * (SECOND / 1_000);
        for (at, free) in free.iter_mut().enumerate().filter(|(_, free)| **free <= now) {
            let delay = accounts[at].take(Rate::Produce, now, CHUNK);
            *free = now + u64::try_from((delay.hold + delay.mute).as_nanos()).unwrap();
            taken[at] += CHUNK * u64::from(tick >= 30_000);
        }
        if tick % 500 == 499 {
            let told = nodes.each_ref().map(|node| node.usage(now, 0.5));
            nodes.iter().enumerate().for_each(|(me, node)| node.divide(me, &told));
        }
    }
    let rates = taken.map(|units| units / 30);
    assert!(rates.iter().all(|rate| rate.abs_diff(500_000) <= 50_000), "{rates:?}");
}
