//! Bytes that Kafka's own classes write and read: walked to their end, decoded and encoded to the same bytes, and the values
//! in them are those that Kafka says it wrote.

use super::kafkas::{self, Kafka};
use super::message::{filled, with_nulls, words};
use super::program::{Fill, Given, Written, no_compiler, run};
use super::sentinels::carried;
use super::table::{ours, was_unstable};
use gateway::apis::roles;
use serde_json::{Value, json};
use wire::plan::{Place, Plan, Role};
use wire::schema::{ApiKey, Field, Kind, MESSAGES, Message, Type};
use wire::segments::Segments;
use wire::walk::{KeepAll, walk};
use wire::{frame, value};

/// The correlation id and client id in the headers that the program writes.
const CORRELATION: i32 = 77;
const CLIENT: &str = "client";

impl Given {
    /// What is wrong with what Kafka wrote when it had read this, if anything. A tagged field that is written though it has
    /// its default is left out by Kafka, so that values are compared where the bytes differ.
    fn is(&self, again: &[u8]) -> Result<(), String> {
        let Self { message, version, body, .. } = self;
        let plain = |bytes: &[u8]| {
            let read = value::decode(message, *version, bytes)?;
            value::encode(message, *version, &read)
        };
        match (plain(body), plain(again)) {
            (Ok(given), Ok(plain)) if given == again && plain == again => Ok(()),
            _ => Err(format!("Kafka makes {again:02x?} of\n  {body:02x?}")),
        }
    }
}

/// The plan with the most to look at.
fn every_role(place: Place<'_>) -> Option<Role> {
    let mut ty = &place.field.ty;
    while let Type::Array(element) = ty {
        ty = element;
    }
    match ty {
        Type::String => Some(Role::Topic),
        Type::Uuid => Some(Role::TopicId),
        Type::Bytes | Type::Records => Some(Role::Records),
        Type::Int8 | Type::Int16 | Type::Int32 => Some(Role::Port),
        _ => None,
    }
}

/// Values of Java's fields under the names of the definitions, some of which begin with a small letter.
fn spelled(fields: &[Field], json: &Value) -> Value {
    match json {
        Value::Array(list) => list.iter().map(|element| spelled(fields, element)).collect(),
        Value::Object(map) => {
            let field = |name: &str| fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
            let one = |(name, value): (&String, &Value)| match field(name) {
                Some(field) => (field.name.to_owned(), spelled(inside(field), value)),
                None => (name.clone(), value.clone()),
            };
            Value::Object(map.iter().map(one).collect())
        }
        other => other.clone(),
    }
}

fn inside(field: &Field) -> &'static [Field] {
    match field.ty {
        Type::Array(Type::Struct(fields)) => fields,
        Type::Struct(fields) => fields,
        _ => &[],
    }
}

/// What is wrong with how a message of Kafka's is read here, if anything.
fn read(written: &Written, theirs: &'static Message, table: Option<&'static Message>) -> Result<(), String> {
    let Written { version, body, json, .. } = written;
    let said = value::encode(theirs, *version, &spelled(theirs.fields, json))
        .map_err(|e| format!("what Kafka says it wrote: {e}"))?;
    if said != *body {
        return Err(format!("what Kafka says it wrote is\n  {said:02x?}\n  not {body:02x?}"));
    }
    let Some(message) = table else { return Ok(()) };
    for role_of in [&roles::role_of as &dyn Fn(Place<'_>) -> Option<Role>, &every_role] {
        let mut out = Segments::default();
        walk(&Plan::compile(message, *version, role_of), body, &mut KeepAll, &mut out)
            .map_err(|e| format!("walk: {e}"))?;
        if out.to_vec(body) != *body {
            return Err("a walk that keeps everything changed it".to_owned());
        }
    }
    let decoded = value::decode(message, *version, body).map_err(|e| format!("decode: {e}"))?;
    let again = value::encode(message, *version, &decoded).map_err(|e| format!("encode: {e}"))?;
    if again == *body {
        headers(written, message)
    } else {
        Err(format!("{decoded}\n  {again:02x?}\n  not {body:02x?}"))
    }
}

/// What is wrong with how the header is read here, if anything.
fn headers(written: &Written, message: &'static Message) -> Result<(), String> {
    let Written { version, header, body, fill, .. } = written;
    let Some(key) = ApiKey::from_code(message.key) else { return Ok(()) };
    let whole = [header.as_slice(), body].concat();
    let start = if message.kind == Kind::Request {
        let read = frame::request_header(key, &whole).map_err(|e| format!("header: {e}"))?;
        let client = (*fill != Fill::Nulls).then_some(CLIENT);
        if (read.version, read.correlation_id, read.client_id) != (*version, CORRELATION, client) {
            return Err(format!("the header is read as {read:?}"));
        }
        // Without unknown tagged fields a request of our own is the same to the last byte.
        if *fill == Fill::Defaults && frame::request(key, *version, CORRELATION, client, body)[4..] != whole {
            return Err("our own request has another header".to_owned());
        }
        read.body
    } else {
        let header = key.response_header(*version);
        let (correlation, start) = frame::response_header(header, &whole).map_err(|e| format!("header: {e}"))?;
        if correlation != CORRELATION {
            return Err(format!("the header's correlation id is read as {correlation}"));
        }
        start
    };
    if start == header.len() { Ok(()) } else { Err(format!("the header ends at {}, not {start}", header.len())) }
}

/// Messages of every version that both the table and a Kafka have: filled, with nulls, and empty.
fn given(kafka: &'static Kafka) -> Vec<Given> {
    let mut all = Vec::new();
    for theirs in kafka.messages() {
        let Some(ours) = ours(theirs, MESSAGES) else { continue };
        let both = ours.versions.intersect(theirs.versions);
        for version in (both.min..=both.max).filter(|version| !was_unstable(kafka, theirs, *version)) {
            let mut full = filled(ours, version, &|place| words(place, version));
            if ours.flexible.contains(version) {
                full["_tags"] = json!({ "10007": "AAEC", "70000": "" });
            }
            for value in [with_nulls(ours.fields, version, &full), full, json!({})] {
                let body = value::encode(ours, version, &value);
                let body = body.unwrap_or_else(|why| panic!("{} {version}: {why}", ours.name));
                all.push(Given { name: theirs.name, message: ours, version, body });
            }
        }
    }
    all
}

/// What leaves the gateway, in the versions that a Kafka has.
fn mapped(kafka: &'static Kafka) -> Vec<Given> {
    let known = |(message, version, body): (&'static Message, i16, Vec<u8>)| {
        let theirs =
            kafka.messages().find(|theirs| ours(theirs, MESSAGES).is_some_and(|ours| ours.name == message.name));
        let theirs = theirs.filter(|theirs| theirs.versions.contains(version) && !was_unstable(kafka, theirs, version));
        theirs.map(|theirs| Given { name: theirs.name, message, version, body })
    };
    carried().into_iter().filter_map(known).collect()
}

/// What is wrong between a Kafka and us, and how many messages were read in each direction.
fn compared(kafka: &'static Kafka) -> (Vec<String>, [usize; 3]) {
    let (mut given, mapped) = (given(kafka), mapped(kafka));
    let counts = [given.len(), mapped.len()];
    given.extend(mapped);
    let said = match run(kafka, &given) {
        Ok(said) => said,
        Err(why) => return (vec![why], [0; 3]),
    };
    let (mut wrong, mut walked) = (Vec::new(), 0);
    for written in &said.written {
        let theirs = kafka.messages().find(|theirs| theirs.name == written.name).unwrap();
        let same =
            |ours: &&Message| ours.versions.contains(written.version) && !was_unstable(kafka, theirs, written.version);
        let table = ours(theirs, MESSAGES).filter(same);
        walked += usize::from(table.is_some());
        if let Err(why) = read(written, theirs, table) {
            wrong.push(format!("Kafka {} wrote {} {}: {why}", kafka.version, written.name, written.version));
        }
    }
    for (given, again) in given.iter().zip(&said.again) {
        let Given { name, version, body, .. } = given;
        let read = match again {
            Ok(again) => given.is(again),
            Err(why) => Err(format!("Kafka does not read {body:02x?}: {why}")),
        };
        wrong.extend(read.err().map(|why| format!("{name} {version}: {why}")));
    }
    (wrong, [walked, counts[0], counts[1]])
}

#[test]
fn what_kafkas_own_classes_write_is_read_and_what_we_write_they_read() {
    const NAME: &str = "what_kafkas_own_classes_write_is_read_and_what_we_write_they_read";
    let kafkas = kafkas::needed_by(NAME);
    if let Some(why) = no_compiler().filter(|_| !kafkas.is_empty()) {
        return kafkas::skipped(NAME, &why);
    }
    std::thread::scope(|scope| {
        let running: Vec<_> = kafkas.iter().map(|kafka| (kafka, scope.spawn(|| compared(kafka)))).collect();
        for (kafka, compared) in running {
            let (wrong, [walked, given, mapped]) = compared.join().unwrap();
            assert!(wrong.is_empty(), "{} of\n{}", wrong.len(), wrong.join("\n"));
            println!(
                "Kafka {}: {walked} messages of its own classes walked, {given} of ours and {mapped} from the gateway read by them",
                kafka.version
            );
            assert!(walked > 1500 && given > 1500 && mapped > 500);
        }
    });
}

#[test]
fn bytes_that_are_read_wrong_are_told() {
    let message = Message::named("HeartbeatRequest").unwrap();
    let json = json!({ "GroupId": "g", "GenerationId": 3, "MemberId": "m", "GroupInstanceId": null });
    let body = value::encode(message, 4, &json).unwrap();
    let header = frame::request(ApiKey::Heartbeat, 4, CORRELATION, Some(CLIENT), &[])[4..].to_vec();
    let right = Written { name: String::new(), version: 4, fill: Fill::Defaults, header, body, json };
    assert_eq!(read(&right, message, Some(message)), Ok(()));
    let said_otherwise = Written { json: json!({ "GroupId": "m", "MemberId": "g" }), ..copied(&right) };
    assert!(read(&said_otherwise, message, None).is_err());
    let another_version = Written { version: 3, json: right.json.clone(), ..copied(&right) };
    assert!(read(&another_version, message, Some(message)).is_err());
    let longer_header = Written { header: [right.header.as_slice(), &[0]].concat(), ..copied(&right) };
    assert!(headers(&longer_header, message).is_err());
}

fn copied(written: &Written) -> Written {
    let Written { name, version, fill, header, body, json } = written;
    Written {
        name: name.clone(),
        version: *version,
        fill: *fill,
        header: header.clone(),
        body: body.clone(),
        json: json.clone(),
    }
}
