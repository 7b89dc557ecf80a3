//! Resources out of files, with every complaint about them.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use contract::resources::{Resource, ResourceKey};
use contract::strict::documents::read_all;

use super::CliError;

/// No file of resources is longer, in bytes: what is longer is something else.
const LONGEST_FILE: u64 = 16 * 1024 * 1024;
/// What a folder's files of resources are called.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// A resource and where it was read.
#[derive(Debug)]
pub(super) struct Read {
    /// As `dev.yaml: document 2`.
    pub(super) place: String,
    pub(super) resource: Resource,
}

/// Everything that was read, and everything that is wrong, each with its file.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) resources: Vec<Read>,
    pub(super) problems: Vec<String>,
}

impl Files {
    /// Reads files, the files of folders, and standard input where it says `-`.
    pub(super) fn read(paths: &[PathBuf]) -> Result<Self, CliError> {
        let mut files = Self::default();
        for path in expanded(paths)? {
            files.add(&shown(&path), &text(&path)?);
        }
        files.find_repeated();
        Ok(files)
    }

    pub(super) fn add(&mut self, name: &str, text: &str) {
        let (documents, flaws) = read_all(text);
        self.problems.extend(flaws.iter().map(|flaw| format!("{name}: {flaw}")));
        let resources = documents.into_iter().map(|document| {
            let place = format!("{name}: document {}", document.number);
            Read { place, resource: document.resource }
        });
        self.resources.extend(resources);
    }

    /// What is declared twice would be as the last of them says, and nobody would see that.
    pub(super) fn find_repeated(&mut self) {
        let mut first: BTreeMap<ResourceKey, &str> = BTreeMap::new();
        for Read { place, resource } in &self.resources {
            let key = resource.key();
            if let Some(other) = first.get(&key) {
                self.problems.push(format!("{place}, {key}: is declared twice, also in {other}: keep one of them"));
            } else {
                first.insert(key, place);
            }
        }
    }

    /// The resources, if nothing is wrong with any.
    pub(super) fn flawless(self) -> Result<Vec<Read>, CliError> {
        if !self.problems.is_empty() {
            return Err(CliError::No(complaint(&self.problems)));
        }
        if self.resources.is_empty() {
            return Err(CliError::CannotTell("the files hold no resources".to_owned()));
        }
        Ok(self.resources)
    }
}

/// Every problem, one a line.
pub(super) fn complaint(problems: &[String]) -> String {
    let count = if problems.len() == 1 { "a problem".to_owned() } else { format!("{} problems", problems.len()) };
    let lines = problems.iter().map(|problem| format!("  {problem}")).collect::<Vec<_>>();
    format!("the files have {count}:\n{}", lines.join("\n"))
}

/// The files that are meant: a folder stands for those in it that are called like resources, in the order of their names.
pub(super) fn expanded(paths: &[PathBuf]) -> Result<Vec<PathBuf>, CliError> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let failed = |error: std::io::Error| CliError::CannotTell(format!("cannot read {}: {error}", path.display()));
        let entries = std::fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(failed)?;
        let known = |path: &PathBuf| {
            let extension = path.extension().and_then(|extension| extension.to_str());
            path.is_file() && extension.is_some_and(|extension| EXTENSIONS.contains(&extension))
        };
        let mut inside = entries.into_iter().map(|entry| entry.path()).filter(known).collect::<Vec<_>>();
        inside.sort();
        files.append(&mut inside);
    }
    Ok(files)
}

pub(super) fn shown(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}

pub(super) fn text(path: &Path) -> Result<String, CliError> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if path == Path::new("-") {
            std::io::stdin().lock().take(LONGEST_FILE + 1).read_to_end(&mut bytes)?;
        } else {
            std::fs::File::open(path)?.take(LONGEST_FILE + 1).read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    };
    let failed = |reason: String| CliError::CannotTell(format!("cannot read {}: {reason}", shown(path)));
    let bytes = read().map_err(|error| failed(error.to_string()))?;
    if bytes.len() as u64 > LONGEST_FILE {
        return Err(failed(format!("it has more than {LONGEST_FILE} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| failed("it is not UTF-8".to_owned()))
}
