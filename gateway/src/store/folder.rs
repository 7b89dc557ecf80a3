//! Resources as files of a folder, which somebody else writes: an editor, a checkout, a mounted volume.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use contract::resources::{Resource, ResourceKey};
use contract::strict::documents::read_all;

/// No file of resources is longer, in bytes: what is longer is something else.
const LONGEST_FILE: u64 = 16 * 1024 * 1024;
/// A folder of resources has no more files.
const MOST_FILES: usize = 10_000;
/// What files of resources are called.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// The folder, and how its files were when they were read.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    read: Option<Prints>,
    /// How they were at the last look.
    looked: Option<Prints>,
}

/// By which a changed file is known: inode, length, and time of the change.
type Prints = BTreeMap<PathBuf, (u64, u64, i64, i64)>;

/// What a look brought.
#[derive(Debug)]
pub enum Look {
    /// The files are as they were read, or are still being written.
    Nothing,
    /// What they declare.
    Declared(Vec<Resource>),
    /// Everything that is wrong with them, one a line.
    Wrong(String),
}

impl Folder {
    /// Nothing is read yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, read: None, looked: None }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the files if they have changed, and were the same at the look before: a file that is half written may be a whole
    /// one with fewer resources. Waits for the disk.
    pub fn look(&mut self) -> Look {
        let prints = match self.prints() {
            Ok(prints) => prints,
            Err(reason) => {
                (self.read, self.looked) = (None, None);
                return Look::Wrong(reason);
            }
        };
        let first = self.looked.is_none();
        let settled = first || self.looked.as_ref() == Some(&prints);
        self.looked = Some(prints.clone());
        if !settled || self.read.as_ref() == Some(&prints) {
            return Look::Nothing;
        }
        let look = resources(prints.keys());
        self.read = Some(prints);
        match look {
            Ok(resources) => Look::Declared(resources),
            Err(problems) => Look::Wrong(problems.join("\n")),
        }
    }

    fn prints(&self) -> Result<Prints, String> {
        let failed = |error: std::io::Error| format!("cannot read the folder {}: {error}", self.path.display());
        let mut prints = Prints::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
            if hidden || !extension.is_some_and(|extension| EXTENSIONS.contains(&extension)) {
                continue;
            }
            // A file that goes in this moment shows at the next look.
            let Ok(found) = fs::metadata(&path) else { continue };
            if found.is_file() {
                prints.insert(path, (found.ino(), found.len(), found.mtime(), found.mtime_nsec()));
            }
            if prints.len() > MOST_FILES {
                return Err(format!("the folder {} has more than {MOST_FILES} files", self.path.display()));
            }
        }
        Ok(prints)
    }
}

/// The resources of all files, or everything that is wrong with any.
fn resources<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Result<Vec<Resource>, Vec<String>> {
    let (mut resources, mut problems) = (Vec::new(), Vec::new());
    let mut first: BTreeMap<ResourceKey, String> = BTreeMap::new();
    for path in paths {
        let name = path.display();
        let text = match text(path) {
            Ok(text) => text,
            Err(reason) => {
                problems.push(format!("{name}: {reason}"));
                continue;
            }
        };
        let (documents, flaws) = read_all(&text);
        problems.extend(flaws.iter().map(|flaw| format!("{name}: {flaw}")));
        for document in documents {
            let key = document.resource.key();
            let place = format!("{name}: document {}", document.number);
            if let Some(other) = first.get(&key) {
                problems.push(format!("{place}: {key} is declared twice, also in {other}: keep one of them"));
                continue;
            }
            first.insert(key, place);
            resources.push(document.resource);
        }
    }
    if problems.is_empty() { Ok(resources) } else { Err(problems) }
}

fn text(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    let read = file.take(LONGEST_FILE + 1).read_to_end(&mut bytes);
    read.map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > LONGEST_FILE {
        return Err(format!("has more than {LONGEST_FILE} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEV: &str = "kind: VirtualCluster\napiVersion: gateway/v2\nmetadata: { name: dev }\nspec: {}\n";

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("folder-of-resources-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn names(look: Look) -> Vec<String> {
        match look {
            Look::Declared(resources) => resources.iter().map(|resource| resource.key().to_string()).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn files_are_read_once_they_are_written() {
        let path = folder("written");
        fs::write(path.join("a.yaml"), format!("{DEV}---\n{}", DEV.replace("dev", "prod"))).unwrap();
        fs::write(path.join("notes.txt"), "no resource").unwrap();
        fs::write(path.join(".hidden.yaml"), "half").unwrap();
        let mut folder = Folder::new(path.clone());
        assert_eq!(names(folder.look()), ["VirtualCluster/dev", "VirtualCluster/prod"]);
        assert!(matches!(folder.look(), Look::Nothing));
        fs::write(path.join("b.json"), "").unwrap();
        assert!(matches!(folder.look(), Look::Nothing), "it may be half of a file");
        fs::write(
            path.join("b.json"),
            serde_yaml::from_str::<serde_json::Value>(&DEV.replace("dev", "b")).unwrap().to_string(),
        )
        .unwrap();
        assert!(matches!(folder.look(), Look::Nothing), "it has just changed");
        assert_eq!(names(folder.look()).len(), 3);
        fs::remove_file(path.join("a.yaml")).unwrap();
        assert!(matches!(folder.look(), Look::Nothing));
        assert_eq!(names(folder.look()), ["VirtualCluster/b"]);
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn everything_that_is_wrong_is_told_with_its_file() {
        let path = folder("wrong");
        fs::write(path.join("a.yaml"), DEV).unwrap();
        fs::write(path.join("b.yaml"), DEV).unwrap();
        fs::write(path.join("c.yaml"), DEV.replace("spec", "spek")).unwrap();
        fs::write(path.join("d.yaml"), [0xff, 0xfe]).unwrap();
        let mut folder = Folder::new(path.clone());
        let Look::Wrong(problems) = folder.look() else { panic!("they are wrong") };
        let told = problems.lines().collect::<Vec<_>>();
        for (file, what) in
            [("b.yaml", "is declared twice"), ("c.yaml", "did you mean 'spec'"), ("d.yaml", "not UTF-8")]
        {
            assert!(told.iter().any(|line| line.contains(file) && line.contains(what)), "{file}: {problems}");
        }
        fs::remove_dir_all(&path).unwrap();
        assert!(matches!(folder.look(), Look::Wrong(reason) if reason.contains("cannot read the folder")));
    }
}
