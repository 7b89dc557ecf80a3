//! Kafka's message definitions, as the kafka-clients jar carries them (`common/message/*.json`), read into the vocabulary of
//! the schema table: for the generator of that table, and for the test that holds the table against other Kafkas.
//!
//! What is read stays for the rest of the process, as the table itself does. Whatever this does not know (a type, an entity)
//! is an error that names it.

use serde_json::Value;
use std::collections::BTreeMap;
use std::error::Error;
use std::io::Read as _;
use std::path::Path;
use wire::schema::{Entity, Field, Kind, Message, Type, Versions};

/// What a jar defines.
#[derive(Debug, Default)]
pub(crate) struct Definitions {
    /// Request and response of each API by its key.
    pub(crate) apis: BTreeMap<i16, [Option<Message>; 2]>,
    /// Messages that are embedded in others, stored, or headers.
    pub(crate) others: Vec<Message>,
    /// Messages whose versions are all gone: the definition is kept as a tombstone.
    pub(crate) gone: Vec<String>,
}

/// Reads all definitions of a kafka-clients jar.
pub(crate) fn read(jar: &Path) -> Result<Definitions, Box<dyn Error>> {
    let mut zip = zip::ZipArchive::new(std::fs::File::open(jar)?)?;
    let mut found = Definitions::default();
    for i in 0..zip.len() {
        let mut entry = zip.by_index(i)?;
        let name = entry.name()?.into_owned();
        if !name.starts_with("common/message/") || !name.ends_with(".json") {
            continue;
        }
        let mut text = String::new();
        let _ = entry.read_to_string(&mut text)?;
        add(&text, &mut found).map_err(|e| format!("{name}: {e}"))?;
    }
    found.others.sort_by_key(|message| message.name);
    Ok(found)
}

/// Reads one definition.
pub(crate) fn add(text: &str, found: &mut Definitions) -> Result<(), Box<dyn Error>> {
    let definition: Value = serde_json::from_str(&without_comments(text))?;
    if definition["validVersions"] == "none" {
        found.gone.push(definition["name"].as_str().ok_or("no name")?.to_owned());
        return Ok(());
    }
    let message = message(&definition)?;
    match definition["type"].as_str() {
        Some("request") => found.apis.entry(message.key).or_default()[0] = Some(message),
        Some("response") => found.apis.entry(message.key).or_default()[1] = Some(message),
        Some("data" | "header") => found.others.push(message),
        other => return Err(format!("a message of type {other:?}").into()),
    }
    Ok(())
}

/// The definitions are JSON with `//` comments, which never stand inside a string.
fn without_comments(text: &str) -> String {
    let strip = |line: &str| match line.find("//") {
        Some(at) if line[..at].matches('"').count().is_multiple_of(2) => line[..at].to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(strip).collect::<Vec<_>>().join("\n")
}

fn message(definition: &Value) -> Result<Message, Box<dyn Error>> {
    let mut common = BTreeMap::new();
    for structure in definition["commonStructs"].as_array().into_iter().flatten() {
        let _ = common.insert(structure["name"].as_str().ok_or("a struct without a name")?, &structure["fields"]);
    }
    let kind = match definition["type"].as_str() {
        Some("request") => Kind::Request,
        Some("response") => Kind::Response,
        _ => Kind::Data,
    };
    let key = definition["apiKey"].as_i64().filter(|_| kind != Kind::Data);
    Ok(Message {
        name: kept(definition["name"].as_str().ok_or("no name")?),
        kind,
        key: match key {
            Some(key) => i16::try_from(key)?,
            None if kind == Kind::Data => -1,
            None => return Err("no apiKey".into()),
        },
        versions: versions(definition["validVersions"].as_str().ok_or("no validVersions")?)?,
        flexible: versions(definition["flexibleVersions"].as_str().unwrap_or("none"))?,
        latest_unstable: definition["latestVersionUnstable"].as_bool().unwrap_or(false),
        fields: fields(&definition["fields"], &common)?,
    })
}

fn fields(list: &Value, common: &BTreeMap<&str, &Value>) -> Result<&'static [Field], Box<dyn Error>> {
    let list = list.as_array().into_iter().flatten();
    Ok(Vec::leak(list.map(|field| one(field, common)).collect::<Result<_, _>>()?))
}

fn one(field: &Value, common: &BTreeMap<&str, &Value>) -> Result<Field, Box<dyn Error>> {
    let text = |of: &str| field[of].as_str();
    let name = text("name").ok_or("a field without a name")?;
    let spelled = text("type").ok_or("a field without a type")?;
    let element = ty(spelled.trim_start_matches("[]"), field, common).map_err(|e| format!("{name}: {e}"))?;
    let range = |of: &str| text(of).map_or(Ok(Versions::NONE), versions);
    Ok(Field {
        name: kept(name),
        ty: if spelled.starts_with("[]") { Type::Array(Box::leak(Box::new(element))) } else { element },
        // Without `versions` a field exists wherever it is tagged or its message does.
        versions: versions(text("versions").or(text("taggedVersions")).unwrap_or("0+"))?,
        nullable: range("nullableVersions")?,
        tagged: range("taggedVersions")?,
        tag: field["tag"].as_u64().map_or(Ok(0), u32::try_from)?,
        entity: text("entityType").map(entity).transpose()?,
        default: match &field["default"] {
            Value::Null => "",
            Value::String(text) => kept(text),
            other => kept(&other.to_string()),
        },
    })
}

fn ty(name: &str, field: &Value, common: &BTreeMap<&str, &Value>) -> Result<Type, Box<dyn Error>> {
    Ok(match name {
        "bool" => Type::Bool,
        "int8" => Type::Int8,
        "int16" => Type::Int16,
        "uint16" => Type::Uint16,
        "int32" => Type::Int32,
        "int64" => Type::Int64,
        "float64" => Type::Float64,
        "uuid" => Type::Uuid,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "records" => Type::Records,
        structure if structure.starts_with(|c: char| c.is_ascii_uppercase()) => {
            let own = if field["fields"].is_array() {
                &field["fields"]
            } else {
                common.get(structure).copied().ok_or_else(|| format!("no struct {structure}"))?
            };
            Type::Struct(fields(own, common)?)
        }
        other => return Err(format!("the schema table has no type {other:?}").into()),
    })
}

fn entity(name: &str) -> Result<Entity, String> {
    Ok(match name {
        "topicName" => Entity::TopicName,
        "groupId" => Entity::GroupId,
        "transactionalId" => Entity::TransactionalId,
        "producerId" => Entity::ProducerId,
        "brokerId" => Entity::BrokerId,
        other => return Err(format!("the schema table has no entity {other:?}: decide what it names")),
    })
}

/// `3+`, `0-9`, `4` or `none`.
fn versions(range: &str) -> Result<Versions, Box<dyn Error>> {
    if range == "none" {
        return Ok(Versions::NONE);
    }
    if let Some(min) = range.strip_suffix('+') {
        return Ok(Versions { min: min.parse()?, max: i16::MAX });
    }
    let (min, max) = range.split_once('-').unwrap_or((range, range));
    Ok(Versions { min: min.parse()?, max: max.parse()? })
}

fn kept(text: &str) -> &'static str {
    String::leak(text.to_owned())
}
