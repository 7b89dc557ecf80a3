//! Finding a Java that can run Kafka.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Failure, Kind, Result};

/// What Apache Kafka 4 needs.
const MINIMUM: u32 = 17;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jdk {
    pub java: PathBuf,
    /// As the JDK writes it, such as `17.0.15`.
    pub version: String,
}

impl fmt::Display for Jdk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JDK {} ({})", self.version, self.java.display())
    }
}

/// `JAVA_HOME`'s, else the one on the `PATH`; new enough.
pub fn find() -> Result<Jdk> {
    let home = std::env::var_os("JAVA_HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    find_among(home.as_deref(), &std::env::split_paths(&path).collect::<Vec<_>>())
}

fn find_among(home: Option<&Path>, path: &[PathBuf]) -> Result<Jdk> {
    let candidates = home.map(|home| home.join("bin")).into_iter().chain(path.iter().cloned());
    let mut too_old = None;
    for java in candidates.map(|folder| folder.join("java")).filter(|java| java.is_file()) {
        let Some(version) = version(&java) else { continue };
        let jdk = Jdk { java, version };
        if major(&jdk.version).is_some_and(|major| major >= MINIMUM) {
            return Ok(jdk);
        }
        too_old = too_old.or(Some(jdk));
    }
    let found = match too_old {
        Some(jdk) => format!("only {jdk} was found, and Kafka needs JDK {MINIMUM} or newer"),
        None => format!("no JDK {MINIMUM} or newer was found, neither by JAVA_HOME nor on the PATH"),
    };
    Err(Failure::new(Kind::Unreachable, found).hint(
        "install one: Debian `apt install openjdk-17-jre-headless`, macOS `brew install openjdk`; or use --provider docker",
    ))
}

/// From the JDK's `release` file, which is quicker than starting it; else from `java -version`.
fn version(java: &Path) -> Option<String> {
    let home = fs::canonicalize(java).ok()?.parent()?.parent()?.to_owned();
    if let Ok(release) = fs::read_to_string(home.join("release")) {
        let line = release.lines().find_map(|line| line.strip_prefix("JAVA_VERSION="));
        if let Some(version) = line {
            return Some(version.trim_matches('"').to_owned());
        }
    }
    let output = Command::new(java).arg("-version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.split('"').nth(1).map(str::to_owned)
}

/// `17` of `17.0.15`, and `8` of `1.8.0_292`, as versions were written before 9.
fn major(version: &str) -> Option<u32> {
    let mut parts = version.split(['.', '_', '-', '+']).map(str::parse::<u32>);
    match parts.next()?.ok()? {
        1 => parts.next()?.ok(),
        major => Some(major),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fake(name: &str, version: &str) -> PathBuf {
        let home = std::env::temp_dir().join(format!("jdk-{name}-{}", std::process::id()));
        fs::create_dir_all(home.join("bin")).unwrap();
        fs::write(home.join("bin/java"), "").unwrap();
        fs::write(home.join("release"), format!("IMPLEMENTOR=\"x\"\nJAVA_VERSION=\"{version}\"\n")).unwrap();
        home
    }

    #[test]
    fn the_home_goes_before_the_path_unless_it_is_too_old() {
        let (old, new, newest) = (fake("old", "1.8.0_292"), fake("new", "17.0.15"), fake("newest", "25"));
        assert_eq!(find_among(Some(&newest), &[new.join("bin")]).unwrap().version, "25");
        assert_eq!(find_among(Some(&old), &[new.join("bin")]).unwrap().version, "17.0.15");
        let failure = find_among(Some(&old), &[]).unwrap_err();
        assert!(failure.message.starts_with("only JDK 1.8.0_292 ("), "{failure}");
        for home in [old, new, newest] {
            fs::remove_dir_all(home).unwrap();
        }
    }

    #[test]
    fn without_any_it_says_what_to_install() {
        let failure = find_among(None, &[]).unwrap_err();
        assert!(failure.message.starts_with("no JDK 17 or newer was found"), "{failure}");
        assert!(failure.hint.unwrap().contains("apt install openjdk-17-jre-headless"));
    }

    #[test]
    fn majors() {
        assert_eq!(major("17.0.15"), Some(17));
        assert_eq!(major("1.8.0_292"), Some(8));
        assert_eq!(major("26-ea"), Some(26));
        assert_eq!(major("x"), None);
    }
}
