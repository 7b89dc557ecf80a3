//! Names of certificates' subjects as Java prints them, and what Kafka's own class makes of them by its mapping rules
//! (`fixtures/principals/Principals.java`).

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use super::kafkas;
use super::program::no_compiler;
use gateway::authn::principal::PrincipalRules;
use gateway::transport::tls::{der, names};

/// What the program said: which Java, and the answers.
fn ask(questions: &[String]) -> Result<(u32, Vec<Result<String, String>>), String> {
    let folder = kafkas::FOLDER.as_ref().map_err(String::clone)?;
    let newest = kafkas::pinned().pop().ok_or("no kafka-clients is pinned")?.0;
    let jars: Vec<String> = kafkas::jars(&newest).iter().map(|jar| folder.join(jar).display().to_string()).collect();
    let mut program = Command::new("java")
        .args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx256m", "-cp", &jars.join(":")])
        .arg(kafkas::fixtures().join("principals/Principals.java"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("java: {error}"))?;
    let mut stdin = program.stdin.take().ok_or("no stdin")?;
    let input: String = questions.iter().flat_map(|question| [question.as_str(), "\n"]).collect();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let done = program.wait_with_output().map_err(|error| error.to_string())?;
    writer.join().map_err(|_| "the writer panicked")?.map_err(|error| error.to_string())?;
    if !done.status.success() {
        return Err(String::from_utf8_lossy(&done.stderr).into_owned());
    }
    let said = String::from_utf8(done.stdout).map_err(|error| error.to_string())?;
    let mut lines = said.lines();
    let version = lines.next().and_then(|line| line.parse().ok()).ok_or("no version")?;
    let answers: Vec<_> = lines
        .map(|line| match line.split_at(1) {
            ("=", text) => Ok(String::from_utf8(unhex(text)).unwrap()),
            (_, why) => Err(why.to_owned()),
        })
        .collect();
    assert_eq!(answers.len(), questions.len());
    Ok((version, answers))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// Whether the program can run; else the test is skipped by its name.
fn runs(test: &str) -> bool {
    let why = no_compiler().or_else(|| kafkas::FOLDER.as_ref().err().cloned());
    if let Some(why) = &why {
        kafkas::skipped(test, why);
    }
    why.is_none()
}

/// The same numbers each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.roll(from.len())]
    }
}

/// Object identifiers: those with names, e-mail, given name, serial number, one of a company, and long arcs.
const KINDS: [&[u8]; 15] = [
    &[0x55, 4, 3],
    &[0x55, 4, 6],
    &[0x55, 4, 7],
    &[0x55, 4, 8],
    &[0x55, 4, 9],
    &[0x55, 4, 10],
    &[0x55, 4, 11],
    &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25],
    &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1],
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1],
    &[0x55, 4, 42],
    &[0x55, 4, 5],
    &[0x55, 4, 12],
    &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 60, 2, 1, 3],
    &[0x88, 0x37, 0x8f, 0xff, 0xff, 0xff, 0x7f],
];
const PIECES: [&str; 30] = [
    "a", "Z", "9", " ", "  ", ",", "=", "+", "<", ">", "#", ";", "\"", "\\", "\0", "\r", "\n", "\t", "'", "(", "/",
    "*", "@", "ü", "ß", "日本", "é", "😀", "gateway", "\u{7f}",
];

/// A subject of random shape. `any_charset`: also texts for whose charset Javas differ.
fn subject(dice: &mut Dice, any_charset: bool) -> Vec<u8> {
    let mut sets = Vec::new();
    for _ in 0..dice.roll(5) {
        let mut pairs = Vec::new();
        for _ in 0..=[0, 0, 0, 1, 2][dice.roll(5)] {
            let text: String = (0..dice.roll(6)).map(|_| *dice.pick(&PIECES)).collect();
            let (tag, content) = match dice.roll(7) {
                0 if any_charset => {
                    (0x1e, text.encode_utf16().filter(|unit| *unit < 0xd800).flat_map(u16::to_be_bytes).collect())
                }
                1 if any_charset => (0x16, text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()),
                2 => (0x13, text.bytes().filter(u8::is_ascii).collect()),
                3 => (0x16, text.bytes().filter(u8::is_ascii).collect()),
                4 if text.len() < 4 => (0x04, text.into_bytes()),
                _ => (0x0c, text.into_bytes()),
            };
            let kind = der::element(der::OBJECT_ID, &[KINDS[dice.roll(KINDS.len())]]);
            pairs.push(der::element(der::SEQUENCE, &[&kind, &der::element(tag, &[&content])]));
        }
        pairs.sort();
        sets.push(der::element(der::SET, &[&pairs.concat()]));
    }
    der::element(der::SEQUENCE, &[&sets.concat()])
}

#[test]
fn subjects_are_printed_as_java_does() {
    let test = "subjects_are_printed_as_java_does";
    if !runs(test) {
        return;
    }
    let (version, _) = ask(&[]).unwrap();
    // Before Java 25 what is neither UTF-8 nor ASCII was printed as if it were UTF-8.
    let any_charset = version >= 25;
    let mut dice = Dice(25);
    let subjects: Vec<Vec<u8>> = (0..3_000).map(|_| subject(&mut dice, any_charset)).collect();
    let (_, said) = ask(&subjects.iter().map(|subject| format!("name {}", hex(subject))).collect::<Vec<_>>()).unwrap();
    let mut printed = 0;
    for (subject, said) in subjects.iter().zip(said) {
        let said = said.unwrap_or_else(|why| panic!("Java does not read {}: {why}", hex(subject)));
        assert_eq!(names::rfc2253(subject).as_deref(), Ok(said.as_str()), "{}", hex(subject));
        printed += usize::from(said.contains('\\') && said.contains('#') && said.contains('+'));
    }
    assert!(printed > 100, "only {printed} are of any interest");
}

const RULES: [&str; 34] = [
    "DEFAULT",
    " DEFAULT , DEFAULT ",
    "RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/",
    "RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/L,DEFAULT",
    "RULE:^CN=(.*?),OU=(.*?),O=(.*?),L=(.*?),ST=(.*?),C=(.*?)$/$1@$2/L",
    "RULE:^.*[Cc][Nn]=([a-zA-Z0-9.]*).*$/$1/L",
    "RULE:.*/user/",
    "RULE:.+/user/,DEFAULT",
    "RULE:CN=([^,]+).*/$1/U",
    "RULE:CN=([^,]+).*/$1/X",
    "RULE:CN=([^,]+).*/$1/LL",
    "RULE:CN=([^,]+),OU=([^,]+).*/$2-$1-$3-$12/",
    "RULE:CN=([^,]+).*/$0/",
    "RULE:CN=([^,]+).*/\\$1\\\\$1/",
    "RULE:CN=(\\w+).*/<$1>/",
    "RULE:CN=([\\w ]+)\\b.*/$1/",
    "RULE:(?<kind>CN|OU)=(?<name>[^,]+).*/${name}-${kind}/",
    "RULE:(CN)?=?(.*)/$1|$2/",
    "RULE:CN=(\\D*)(\\d*).*/$2$1/",
    "RULE:CN=\\s*(\\S+)\\s*/$1/",
    "RULE:CN=a\\/b/slash/",
    "RULE:CN=(.*)\\\\,(.*)/$1 $2/",
    "RULE:CN=(.*)\\, (.*)/$1 $2/",
    "RULE:CN=.(.{2,4}?).*/$1/",
    "RULE:[A-Z&&[^C]]+=.*/other/,RULE:.*/rest/",
    "RULE:CN=(?:x|a)(.*)/$1/,RULE:CN=(.*)/$1/U",
    "RULE:a|CN=alice/x/",
    "RULE:x*/-/",
    "RULE:CN=(.*)//",
    "RULE://x/,RULE:CN=alice/y/",
    "DEFAULTS",
    "rule:a/b/",
    "",
    ",,RULE:CN=(.*)/$1/ , ",
];
const SUBJECTS: [&str; 16] = [
    "CN=alice",
    "CN=Alice B.,OU=ServiceUsers,O=Unknown,L=Unknown,ST=Unknown,C=Unknown",
    "CN=adminUser,OU=Admin,O=Unknown,L=Unknown,ST=Unknown,C=Unknown",
    "OU=JavaSoft,CN=Duke.X,C=US",
    "O=Sun",
    "CN=a/b",
    "CN=Smith\\, John",
    "CN=42bis",
    "CN= x ",
    "CN=ÄÖ straße,OU=İstanbul",
    "CN=a\nb",
    "CN=a\u{2028}b",
    "1.2.840.113549.1.9.1=#1603614062,CN=Œ",
    "",
    "x",
    "CN=日本",
];

#[test]
fn rules_are_applied_as_kafka_does() {
    let test = "rules_are_applied_as_kafka_does";
    if !runs(test) {
        return;
    }
    let cases: Vec<(&str, &str)> =
        RULES.iter().flat_map(|rules| SUBJECTS.iter().map(move |subject| (*rules, *subject))).collect();
    let question =
        |(rules, subject): &(&str, &str)| format!("rule {} {}", hex(rules.as_bytes()), hex(subject.as_bytes()));
    let (_, said) = ask(&cases.iter().map(question).collect::<Vec<_>>()).unwrap();
    let (mut named, mut nobody, mut refused) = (0, 0, 0);
    for ((rules, subject), said) in cases.iter().zip(said) {
        let ours = PrincipalRules::parse(rules).map(|rules| rules.apply(subject));
        match (&ours, &said) {
            (Ok(Some(ours)), Ok(said)) => {
                assert_eq!(ours, said, "{rules} of {subject:?}");
                named += 1;
            }
            (Ok(None), Err(why)) if why == "NoMatchingRule" => nobody += 1,
            // What Kafka says at each login is said here when the settings are read; rules that say nothing are one of them.
            (Err(_), Err(why)) if why != "NoMatchingRule" || rules.is_empty() => refused += 1,
            (ours, said) => panic!("{rules} of {subject:?}: {ours:?}, and Kafka says {said:?}"),
        }
    }
    assert!(named > 150 && nobody > 80 && refused > 40, "{named} named, {nobody} nobody, {refused} refused");
}
