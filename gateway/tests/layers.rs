//! The architecture as tests: who may import whom, how long a file and a function may be, what must not be forgotten.
//!
//! Each rule is a function from source text to a list of complaints. One test runs it over the workspace, another feeds it
//! a bad snippet to show that it can fail. It must not know what any module does.
#![allow(clippy::expect_used, clippy::panic)] // a check that cannot read the sources must not pass

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Modules of the gateway, highest rank first. A module imports lower ranks only, and none of its own rank.
const RANKS: &[&[&str]] = &[
    &["listeners", "leaving", "material", "certs", "cli", "failover", "reload"],
    &["admin"],
    &["session"],
    &["world", "store"],
    &["interceptors", "audit", "nodes"],
    // A request is handed on by types: an Identity is permitted, what is Permitted is named, what is named is sent.
    &["upstream"],
    &["naming"],
    &["authz"],
    &["routing", "authn", "crypto", "quotas"],
    &["apis", "transport"],
    &["observe", "config"],
];
/// The two roots put the modules together, so every arrow may start there and none may end there.
const ROOTS: &[&str] = &["main", "lib"];
/// What each crate may depend on among ours; `sandbox` needs `gateway` only to run it from its own binary.
const CRATES: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("contract", &[]),
    ("gateway", &["contract", "wire"]),
    ("tui", &["contract"]),
    ("sandbox", &["contract", "gateway", "wire"]),
    ("conformance", &["contract", "sandbox", "wire"]),
];
/// Foreign crates that belong to one of ours.
const RESERVED: &[(&str, &str)] = &[("ratatui", "tui"), ("crossterm", "tui"), ("axum", "gateway")];

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 60;
/// Files over the limit, and functions as `file::function`. These lists only shrink: an entry no longer needed fails too.
///
/// The schema table is generated from Kafka's message definitions.
const LONG_FILES: &[&str] = &["gateway/wire/src/schema/table.rs"];
const LONG_FUNCTIONS: &[&str] = &[
    "gateway/src/apis/mod.rs::row",
    "gateway/src/authz/needs.rs::needs",
    "gateway/wire/src/schema/table.rs::from_code",
    "gateway/wire/src/schema/table.rs::index",
    "gateway/wire/src/schema/table.rs::name",
];

struct Source {
    /// Relative to the workspace, with `/`.
    path: String,
    text: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the gateway lies in the workspace").to_owned()
}

/// Every Rust file of the workspace's crates.
fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    for folder in ["gateway", "sandbox", "tui", "conformance"] {
        files_below(&workspace().join(folder), "rs", &mut found);
    }
    assert!(found.len() > 50, "only {} Rust files found below {}", found.len(), workspace().display());
    found
}

fn files_below(folder: &Path, extension: &str, found: &mut Vec<Source>) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry of the folder").path()).collect();
    paths.sort();
    for path in paths {
        // What a fuzz run builds stays below its own workspace.
        if path.ends_with("gateway/fuzz/target") {
            continue;
        }
        if path.is_dir() {
            files_below(&path, extension, found);
        } else if path.extension().is_some_and(|found| found == extension) {
            let text = std::fs::read_to_string(&path).expect("a source file in UTF-8");
            let path = path.strip_prefix(workspace()).expect("a path below the workspace");
            found.push(Source { path: path.to_string_lossy().replace('\\', "/"), text });
        }
    }
}

// ---- reading Rust without a parser -------------------------------------------------------------------------------------

fn is_ident(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Where the comment or literal that starts at `at` ends, if one starts there.
fn opaque_end(text: &[u8], at: usize) -> Option<usize> {
    let rest = &text[at..];
    let find = |from: usize, needle: &[u8]| {
        text[from..].windows(needle.len()).position(|window| window == needle).map(|found| from + found)
    };
    match rest {
        [b'/', b'/', ..] => Some(find(at, b"\n").unwrap_or(text.len())),
        [b'/', b'*', ..] => Some(block_comment_end(text, at)),
        [b'"', ..] => Some(string_end(text, at + 1)),
        [b'\'', b'\\', ..] => find(at + 3, b"'").map(|quote| quote + 1),
        [b'\'', ..] => {
            let length = std::str::from_utf8(&rest[1..]).ok()?.chars().next()?.len_utf8();
            (rest.get(1 + length) == Some(&b'\'')).then_some(at + length + 2)
        }
        [b'r', ..]
            if at == 0 || !is_ident(text[at - 1]) || (text[at - 1] == b'b' && (at < 2 || !is_ident(text[at - 2]))) =>
        {
            let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
            (rest.get(1 + hashes) == Some(&b'"')).then_some(())?;
            let close = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
            find(at + 2 + hashes, &close).map(|quote| quote + close.len())
        }
        _ => None,
    }
}

fn block_comment_end(text: &[u8], start: usize) -> usize {
    let (mut depth, mut at) = (0usize, start);
    while at + 1 < text.len() {
        match &text[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" if depth == 1 => return at + 2,
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    text.len()
}

fn string_end(text: &[u8], mut at: usize) -> usize {
    while at < text.len() {
        match text[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

/// The code alone: comments, literals and `mod tests` are blanks, lines stay where they were.
fn code(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if let Some(end) = opaque_end(bytes, at) {
            plain.extend(bytes[at..end.min(bytes.len())].iter().map(|byte| if *byte == b'\n' { b'\n' } else { b' ' }));
            at = end;
        } else {
            plain.push(bytes[at]);
            at += 1;
        }
    }
    let mut plain = String::from_utf8(plain).expect("only whole literals were blanked");
    while let Some(start) = plain.find("mod tests {") {
        let end = block_end(plain.as_bytes(), start + "mod tests ".len());
        let blank: String = plain[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        plain.replace_range(start..end, &blank);
    }
    plain
}

/// The end of the block whose opening brace is at `open`, behind its closing brace.
fn block_end(text: &[u8], open: usize) -> usize {
    let mut depth = 0usize;
    for (at, byte) in text.iter().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth <= 1 => return at + 1,
            b'}' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

fn leading_ident(text: &str) -> &str {
    let text = text.trim_start();
    &text[..text.bytes().position(|byte| !is_ident(byte)).unwrap_or(text.len())]
}

/// What is named directly behind each `prefix` (`crate::`), groups in braces included.
fn named_behind<'a>(code: &'a str, prefix: &str) -> BTreeSet<&'a str> {
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        if code[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        if !rest.starts_with('{') {
            let _ = names.insert(leading_ident(rest));
            continue;
        }
        let (mut depth, mut item) = (0usize, 1);
        for (offset, c) in rest[..block_end(rest.as_bytes(), 0)].char_indices() {
            match c {
                '{' => depth += 1,
                ',' if depth == 1 => {
                    let _ = names.insert(leading_ident(&rest[item..]));
                    item = offset + 1;
                }
                '}' if depth == 1 => {
                    let _ = names.insert(leading_ident(&rest[item..]));
                }
                '}' => depth -= 1,
                _ => {}
            }
        }
    }
    let _ = names.remove("");
    names
}

// ---- the rules ---------------------------------------------------------------------------------------------------------

fn rank(module: &str) -> Option<usize> {
    RANKS.iter().position(|modules| modules.contains(&module)).map(|from_top| RANKS.len() - 1 - from_top)
}

/// Arrows of one file of `gateway/src`: upwards, sideways, to the root, from or to a module without a rank.
fn wrong_arrows(source: &Source) -> Vec<String> {
    let Some(inside) = source.path.strip_prefix("gateway/src/") else { return Vec::new() };
    let parts: Vec<&str> = inside.trim_end_matches(".rs").split('/').collect();
    let module = parts[0];
    if ROOTS.contains(&module) || parts.last() == Some(&"tests") {
        return Vec::new();
    }
    let Some(own) = rank(module) else {
        return vec![format!(
            "{}: module `{module}` has no rank: decide one in RANKS and ARCHITECTURE.md",
            source.path
        )];
    };
    let code = code(&source.text);
    let mut named = named_behind(&code, "crate::");
    // One level below the root, `super` is the root.
    if parts.len() == 1 || (parts.len() == 2 && parts[1] == "mod") {
        named.extend(named_behind(&code, "super::"));
    }
    let mut wrong = Vec::new();
    for target in named.into_iter().filter(|target| *target != module) {
        match rank(target) {
            None => wrong.push(format!("{}: `crate::{target}` is no ranked module", source.path)),
            Some(other) if other > own => wrong.push(format!("{}: upward arrow {module} -> {target}", source.path)),
            Some(other) if other == own => wrong.push(format!("{}: sideways arrow {module} -> {target}", source.path)),
            Some(_) => {}
        }
    }
    wrong
}

/// Paths and re-exports that would hide an arrow from the rule above.
fn hidden_arrows(source: &Source) -> Vec<String> {
    let code = code(&source.text);
    let mut wrong = Vec::new();
    if code.contains("super::super") {
        wrong.push(format!("{}: `super::super` hides where an import comes from: write `crate::`", source.path));
    }
    if source.path.ends_with("src/lib.rs") && code.contains("pub use") {
        wrong.push(format!("{}: a re-export in lib.rs hides arrows: name the module", source.path));
    }
    wrong
}

fn long_files(sources: &[Source], exceptions: &[&str]) -> Vec<String> {
    let long: Vec<(&str, usize)> = sources
        .iter()
        .map(|source| (source.path.as_str(), source.text.lines().count()))
        .filter(|(_, lines)| *lines > FILE_LINES)
        .collect();
    let mut wrong: Vec<String> = long
        .iter()
        .filter(|(path, _)| !exceptions.contains(path))
        .map(|(path, lines)| format!("{path}: {lines} lines, the limit is {FILE_LINES}"))
        .collect();
    wrong.extend(unneeded(exceptions, long.iter().map(|(path, _)| (*path).to_owned())));
    wrong
}

/// Name and lines of code of each function: blank lines and comments are free.
fn functions(code: &str) -> Vec<(String, usize)> {
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let name = leading_ident(&code[at + 3..]);
        if name.is_empty() || (at > 0 && is_ident(bytes[at - 1])) {
            continue;
        }
        let (mut depth, mut body) = (0i32, None);
        for (here, byte) in bytes.iter().enumerate().skip(at) {
            match byte {
                b'(' | b'[' => depth += 1,
                b')' | b']' => depth -= 1,
                b'{' if depth == 0 => body = Some(here),
                b';' if depth == 0 => {}
                _ => continue,
            }
            if depth == 0 && matches!(byte, b'{' | b';') {
                break;
            }
        }
        let Some(open) = body else { continue };
        let end = block_end(bytes, open);
        let lines = code[open + 1..end.saturating_sub(1)].lines().filter(|line| !line.trim().is_empty()).count();
        found.push((name.to_owned(), lines));
    }
    found
}

fn long_functions(sources: &[Source], exceptions: &[&str]) -> Vec<String> {
    let mut long = Vec::new();
    for source in sources {
        let found = functions(&code(&source.text)).into_iter().filter(|(_, lines)| *lines > FUNCTION_LINES);
        long.extend(found.map(|(name, lines)| (format!("{}::{name}", source.path), lines)));
    }
    let mut wrong: Vec<String> = long
        .iter()
        .filter(|(name, _)| !exceptions.contains(&name.as_str()))
        .map(|(name, lines)| format!("{name}: {lines} lines of code, the limit is {FUNCTION_LINES}"))
        .collect();
    wrong.extend(unneeded(exceptions, long.into_iter().map(|(name, _)| name)));
    wrong
}

/// Exceptions that nothing needs any more.
fn unneeded(exceptions: &[&str], needed: impl Iterator<Item = String>) -> Vec<String> {
    let needed: BTreeSet<String> = needed.collect();
    let spare = exceptions.iter().filter(|entry| !needed.contains(**entry));
    spare.map(|entry| format!("{entry}: the exception is no longer needed, remove it")).collect()
}

/// Files of an integration test binary (`tests/it/`) that the file above them does not name, so that they never run.
fn forgotten_tests(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources {
        let Some((folder, inside)) = source.path.split_once("/tests/it/") else { continue };
        // A folder is named in main.rs, what lies in it in its own mod.rs.
        let (root, module) = match inside.split_once('/') {
            None => ("main.rs".to_owned(), inside),
            Some((module, "mod.rs")) => ("main.rs".to_owned(), module),
            Some((outer, module)) => (format!("{outer}/mod.rs"), module),
        };
        let (module, root) = (module.trim_end_matches(".rs"), format!("{folder}/tests/it/{root}"));
        let listed = sources.iter().find(|other| other.path == root).map(|other| code(&other.text)).unwrap_or_default();
        if module != "main" && !listed.contains(&format!("mod {module};")) {
            wrong.push(format!("{}: `mod {module};` is missing in {root}, so it never runs", source.path));
        }
    }
    wrong
}

/// What a manifest gets wrong: our crates it may not use, foreign crates that belong elsewhere, no shared lints.
fn wrong_manifest(manifest: &str) -> Vec<String> {
    let mut section = "";
    let mut wrong = Vec::new();
    let (mut name, mut lints) = ("", false);
    let mut dependencies = Vec::new();
    for line in manifest.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
            continue;
        }
        let key = line.split(['=', '.', ' ']).next().unwrap_or(line);
        match section {
            "package" if key == "name" => name = line.split('"').nth(1).unwrap_or(""),
            "lints" => lints |= line.replace(' ', "") == "workspace=true",
            _ if section.ends_with("dependencies") => dependencies.push(key),
            _ => {}
        }
    }
    let Some((_, allowed)) = CRATES.iter().find(|(known, _)| *known == name) else {
        return vec![format!("crate `{name}` is not in CRATES: decide what it may depend on")];
    };
    if !lints {
        wrong.push(format!("{name}: `[lints] workspace = true` is missing"));
    }
    for dependency in dependencies {
        if CRATES.iter().any(|(ours, _)| *ours == dependency) && !allowed.contains(&dependency) {
            wrong.push(format!("{name}: must not depend on {dependency}"));
        }
        if RESERVED.iter().any(|(foreign, owner)| *foreign == dependency && *owner != name) {
            wrong.push(format!("{name}: {dependency} belongs to another crate"));
        }
    }
    wrong
}

/// Paths that a document names between backticks and that do not exist.
fn missing_paths(document: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let named = document.split('`').skip(1).step_by(2).filter(|text| {
        text.contains('/')
            && !text.contains([' ', '<', '*', '{', ':', '$'])
            && !text.starts_with(['/', '.', '~', '-'])
            && !text.starts_with("target/")
    });
    named.filter(|path| !exists(path.trim_end_matches('/'))).map(|path| format!("`{path}` does not exist")).collect()
}

// ---- over the workspace ------------------------------------------------------------------------------------------------

#[track_caller]
fn assert_none(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn arrows_point_downwards() {
    assert_none(sources().iter().flat_map(wrong_arrows).collect());
}

#[test]
fn no_arrow_is_hidden() {
    assert_none(sources().iter().flat_map(hidden_arrows).collect());
}

#[test]
fn files_are_short() {
    assert_none(long_files(&sources(), LONG_FILES));
}

#[test]
fn functions_are_short() {
    assert_none(long_functions(&sources(), LONG_FUNCTIONS));
}

#[test]
fn every_test_file_runs() {
    assert_none(forgotten_tests(&sources()));
}

#[test]
fn manifests_keep_the_crate_arrows() {
    let folders = ["gateway/wire", "gateway/contract", "gateway", "tui", "sandbox", "conformance"];
    let read = |folder: &str| std::fs::read_to_string(workspace().join(folder).join("Cargo.toml")).expect(folder);
    assert_none(folders.iter().flat_map(|folder| wrong_manifest(&read(folder))).collect());
}

#[test]
fn documents_name_paths_that_exist() {
    for document in ["README.md", "ARCHITECTURE.md"] {
        let text = std::fs::read_to_string(workspace().join(document)).expect(document);
        assert_none(missing_paths(&text, |path| workspace().join(path).exists()));
    }
}

// ---- each rule can fail ------------------------------------------------------------------------------------------------

#[test]
fn code_drops_comments_literals_and_tests() {
    let text = "// crate::a\n/* crate::b /* x */ */ let c = '{'; let l: &'static str = r#\"crate::\"d\"#; \"\\\"}\"\nmod tests { use crate::e; }\nend";
    let code = code(text);
    assert!(!code.contains("crate::") && code.contains("'static") && code.ends_with("\nend"), "{code}");
    assert_eq!(code.lines().count(), text.lines().count());
}

#[test]
fn an_upward_a_sideways_and_an_unknown_arrow_are_found() {
    let text = "use crate::{admin, crypto::{self, kms}, apis::roles};\nfn f() { crate::routing::g(crate::nowhere::X) }";
    let wrong = wrong_arrows(&Source::new("gateway/src/crypto/envelope.rs", text)).join("\n");
    for expected in ["upward arrow crypto -> admin", "sideways arrow crypto -> routing", "`crate::nowhere`"] {
        assert!(wrong.contains(expected), "{expected} not in: {wrong}");
    }
    assert_eq!(wrong.lines().count(), 3, "{wrong}");
}

#[test]
fn super_at_the_first_level_is_the_root() {
    let wrong = wrong_arrows(&Source::new("gateway/src/apis/mod.rs", "use super::session::Session;"));
    assert!(wrong.join("").contains("upward arrow apis -> session"), "{wrong:?}");
    assert!(wrong_arrows(&Source::new("gateway/src/apis/fetch.rs", "use super::roles::Role;")).is_empty());
}

#[test]
fn a_module_without_a_rank_is_found() {
    assert_eq!(wrong_arrows(&Source::new("gateway/src/helpers.rs", "")).len(), 1);
}

#[test]
fn hidden_arrows_are_found() {
    assert_eq!(hidden_arrows(&Source::new("gateway/src/a/b.rs", "use super::super::x;")).len(), 1);
    assert_eq!(hidden_arrows(&Source::new("gateway/src/lib.rs", "pub use session::run;")).len(), 1);
    assert!(hidden_arrows(&Source::new("gateway/src/lib.rs", "// pub use\npub mod session;")).is_empty());
}

#[test]
fn a_long_file_and_a_spare_exception_are_found() {
    let sources = [Source::new("a.rs", &"\n".repeat(FILE_LINES + 1)), Source::new("b.rs", "")];
    assert_eq!(long_files(&sources, &[]).len(), 1);
    assert!(long_files(&sources, &["a.rs"]).is_empty());
    assert_eq!(long_files(&sources, &["a.rs", "b.rs"]).len(), 1);
}

#[test]
fn a_long_function_and_a_spare_exception_are_found() {
    let body = "    step();\n".repeat(FUNCTION_LINES + 1);
    let text = format!("trait T {{ fn a(x: [u8; 4]); }}\nfn long() -> u8 {{\n{body}}}\nfn short() {{\n// \n}}\n");
    let sources = [Source::new("a.rs", &text)];
    let wrong = long_functions(&sources, &[]);
    assert!(wrong.len() == 1 && wrong[0].contains("a.rs::long: 61"), "{wrong:?}");
    assert!(long_functions(&sources, &["a.rs::long"]).is_empty());
    assert_eq!(long_functions(&sources, &["a.rs::long", "a.rs::short"]).len(), 1);
}

#[test]
fn a_forgotten_test_file_is_found() {
    let sources = [
        Source::new("gateway/tests/it/main.rs", "mod naming;\n// mod groups;\n"),
        Source::new("gateway/tests/it/naming.rs", ""),
        Source::new("gateway/tests/it/groups.rs", ""),
        Source::new("gateway/tests/it/spec/mod.rs", "mod table;"),
        Source::new("gateway/tests/it/spec/table.rs", ""),
        Source::new("gateway/tests/it/spec/roles.rs", ""),
    ];
    let wrong = forgotten_tests(&sources).join("\n");
    assert_eq!(wrong.lines().count(), 3, "{wrong}");
    for expected in ["groups.rs: `mod groups;`", "spec/mod.rs: `mod spec;`", "spec/roles.rs: `mod roles;`"] {
        assert!(wrong.contains(expected), "{expected} not in: {wrong}");
    }
}

#[test]
fn a_wrong_manifest_is_found() {
    let wrong =
        wrong_manifest("[package]\nname = \"wire\"\n[dependencies]\ncontract.workspace = true\naxum = \"0.8\"\n");
    assert_eq!(wrong.len(), 3, "{wrong:?}");
    let right = "[package]\nname = \"tui\"\n[lints]\nworkspace = true\n[dependencies]\nratatui.workspace = true\n";
    assert!(wrong_manifest(right).is_empty());
    assert_eq!(wrong_manifest("[package]\nname = \"new\"\n").len(), 1);
}

#[test]
fn a_path_that_does_not_exist_is_found() {
    let wrong = missing_paths("see `a/b.rs`, `gone/`, `cargo run`, `<x>/y` and `c`", |path| path == "a/b.rs");
    assert_eq!(wrong, ["`gone/` does not exist"]);
}
