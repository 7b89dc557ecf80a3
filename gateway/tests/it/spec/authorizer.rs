//! Decisions held against those of Kafka's own `StandardAuthorizer`, one by one (`fixtures/authorizer/Decisions.java`).
//!
//! Scenarios are drawn from a seed: some rules about names that are alike, and questions about names, principals and addresses
//! near them. Without Kafka's jars or a JDK the tests say by name that they did not run.

use super::kafkas::{fixtures, skipped};
use super::program::no_compiler;
use gateway::authz::acl::{
    AclBinding, AclFilter, PatternFilter, PatternType, PermissionType, ResourcePattern, ResourceType,
};
use gateway::authz::{Authorizer, Operation, Requester};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

const SCENARIOS: usize = 700;
const QUESTIONS: usize = 600;

/// Prefixes of each other, neighbours in the order of bytes and of UTF-16, of several bytes a letter, and what Kafka asks first.
const NAMES: [&str; 26] = [
    "orders",
    "order",
    "ord",
    "o",
    "orders.eu",
    "orders-eu",
    "orders_eu",
    "orders.",
    "orders2",
    "ordert",
    "p",
    "pay",
    "pay.",
    "hardcode",
    "hard",
    "*",
    "**",
    "*a",
    "!",
    "kafka-cluster",
    "é",
    "éa",
    "\u{ffff}",
    "\u{10000}",
    "\u{10000}a",
    "a b/c",
];
const PRINCIPALS: [&str; 8] =
    ["User:a", "User:b", "User:ab", "Group:a", "User:CN=a,O=b", "User:a:b", "User:*", "User:root"];
const HOSTS: [&str; 8] = ["*", "10.0.0.1", "10.0.0.2", "0:0:0:0:0:0:0:1", "2001:db8:0:0:0:0:0:1", "::1", "host", ""];
const ADDRESSES: [&str; 6] = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "::1", "2001:db8::1", "::ffff:10.0.0.2"];

/// A sequence of numbers that looks like chance and is the same every time (SplitMix64).
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

struct Scenario {
    super_users: Vec<String>,
    rules: Vec<AclBinding>,
    questions: Vec<Question>,
}

#[derive(Debug)]
enum Question {
    May { principal: String, host: IpAddr, ty: ResourceType, operation: Operation, name: String },
    MayAny { principal: String, host: IpAddr, ty: ResourceType, operation: Operation },
    Operations { principal: String, host: IpAddr, ty: ResourceType, name: String },
    Filter(AclFilter),
}

fn scenario(seed: u64) -> Scenario {
    let mut draw = Draw(seed);
    // Of few types, operations and principals rules meet more often.
    let types: Vec<_> = (0..1 + draw.below(3)).map(|_| draw.of(ResourceType::EVERY)).collect();
    let operations: Vec<_> = (0..2 + draw.below(8)).map(|_| draw.of(Operation::EVERY)).collect();
    let denied = draw.below(4);
    let mut rules = Vec::new();
    for _ in 0..draw.below(80) {
        let hosts = 1 + draw.below(HOSTS.len());
        let (pattern_type, name) = (draw.of(PatternType::EVERY), draw.of(&NAMES).to_owned());
        rules.push(AclBinding {
            resource_pattern: ResourcePattern { resource_type: draw.of(&types), name, pattern_type },
            principal: draw.of(&PRINCIPALS[..7]).to_owned(),
            host: draw.of(&HOSTS[..hosts]).to_owned(),
            operation: draw.of(&operations),
            permission_type: if draw.below(8) < denied { PermissionType::Deny } else { PermissionType::Allow },
        });
    }
    let super_users = if draw.below(2) == 0 { vec!["User:root".to_owned(), "Group:a".to_owned()] } else { Vec::new() };
    let questions = (0..QUESTIONS).map(|_| question(&mut draw, &types, &operations)).collect();
    Scenario { super_users, rules, questions }
}

fn question(draw: &mut Draw, types: &[ResourceType], operations: &[Operation]) -> Question {
    let mut name = draw.of(&NAMES).to_owned();
    if draw.below(3) == 0 {
        name.push_str(draw.of(&["a", ".x", "\u{10ffff}", "!"]));
    }
    // Kafka fails on a requester who is called as everybody is; no account can be.
    let who = draw.below(PRINCIPALS.len());
    let principal = PRINCIPALS[if PRINCIPALS[who] == "User:*" { 0 } else { who }].to_owned();
    let host = draw.of(&ADDRESSES).parse().unwrap();
    let ty = if draw.below(8) == 0 { draw.of(ResourceType::EVERY) } else { draw.of(types) };
    let operation = if draw.below(4) == 0 { draw.of(Operation::EVERY) } else { draw.of(operations) };
    match draw.below(10) {
        0..=4 => Question::May { principal, host, ty, operation, name },
        5..=6 => Question::MayAny { principal, host, ty, operation },
        7 => Question::Operations { principal, host, ty, name },
        _ => {
            let kinds = [
                PatternFilter::Any,
                PatternFilter::Match,
                PatternFilter::Only(PatternType::Literal),
                PatternFilter::Only(PatternType::Prefixed),
            ];
            let mut sometimes = |more: usize| draw.below(more) == 0;
            Question::Filter(AclFilter {
                resource_type: sometimes(2).then_some(ty),
                name: (!sometimes(4)).then_some(name),
                principal: sometimes(3).then_some(principal),
                host: sometimes(3).then(|| "*".to_owned()),
                operation: sometimes(3).then_some(operation),
                permission_type: sometimes(3).then_some(PermissionType::Deny),
                pattern: draw.of(&kinds),
            })
        }
    }
}

// ---- the question as the program reads it, and both answers

fn put(out: &mut Vec<u8>, text: Option<&str>) {
    let length = text.map_or(u16::MAX, |text| u16::try_from(text.len()).unwrap());
    out.extend(length.to_be_bytes());
    out.extend(text.unwrap_or_default().as_bytes());
}

fn code(code: i8) -> u8 {
    u8::try_from(code).unwrap()
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend(u16::try_from(count).unwrap().to_be_bytes());
}

fn asked(scenario: &Scenario, out: &mut Vec<u8>) {
    put_count(out, scenario.super_users.len());
    scenario.super_users.iter().for_each(|user| put(out, Some(user)));
    put_count(out, scenario.rules.len());
    for rule in &scenario.rules {
        out.push(code(rule.resource_pattern.resource_type.code()));
        put(out, Some(&rule.resource_pattern.name));
        out.push(code(rule.resource_pattern.pattern_type.code()));
        put(out, Some(&rule.principal));
        put(out, Some(&rule.host));
        out.extend([code(rule.operation.code()), code(rule.permission_type.code())]);
    }
    put_count(out, scenario.questions.len());
    scenario.questions.iter().for_each(|question| ask(question, out));
}

fn ask(question: &Question, out: &mut Vec<u8>) {
    let mut who = |number: u8, principal: &str, host: &IpAddr, ty: &ResourceType| {
        out.push(number);
        put(out, Some(principal));
        match host {
            IpAddr::V4(host) => out.extend([&[4][..], &host.octets()].concat()),
            IpAddr::V6(host) => out.extend([&[16][..], &host.octets()].concat()),
        }
        out.push(code(ty.code()));
    };
    match question {
        Question::May { principal, host, ty, operation, name } => {
            who(0, principal, host, ty);
            out.push(code(operation.code()));
            put(out, Some(name));
        }
        Question::MayAny { principal, host, ty, operation } => {
            who(1, principal, host, ty);
            out.push(code(operation.code()));
        }
        Question::Operations { principal, host, ty, name } => {
            who(2, principal, host, ty);
            put(out, Some(name));
        }
        Question::Filter(filter) => {
            const ANY: u8 = 1;
            out.extend([3, filter.resource_type.map_or(ANY, |ty| code(ty.code()))]);
            put(out, filter.name.as_deref());
            out.push(match filter.pattern {
                PatternFilter::Any => ANY,
                PatternFilter::Match => 2,
                PatternFilter::Only(ty) => code(ty.code()),
            });
            put(out, filter.principal.as_deref());
            put(out, filter.host.as_deref());
            out.push(filter.operation.map_or(ANY, |operation| code(operation.code())));
            out.push(filter.permission_type.map_or(ANY, |permission| code(permission.code())));
        }
    }
}

/// Our own answer, in the bytes of the program's.
fn answered(authorizer: &Authorizer, rules: &[AclBinding], question: &Question) -> Vec<u8> {
    match question {
        Question::May { principal, host, ty, operation, name } => {
            vec![authorizer.allows(&Requester { principal, host: *host }, *operation, *ty, name).into()]
        }
        Question::MayAny { principal, host, ty, operation } => {
            vec![authorizer.allows_any(&Requester { principal, host: *host }, *operation, *ty).into()]
        }
        Question::Operations { principal, host, ty, name } => {
            authorizer.operations(&Requester { principal, host: *host }, *ty, name).to_be_bytes().to_vec()
        }
        Question::Filter(filter) => rules.iter().map(|rule| filter.matches(rule).into()).collect(),
    }
}

/// Whether this is where we deny and Kafka does not: of a name that begins with `*` Kafka does not see that a rule denies `*`.
fn stricter(question: &Question, rules: &[AclBinding], ours: &[u8], theirs: &[u8]) -> bool {
    let (Question::May { name, .. } | Question::Operations { name, .. }) = question else { return false };
    let denies_all =
        |rule: &AclBinding| rule.resource_pattern.name == "*" && rule.permission_type == PermissionType::Deny;
    let less = ours.iter().zip(theirs).all(|(ours, theirs)| ours & !theirs == 0);
    less && name.len() > 1 && name.starts_with('*') && rules.iter().any(denies_all)
}

/// What was decided, and what Kafka says: where they differ, and how many answers of each kind were compared.
/// `change` is made to what decides, not to what filters look at.
fn compared(kafka: &[u8], change: fn(&mut Scenario)) -> Result<(Vec<String>, BTreeMap<&'static str, usize>), String> {
    let (mut wrong, mut counts, mut left) = (Vec::new(), BTreeMap::new(), kafka);
    for seed in 0..SCENARIOS as u64 {
        let (Scenario { rules, questions, .. }, mut changed) = (scenario(seed), scenario(seed));
        change(&mut changed);
        let authorizer = Authorizer::new(changed.super_users, changed.rules);
        for question in &questions {
            let ours = answered(&authorizer, &rules, question);
            let theirs = left.split_off(..ours.len()).ok_or("the program said too little")?;
            let kind = match question {
                Question::May { .. } if theirs == [1] => "allowed",
                Question::May { .. } => "denied",
                Question::MayAny { .. } if theirs == [1] => "allowed anywhere",
                Question::MayAny { .. } => "denied everywhere",
                Question::Operations { .. } => "operations",
                Question::Filter(_) => "filters",
            };
            *counts.entry(kind).or_default() += 1;
            if ours != theirs && stricter(question, &rules, &ours, theirs) {
                *counts.entry("stricter").or_default() += 1;
            } else if ours != theirs {
                wrong.push(format!("scenario {seed}: {question:?}: {ours:?}, and Kafka says {theirs:?}"));
            }
        }
    }
    if left.is_empty() { Ok((wrong, counts)) } else { Err("the program said too much".to_owned()) }
}

/// What Kafka's authorizer says to all scenarios, or why it cannot be asked.
static KAFKA: LazyLock<Result<Vec<u8>, String>> = LazyLock::new(|| {
    no_compiler().map_or(Ok(()), Err)?;
    let script = fixtures().join("kafka-jars");
    let run = Command::new(&script).arg("--offline").output().map_err(|e| format!("{}: {e}", script.display()))?;
    if !run.status.success() {
        return Err(String::from_utf8_lossy(&run.stderr).trim().to_owned());
    }
    let jars = format!("{}/*", String::from_utf8_lossy(&run.stdout).trim());
    let mut program = Command::new("java")
        .args(["-XX:+UseSerialGC", "-Xmx256m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", &jars])
        .arg(fixtures().join("authorizer/Decisions.java"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("java: {e}"))?;
    let mut input = u32::try_from(SCENARIOS).unwrap().to_be_bytes().to_vec();
    (0..SCENARIOS as u64).for_each(|seed| asked(&scenario(seed), &mut input));
    let mut stdin = program.stdin.take().ok_or("no stdin")?;
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let done = program.wait_with_output().map_err(|e| e.to_string())?;
    drop(writer.join());
    // From here on it is no matter of what is installed.
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(done.stdout)
});

#[test]
fn every_decision_is_that_of_kafkas_standard_authorizer() {
    let kafka = match &*KAFKA {
        Ok(kafka) => kafka,
        Err(why) => return skipped("every_decision_is_that_of_kafkas_standard_authorizer", why),
    };
    let (wrong, mut counts) = compared(kafka, |_| ()).unwrap();
    let rare = counts.remove("stricter").unwrap_or_default();
    let cases = counts.values().sum::<usize>();
    println!(
        "{cases} answers compared with those of StandardAuthorizer, {} differ, {rare} deny more: {counts:?}",
        wrong.len()
    );
    assert!(wrong.is_empty(), "{} of {cases} differ\n{}", wrong.len(), wrong[..wrong.len().min(10)].join("\n"));
    // What is nearly always denied, or never, is compared in vain.
    assert!(rare < 200 && counts.len() == 6 && counts.values().all(|count| *count > 10_000), "{rare} {counts:?}");
}

/// Makes a scenario wrong in one way.
type Mistake = fn(&mut Scenario);

#[test]
fn a_decision_that_is_wrong_is_told() {
    let kafka = match &*KAFKA {
        Ok(kafka) => kafka,
        Err(why) => return skipped("a_decision_that_is_wrong_is_told", why),
    };
    let mistakes: [(&str, Mistake); 7] = [
        ("denials are ignored", |s| s.rules.retain(|rule| rule.permission_type == PermissionType::Allow)),
        ("prefixes are whole names", |s| {
            s.rules.iter_mut().for_each(|r| r.resource_pattern.pattern_type = PatternType::Literal)
        }),
        ("names are prefixes", |s| {
            s.rules.iter_mut().for_each(|r| r.resource_pattern.pattern_type = PatternType::Prefixed)
        }),
        ("everybody is nobody", |s| s.rules.retain(|rule| rule.principal != "User:*")),
        ("hosts do not matter", |s| s.rules.iter_mut().for_each(|rule| rule.host = "*".to_owned())),
        ("super users are users", |s| s.super_users.clear()),
        ("writing describes nothing", |s| s.rules.retain(|rule| rule.operation != Operation::Write)),
    ];
    for (mistake, change) in mistakes {
        let (wrong, _) = compared(kafka, change).unwrap();
        assert!(wrong.len() > 100, "{mistake}: {} differ", wrong.len());
    }
}
