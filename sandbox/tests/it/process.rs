//! Running the binary with a home and an environment of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A directory for one test; removed with it.
pub(crate) struct Place {
    root: PathBuf,
    variables: Vec<(String, String)>,
}

/// How a command ended.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    pub(crate) fn new(test: &str) -> Self {
        let root = std::env::temp_dir().join(format!("sandbox-it-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("work")).unwrap();
        Self { root, variables: Vec::new() }
    }

    pub(crate) fn with(mut self, variable: &str, value: impl Into<String>) -> Self {
        self.variables.push((variable.to_owned(), value.into()));
        self
    }

    /// A JDK whose `java` is this shell script.
    pub(crate) fn with_java(self, script: &str) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let home = self.root.join("jdk");
        fs::create_dir_all(home.join("bin")).unwrap();
        fs::write(home.join("release"), "JAVA_VERSION=\"17.0.1\"\n").unwrap();
        fs::write(home.join("bin/java"), format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(home.join("bin/java"), fs::Permissions::from_mode(0o755)).unwrap();
        let home = home.display().to_string();
        self.with("JAVA_HOME", home)
    }

    /// Where downloaded jars go.
    pub(crate) fn jars(&self) -> PathBuf {
        self.root.join("home/cache/kafka-4.3.0")
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.root.join("home/state")
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// Runs the binary with nothing of this process's environment.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_sandbox"))
            .args(arguments)
            .current_dir(self.work())
            .env_clear()
            .env("SANDBOX_HOME", self.root.join("home"))
            .env("HOME", &self.root)
            .env("DOCKER_HOST", "unix:///nowhere/docker.sock")
            .envs(self.variables.iter().map(|(variable, value)| (variable, value)))
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ended { code: status.code().unwrap_or(-1), stdout: text(stdout), stderr: text(stderr) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

impl Ended {
    /// That it ended with this code, said this on standard error, and put nothing on standard output.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32, said: &str) {
        assert_eq!((self.code, self.stdout.as_str()), (code, ""), "{}", self.stderr);
        assert!(self.stderr.contains(said), "{said:?} is not in {:?}", self.stderr);
    }
}

/// The files of a folder, none if it is not there.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
}
