//! Names of sandboxes: which one a command means, and how any text becomes a name.

use std::fs;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;

use crate::error::{Failure, Kind, Result};

/// A name appears in addresses, where a label ends at 63 characters; 40 leaves room for what stands around it.
const MAX_LENGTH: usize = 40;

/// The file that pins a name for a directory and those below.
pub const PIN_FILE: &str = ".sandbox";

/// Where a name came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Argument,
    Variable,
    Pin,
    PullRequest,
    Branch,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    pub text: String,
    pub source: Source,
}

/// What a name may be taken from, so that tests need no real environment.
#[allow(missing_debug_implementations, reason = "a function has nothing to print")]
pub struct Surroundings<'a> {
    pub directory: &'a Path,
    pub variable: &'a dyn Fn(&str) -> Option<String>,
}

/// The name a command means: its argument, `SANDBOX_NAME`, `.sandbox`, the pull request in CI, the git branch.
pub fn resolve(argument: Option<&str>, around: &Surroundings<'_>) -> Result<Name> {
    if let Some(text) = argument {
        return Ok(Name { text: slug(text, text)?, source: Source::Argument });
    }
    if let Some(text) = (around.variable)("SANDBOX_NAME").filter(|text| !text.is_empty()) {
        return Ok(Name { text: slug(&text, &text)?, source: Source::Variable });
    }
    if let Some(text) = pinned(around.directory) {
        return Ok(Name { text: slug(&text, &text)?, source: Source::Pin });
    }
    if let Some(number) = pull_request(around.variable) {
        return Ok(Name { text: format!("pr-{number}"), source: Source::PullRequest });
    }
    if let Some(repository) = Repository::around(around.directory)
        && let Some(branch) = repository.branch()
    {
        let unique = format!("{}\n{branch}", repository.identity());
        return Ok(Name { text: slug(&branch, &unique)?, source: Source::Branch });
    }
    Err(Failure::new(
        Kind::Usage,
        "no name: none was given, and there is no pull request or git branch to take it from",
    )
    .hint("give one, such as `sandbox up demo`, or set SANDBOX_NAME"))
}

/// Lower case, `[a-z0-9-]`, at most 40 characters. If that loses anything, six digits of a hash of `unique` follow, so
/// that `feature/a_b` and `feature/a-b` stay two sandboxes.
pub fn slug(text: &str, unique: &str) -> Result<String> {
    let mut slug = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            'a'..='z' | '0'..='9' => slug.push(c),
            'A'..='Z' => slug.push(c.to_ascii_lowercase()),
            _ if slug.ends_with('-') || slug.is_empty() => {}
            _ => slug.push('-'),
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() {
        return Err(Failure::new(Kind::Usage, format!("'{text}' cannot be a name: it has no letter a-z and no digit")));
    }
    if slug == text && slug.len() <= MAX_LENGTH {
        return Ok(slug.to_owned());
    }
    let hash = digest::digest(&digest::SHA256, unique.as_bytes());
    let hash = hash.as_ref().iter().take(3).map(|byte| format!("{byte:02x}")).collect::<String>();
    let kept = slug.get(..slug.len().min(MAX_LENGTH - 7)).unwrap_or(slug).trim_end_matches('-');
    Ok(format!("{kept}-{hash}"))
}

/// Remembers a name for this directory; the file is no one else's business, so git is told to overlook it.
pub fn pin(directory: &Path, name: &str) -> Result<()> {
    let path = directory.join(PIN_FILE);
    if fs::read_to_string(&path).is_ok_and(|text| text.trim() == name) {
        return Ok(());
    }
    fs::write(&path, format!("{name}\n")).map_err(|error| Failure::file("write", &path, &error))?;
    if let Some(repository) = Repository::around(directory) {
        repository.exclude(PIN_FILE)?;
    }
    Ok(())
}

/// Forgets the pin of a sandbox that is gone; pins of others stay.
pub fn unpin(directory: &Path, name: &str) {
    if let Some(path) = pin_file(directory)
        && fs::read_to_string(&path).is_ok_and(|text| text.trim() == name)
    {
        // A pin that stays behind does no harm: the next command says that the sandbox does not exist.
        let _ = fs::remove_file(path);
    }
}

fn pin_file(directory: &Path) -> Option<PathBuf> {
    directory.ancestors().map(|ancestor| ancestor.join(PIN_FILE)).find(|path| path.is_file())
}

fn pinned(directory: &Path) -> Option<String> {
    let text = fs::read_to_string(pin_file(directory)?).ok()?;
    text.split_whitespace().next().map(str::to_owned)
}

/// The number of the pull or merge request that CI works on.
fn pull_request(variable: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let github = variable("GITHUB_REF")
        .and_then(|reference| reference.strip_prefix("refs/pull/")?.split('/').next().map(str::to_owned));
    let named = ["CI_MERGE_REQUEST_IID", "CHANGE_ID", "BITBUCKET_PR_ID", "BUILDKITE_PULL_REQUEST"];
    github
        .into_iter()
        .chain(named.into_iter().filter_map(variable))
        .find(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A git repository as far as names need it; read from its files, so that git need not be installed.
struct Repository {
    /// The git directory of this work tree.
    git: PathBuf,
    /// The one that all work trees share.
    shared: PathBuf,
}

impl Repository {
    fn around(directory: &Path) -> Option<Self> {
        let dot_git = directory.ancestors().map(|ancestor| ancestor.join(".git")).find(|path| path.exists())?;
        let git = if dot_git.is_file() {
            let text = fs::read_to_string(&dot_git).ok()?;
            dot_git.parent()?.join(text.strip_prefix("gitdir:")?.trim())
        } else {
            dot_git
        };
        let shared = match fs::read_to_string(git.join("commondir")) {
            Ok(text) => git.join(text.trim()),
            Err(_) => git.clone(),
        };
        Some(Self { git, shared })
    }

    fn branch(&self) -> Option<String> {
        let head = fs::read_to_string(self.git.join("HEAD")).ok()?;
        head.trim().strip_prefix("ref: refs/heads/").map(str::to_owned)
    }

    /// The same for every clone of one repository: the address of its origin, else where it lies.
    fn identity(&self) -> String {
        let config = fs::read_to_string(self.shared.join("config")).unwrap_or_default();
        let mut in_origin = false;
        for line in config.lines().map(str::trim) {
            if line.starts_with('[') {
                in_origin = line == r#"[remote "origin"]"#;
            } else if in_origin && let Some(url) = line.strip_prefix("url") {
                return url.trim_start_matches([' ', '=']).to_owned();
            }
        }
        self.shared.display().to_string()
    }

    fn exclude(&self, pattern: &str) -> Result<()> {
        let path = self.shared.join("info").join("exclude");
        let mut text = fs::read_to_string(&path).unwrap_or_default();
        if text.lines().any(|line| line.trim() == pattern) {
            return Ok(());
        }
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(pattern);
        text.push('\n');
        fs::create_dir_all(self.shared.join("info"))
            .and_then(|()| fs::write(&path, text))
            .map_err(|error| Failure::file("write", &path, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("naming-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn resolved(directory: &Path, variables: &[(&str, &str)]) -> Result<Name> {
        let variable =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        resolve(None, &Surroundings { directory, variable: &variable })
    }

    #[test]
    fn what_needs_no_change_stays() {
        assert_eq!(slug("demo", "").unwrap(), "demo");
        assert_eq!(slug("pr-42", "").unwrap(), "pr-42");
    }

    #[test]
    fn a_lossy_slug_tells_its_origins_apart() {
        let (one, other) =
            (slug("feature/a_b", "r\nfeature/a_b").unwrap(), slug("feature/a-b", "r\nfeature/a-b").unwrap());
        assert!(one.starts_with("feature-a-b-") && other.starts_with("feature-a-b-"), "{one} {other}");
        assert_ne!(one, other);
        assert_ne!(slug("Demo", "Demo").unwrap(), "demo");
    }

    #[test]
    fn a_slug_fits_a_dns_label() {
        let long = slug(&"x".repeat(100), "u").unwrap();
        assert_eq!(long.len(), MAX_LENGTH);
        assert!(slug("---", "").is_err());
        assert!(slug("Ünïcödé", "").unwrap().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
    }

    #[test]
    fn sources_in_their_order() {
        let dir = scratch("order");
        assert_eq!(resolved(&dir, &[]).unwrap_err().kind, Kind::Usage);
        fs::create_dir_all(dir.join(".git")).unwrap();
        fs::write(dir.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
        assert_eq!(resolved(&dir, &[]).unwrap(), Name { text: "main".into(), source: Source::Branch });
        let ci = ("GITHUB_REF", "refs/pull/42/merge");
        assert_eq!(resolved(&dir, &[ci]).unwrap(), Name { text: "pr-42".into(), source: Source::PullRequest });
        pin(&dir, "pinned").unwrap();
        assert_eq!(fs::read_to_string(dir.join(".git/info/exclude")).unwrap(), ".sandbox\n");
        fs::create_dir(dir.join("below")).unwrap();
        assert_eq!(resolved(&dir.join("below"), &[ci]).unwrap().source, Source::Pin);
        assert_eq!(resolved(&dir, &[ci, ("SANDBOX_NAME", "said")]).unwrap().text, "said");
        unpin(&dir, "other");
        assert!(dir.join(PIN_FILE).exists());
        unpin(&dir, "pinned");
        assert!(!dir.join(PIN_FILE).exists());
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn not_a_pull_request() {
        assert_eq!(pull_request(&|name| (name == "BUILDKITE_PULL_REQUEST").then(|| "false".to_owned())), None);
        assert_eq!(pull_request(&|name| (name == "GITHUB_REF").then(|| "refs/heads/main".to_owned())), None);
    }

    #[test]
    fn a_detached_head_is_no_branch() {
        let dir = scratch("detached");
        fs::create_dir_all(dir.join(".git")).unwrap();
        fs::write(dir.join(".git/HEAD"), "19a20ff0000000000000000000000000000000000\n").unwrap();
        assert_eq!(resolved(&dir, &[]).unwrap_err().kind, Kind::Usage);
        fs::remove_dir_all(dir).unwrap();
    }
}
