//! Documents as resources: one for a request, many from files.

use std::fmt;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Flaw, nearest, shape, tree, tree::MOST_FLAWS};
use crate::resources::{KINDS, Kind, Resource, schema};

/// Kinds that other gateways of this API have, and this one does not have yet.
const LATER: [&str; 4] = ["Interceptor", "GatewayInterceptor", "ConcentrationRule", "ConcentratedTopic"];

/// A resource and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Which one of its text, from 1.
    pub number: usize,
    /// What it declares.
    pub resource: Resource,
}

/// One thing wrong with one of many documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentFlaw {
    /// Which one of its text, from 1; `None` where the text as a whole cannot be read.
    pub number: Option<usize>,
    /// The resource as it calls itself, such as `VirtualCluster/dev`; empty where it does not.
    pub resource: String,
    /// Where in it, and what.
    pub flaw: Flaw,
}

impl fmt::Display for DocumentFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(number) = self.number else { return write!(f, "{}", self.flaw) };
        match (self.resource.as_str(), self.flaw.path.as_str()) {
            ("", _) => write!(f, "document {number}: {}", self.flaw),
            (resource, "") => write!(f, "document {number}, {resource}: {}", self.flaw),
            (resource, _) => write!(f, "document {number}, {resource} {}", self.flaw),
        }
    }
}

/// Reads one document of a known type.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read_one<T: DeserializeOwned + JsonSchema>(text: &[u8]) -> Result<T, Vec<Flaw>> {
    let text = std::str::from_utf8(text).map_err(|_| vec![Flaw::new("", "is not UTF-8")])?;
    let Trees { found: mut trees, flaws, .. } = trees(text);
    if !flaws.is_empty() {
        return Err(flaws.into_iter().map(|flaw| flaw.flaw).collect());
    }
    match (trees.pop(), trees.len()) {
        (Some((_, tree)), 0) => typed(&schema::of::<T>(), tree),
        (None, _) => Err(vec![Flaw::new("", "is empty")]),
        (Some(_), others) => Err(vec![Flaw::new("", format!("holds {} documents; one is taken here", others + 1))]),
    }
}

/// Reads every resource of a text: YAML documents, JSON, or lists of resources in either.
pub fn read_all(text: &str) -> (Vec<Document>, Vec<DocumentFlaw>) {
    let Trees { found: trees, mut flaws, mut untold } = trees(text);
    let mut documents = Vec::new();
    for (number, tree) in trees {
        let calls_itself = called(&tree);
        match resource(tree) {
            Ok(resource) => documents.push(Document { number, resource }),
            Err(found) => untold += note(&mut flaws, Some(number), &calls_itself, found),
        }
    }
    if untold > 0 {
        let message = format!("has {untold} more problems, which are not shown: mend these first");
        flaws.push(DocumentFlaw { number: None, resource: String::new(), flaw: Flaw::new("", message) });
    }
    (documents, flaws)
}

/// Keeps what is found in one document, and counts what is left out: a text of a few bytes per document has more flaws than
/// anybody reads.
fn note(flaws: &mut Vec<DocumentFlaw>, number: Option<usize>, resource: &str, found: Vec<Flaw>) -> usize {
    let (found_count, room) = (found.len(), MOST_FLAWS.saturating_sub(flaws.len()));
    let noted = found.into_iter().take(room);
    flaws.extend(noted.map(|flaw| DocumentFlaw { number, resource: resource.to_owned(), flaw }));
    found_count.saturating_sub(room)
}

/// Whether a text holds resources, and not the settings of a program; of one that cannot be read, whether it looks so.
pub fn holds_resources(text: &str) -> bool {
    const KEYS: [&str; 2] = ["kind", "apiVersion"];
    let trees = trees(text);
    let is_unreadable = trees.flaws.iter().any(|flaw| flaw.number.is_none());
    let has_key = |line: &str| {
        let line = line.trim_start_matches(['{', '[', ' ', '"']);
        KEYS.iter().any(|key| line.strip_prefix(key).is_some_and(|rest| rest.trim_start_matches('"').starts_with(':')))
    };
    trees.found.iter().any(|(_, tree)| KEYS.iter().any(|key| tree.get(key).is_some()))
        || is_unreadable && text.lines().any(has_key)
}

/// What a tree declares.
///
/// # Errors
/// Everything that is wrong with it.
pub fn resource(tree: Value) -> Result<Resource, Vec<Flaw>> {
    let kind = kind_of(&tree)?;
    let schema = Resource::schema(kind.name).unwrap_or_default();
    let flaws = shape::flaws(&schema, &tree);
    if !flaws.is_empty() {
        return Err(flaws);
    }
    let json = tree.to_string();
    let read = Resource::from_json(kind.name, json.as_bytes());
    read.unwrap_or_else(|| Err(serde::de::Error::custom("no such kind")))
        .map_err(|error| vec![Flaw::new("", without_values(&error.to_string()))])
}

fn kind_of(tree: &Value) -> Result<Kind, Vec<Flaw>> {
    let flaw = |path: &str, message: String| Err(vec![Flaw::new(path, message)]);
    let served = || KINDS.iter().map(|kind| kind.name);
    let listed = || served().collect::<Vec<_>>().join(", ");
    if !tree.is_object() {
        return flaw("", "must hold keys and values: apiVersion, kind, metadata, spec".to_owned());
    }
    let name = match tree.get("kind") {
        None => return flaw("kind", format!("is missing; served are {}", listed())),
        Some(Value::String(name)) => name,
        Some(_) => return flaw("kind", format!("must be one of {}", listed())),
    };
    match Kind::named(name) {
        Some(kind) => Ok(kind),
        None if LATER.contains(&name.as_str()) => {
            flaw("kind", format!("{name} is not supported yet; served are {}", listed()))
        }
        None => match nearest(name, served()) {
            Some(near) => flaw("kind", format!("is not served; did you mean '{near}'?")),
            None => flaw("kind", format!("is not served; served are {}", listed())),
        },
    }
}

fn typed<T: DeserializeOwned>(schema: &Value, tree: Value) -> Result<T, Vec<Flaw>> {
    let flaws = shape::flaws(schema, &tree);
    if !flaws.is_empty() {
        return Err(flaws);
    }
    serde_json::from_value(tree).map_err(|error| vec![Flaw::new("", without_values(&error.to_string()))])
}

/// How a document calls itself.
fn called(tree: &Value) -> String {
    let text = |pointer: &str| tree.pointer(pointer).and_then(Value::as_str);
    match (text("/kind"), text("/metadata/name")) {
        (Some(kind), Some(name)) => format!("{kind}/{name}"),
        (Some(kind), None) => kind.to_owned(),
        (None, _) => String::new(),
    }
}

/// The documents of a text.
fn trees(text: &str) -> Trees {
    if !text.trim_start().starts_with(['{', '[']) {
        return yaml(text);
    }
    // YAML has nearly all of JSON, but its complaints are about YAML.
    json(text).unwrap_or_else(|error| {
        let mut trees = yaml(text);
        if trees.flaws.iter().any(|flaw| flaw.number.is_none()) {
            trees = Trees::default();
            trees.unreadable(format!("is not JSON: {error}"));
        }
        trees
    })
}

fn json(text: &str) -> Result<Trees, serde_json::Error> {
    let mut flaws = Vec::new();
    let mut json = serde_json::Deserializer::from_str(text);
    let tree = tree::read(&mut json, &mut flaws)?;
    json.end()?;
    let mut trees = Trees::default();
    trees.take(tree, flaws);
    Ok(trees)
}

fn yaml(text: &str) -> Trees {
    let mut trees = Trees::default();
    for document in serde_yaml::Deserializer::from_str(text) {
        let mut flaws = Vec::new();
        match tree::read(document, &mut flaws) {
            Ok(tree) => trees.take(tree, flaws),
            // Behind what is not YAML nothing can be told apart.
            Err(error) => {
                trees.unreadable(format!("is not YAML: {error}"));
                break;
            }
        }
    }
    trees
}

/// Documents with their numbers, lists taken apart, empty ones left out.
#[derive(Default)]
struct Trees {
    found: Vec<(usize, Value)>,
    flaws: Vec<DocumentFlaw>,
    untold: usize,
}

impl Trees {
    fn take(&mut self, tree: Value, flaws: Vec<Flaw>) {
        let entries = match tree {
            Value::Null if flaws.is_empty() => return,
            Value::Array(entries) => entries,
            tree => vec![tree],
        };
        let first = self.found.last().map_or(0, |(number, _)| *number) + 1;
        let resource = if let [tree] = entries.as_slice() { called(tree) } else { String::new() };
        self.untold += note(&mut self.flaws, Some(first), &resource, flaws);
        self.found.extend((first..).zip(entries));
    }

    fn unreadable(&mut self, message: String) {
        self.flaws.push(DocumentFlaw { number: None, resource: String::new(), flaw: Flaw::new("", message) });
    }
}

/// What serde complains about, without the value: a password in the wrong place is a password still. What was expected instead,
/// the names of fields, and line and column stay.
pub fn without_values(complaint: &str) -> String {
    const VARIANT: &str = "unknown variant `";
    let mut shown = String::with_capacity(complaint.len());
    let mut rest = complaint;
    if let Some(behind) = rest.strip_prefix(VARIANT) {
        shown.push_str("unknown variant `***");
        // The value itself may hold what looks like its end.
        rest =
            behind.rfind("`, expected").or_else(|| behind.rfind("`, there are no")).map_or("`", |end| &behind[end..]);
    }
    while let Some(start) = rest.find('"') {
        shown.push_str(&rest[..start]);
        shown.push_str("\"***\"");
        let mut escaped = false;
        let end = rest[start + 1..].find(|character| {
            let ends = character == '"' && !escaped;
            escaped = character == '\\' && !escaped;
            ends
        });
        rest = end.map_or("", |end| &rest[start + 1 + end + 1..]);
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::{AccountType, GatewayServiceAccount, TokenRequest};

    fn told(text: &str) -> Vec<String> {
        read_all(text).1.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn documents_lists_and_json_are_the_same_resources() {
        let yaml = "# two\n---\napiVersion: gateway/v2\nkind: VirtualCluster\nmetadata: {name: dev}\n---\n\n---\n\
                    apiVersion: anabranch/v1\nkind: Quota\nmetadata: {name: q, vCluster: dev}\n---\n";
        let (documents, flaws) = read_all(yaml);
        assert_eq!(flaws, []);
        let keys = documents.iter().map(|document| document.resource.key().to_string()).collect::<Vec<_>>();
        assert_eq!(keys, ["VirtualCluster/dev", "Quota/dev/q"]);
        let json = documents.iter().map(|document| document.resource.to_json().unwrap()).collect::<Value>();
        assert_eq!(read_all(&json.to_string()), (documents.clone(), vec![]));
        let list = serde_yaml::to_string(&json).unwrap();
        assert_eq!(read_all(&list), (documents, vec![]));
    }

    #[test]
    fn many_short_documents_make_no_long_answer() {
        for document in ["a\n---\n", "{a: 1, a: 2}\n---\n"] {
            let told = told(&document.repeat(5000));
            assert_eq!(told.len(), tree::MOST_FLAWS + 1);
            assert!(
                told[100].starts_with("has ") && told[100].contains(" more problems, which are not shown"),
                "{told:?}"
            );
        }
    }

    #[test]
    fn every_flaw_of_every_document_is_told_at_once() {
        let text = "apiVersion: gateway/v3\nkind: VirtualCluster\nmetadata: {nam: dev}\nspec:\n  aclEnabled: 'yes'\n  \
                    acls:\n  - resourcePattern: {resourceType: TOPICS, name: 5, patternType: literal}\n    principal: a\n    \
                    operation: REED\n    permissionType: ALLOW\n---\nkind: GatewayServiceAcount\n---\nkind: Interceptor\n\
                    metadata: {name: x}\n---\n- 5\n";
        assert_eq!(
            told(text),
            [
                "document 1, VirtualCluster apiVersion: must be gateway/v2",
                "document 1, VirtualCluster metadata.nam: unknown field; did you mean 'name'?",
                "document 1, VirtualCluster metadata.name: is missing",
                "document 1, VirtualCluster spec.aclEnabled: must be true or false, and is a text",
                "document 1, VirtualCluster spec.acls[0].resourcePattern.resourceType: must be one of TOPIC, GROUP, \
                 CLUSTER, TRANSACTIONAL_ID, DELEGATION_TOKEN, USER; did you mean 'TOPIC'?",
                "document 1, VirtualCluster spec.acls[0].resourcePattern.name: must be a text, and is a number: put it \
                 in quotes",
                "document 1, VirtualCluster spec.acls[0].resourcePattern.patternType: must be one of LITERAL, PREFIXED; \
                 did you mean 'LITERAL'?",
                "document 1, VirtualCluster spec.acls[0].operation: must be one of ALL, READ, WRITE, CREATE, DELETE, \
                 ALTER, DESCRIBE, CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS, IDEMPOTENT_WRITE, CREATE_TOKENS, \
                 DESCRIBE_TOKENS, TWO_PHASE_COMMIT; did you mean 'READ'?",
                "document 1, VirtualCluster spec.acls[0].host: is missing",
                "document 2, GatewayServiceAcount kind: is not served; did you mean 'GatewayServiceAccount'?",
                "document 3, Interceptor/x kind: Interceptor is not supported yet; served are UpstreamCluster, \
                 IdentityProvider, VirtualCluster, AliasTopic, GatewayServiceAccount, GatewayGroup, Quota",
                "document 4: must hold keys and values: apiVersion, kind, metadata, spec",
            ]
        );
    }

    #[test]
    fn a_key_that_stands_twice_is_a_flaw() {
        for text in [
            "kind: VirtualCluster\napiVersion: gateway/v2\nmetadata: {name: a, name: b}\n",
            r#"{"kind": "VirtualCluster", "apiVersion": "gateway/v2", "metadata": {"name": "a", "name": "b"}}"#,
        ] {
            assert_eq!(told(text), ["document 1, VirtualCluster/a metadata.name: stands twice: keep one of them"]);
        }
    }

    #[test]
    fn what_is_neither_yaml_nor_json_says_where() {
        for (text, start) in [
            ("{\"kind\": ", "is not JSON: EOF while parsing a value at line 1 column 9"),
            ("{} x", "is not JSON: trailing characters at line 1 column 4"),
            ("a: [1\nb: 2\n", "is not YAML: "),
            ("a: !x y\n", "is not YAML: a: a tag (!…) has no meaning here"),
        ] {
            let told = told(text);
            assert!(told.iter().any(|told| told.starts_with(start)), "{told:?}");
        }
        // What comes before it counts.
        let text = "kind: Quotas\n---\na: [1\nb: 2\n";
        assert_eq!(told(text).len(), 2, "{:?}", told(text));
    }

    #[test]
    fn one_document_is_read_in_either_form() {
        let request: TokenRequest = read_one(b"username: app\nlifeTimeSeconds: 60\n").unwrap();
        assert_eq!(request, read_one(br#"{"username": "app", "lifeTimeSeconds": 60}"#).unwrap());
        let told = |text: &[u8]| {
            let flaws = read_one::<TokenRequest>(text).unwrap_err();
            flaws.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(told(b""), ["is empty"]);
        assert_eq!(told(b"{}"), ["username: is missing", "lifeTimeSeconds: is missing"]);
        assert_eq!(told(b"a: 1\n---\nb: 1\n"), ["holds 2 documents; one is taken here"]);
        assert_eq!(told(b"\xff"), ["is not UTF-8"]);
        assert_eq!(
            told(br#"{"username": "app", "lifeTimeSeconds": 1.5, "vcluster": "x"}"#),
            [
                "lifeTimeSeconds: must be a whole number, and is a number with a fraction",
                "vcluster: unknown field; did you mean 'vCluster'?"
            ]
        );
    }

    #[test]
    fn a_word_in_any_case_where_the_type_says_so() {
        let account = |word: &str| {
            let text = format!(
                "kind: GatewayServiceAccount\napiVersion: gateway/v2\nmetadata: {{name: app}}\nspec: {{type: {word}}}\n"
            );
            read_one::<GatewayServiceAccount>(text.as_bytes()).map(|account| account.spec.account_type)
        };
        assert_eq!(account("lOcal"), Ok(AccountType::Local));
        assert_eq!(
            account("EXTERNL"),
            Err(vec![Flaw::new("spec.type", "must be one of LOCAL, EXTERNAL; did you mean 'EXTERNAL'?")])
        );
    }

    #[test]
    fn yaml_may_begin_with_a_brace() {
        assert_eq!(read_all("{kind: VirtualCluster, apiVersion: gateway/v2, metadata: {name: dev}}").0.len(), 1);
    }

    #[test]
    fn settings_are_no_resources() {
        assert!(!holds_resources("upstream: {bootstrapServers: k}\n"));
        assert!(!holds_resources("upstream: [1\nclients: {}\n"));
        assert!(holds_resources("upstream: 1\n---\nkind: Quota\n"));
        assert!(holds_resources("kind: Quota\nmetadata: !name x\n"));
        assert!(holds_resources("{ \"kind\": \"Quota\" \"metadata\": {} }"));
    }

    #[test]
    fn depth_and_repetition_are_bounded() {
        let deep = format!("a: {}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(told(&deep)[0].starts_with("is not YAML: "), "{:?}", told(&deep)[0]);
        let deep = "[".repeat(10_000);
        assert!(told(&deep)[0].starts_with("is not JSON: recursion limit exceeded"), "{:?}", told(&deep)[0]);
        let laughs = (0..30).fold("a0: &a0 [x]\n".to_owned(), |text, at| {
            let again = format!("*a{at}, ").repeat(9);
            format!("{text}a{0}: &a{0} [{again}]\n", at + 1)
        });
        assert!(told(&laughs)[0].starts_with("is not YAML: "), "{:?}", told(&laughs)[0]);
        let many =
            format!("kind: Quota\nspec: {{{}}}\n", (0..5_000).map(|at| format!("x{at}: 1, ")).collect::<String>());
        assert_eq!(told(&many).len(), tree::MOST_FLAWS);
    }
}
