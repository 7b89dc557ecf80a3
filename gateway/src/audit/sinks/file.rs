//! A file that is only ever appended to. Whoever renames it (`logrotate`) finds a new one in its place at the next event, or at
//! once after SIGHUP; the chain goes on there.

use std::fs::TryLockError;
use std::io::{self, ErrorKind, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

use super::SinkError;
use crate::config::AuditFile;

/// No line is longer: it holds a dozen texts of some hundred characters.
const LONGEST_LINE: u64 = 64 << 10;
/// What is recorded is the operator's business only.
const MODE: u32 = 0o600;

#[derive(Debug)]
pub(super) struct FileSink {
    path: PathBuf,
    fsync: bool,
    file: File,
}

impl FileSink {
    /// Opens the file, or makes it; returns its last line, if it has any.
    pub(super) async fn open(settings: &AuditFile) -> Result<(Self, Option<Vec<u8>>), SinkError> {
        let opened = async {
            let mut file = open(&settings.path).await?;
            let last = last_line(&mut file).await?;
            if last.as_ref().is_some_and(|(_, whole)| !whole) {
                // What a crash cut off stays as it is, and what follows begins a line of its own.
                file.write_all(b"\n").await?;
                file.flush().await?;
            }
            Ok((file, last))
        };
        let (file, last) = opened.await.map_err(|source| failed(&settings.path, source))?;
        let sink = Self { path: settings.path.clone(), fsync: settings.fsync, file };
        Ok((sink, last.map(|(line, _)| line)))
    }

    pub(super) async fn append(&mut self, lines: &[String]) -> Result<(), SinkError> {
        self.write(lines).await.map_err(|source| failed(&self.path, source))
    }

    async fn write(&mut self, lines: &[String]) -> io::Result<()> {
        self.follow_renames().await?;
        let before = self.file.metadata().await?.len();
        let text = lines.join("\n") + "\n";
        let written = async {
            self.file.write_all(text.as_bytes()).await?;
            self.file.flush().await?;
            if self.fsync { self.file.sync_data().await } else { Ok(()) }
        };
        let written = written.await;
        if written.is_err() {
            // The same lines come again: half of them must not stand before.
            self.file.set_len(before).await?;
        }
        written
    }

    /// Looks at once whether the path still stands for the open file.
    pub(super) async fn reopen(&mut self) -> Result<(), SinkError> {
        self.follow_renames().await.map_err(|source| failed(&self.path, source))
    }

    async fn follow_renames(&mut self) -> io::Result<()> {
        let open_now = self.file.metadata().await?;
        let at_path = match tokio::fs::metadata(&self.path).await {
            Ok(found) => Some((found.dev(), found.ino())),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if at_path != Some((open_now.dev(), open_now.ino())) {
            self.file = open(&self.path).await?;
        }
        Ok(())
    }
}

fn failed(path: &Path, source: io::Error) -> SinkError {
    SinkError::File { path: path.display().to_string(), source }
}

/// Two gateways that append to one file would each break the chain of the other.
async fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).append(true).create(true).mode(MODE).open(path).await?.into_std().await;
    match file.try_lock() {
        Ok(()) => Ok(File::from_std(file)),
        Err(TryLockError::WouldBlock) => {
            Err(io::Error::other("another process writes to it: give each gateway its own"))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The last line without its end, and whether it has one.
async fn last_line(file: &mut File) -> io::Result<Option<(Vec<u8>, bool)>> {
    let length = file.metadata().await?.len();
    let _ = file.seek(SeekFrom::Start(length.saturating_sub(LONGEST_LINE))).await?;
    let mut end = Vec::new();
    let _ = file.take(LONGEST_LINE).read_to_end(&mut end).await?;
    let whole = end.last() == Some(&b'\n');
    let text = if whole { &end[..end.len() - 1] } else { &end[..] };
    let last = text.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok((!end.is_empty()).then(|| (last.to_vec(), whole)))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("audit-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        fn settings(&self) -> AuditFile {
            AuditFile { path: self.0.join("audit.log"), fsync: true }
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn lines(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[tokio::test]
    async fn lines_are_appended_and_the_last_one_is_found_again() {
        let folder = Folder::new("append");
        let (mut sink, last) = FileSink::open(&folder.settings()).await.unwrap();
        assert_eq!(last, None);
        sink.append(&lines(&["one", "two"])).await.unwrap();
        sink.append(&lines(&["three"])).await.unwrap();
        drop(sink);
        let (_sink, last) = FileSink::open(&folder.settings()).await.unwrap();
        assert_eq!(last.as_deref(), Some(&b"three"[..]));
        let path = folder.settings().path;
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\nthree\n");
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, MODE, "for nobody else to read");
    }

    #[tokio::test]
    async fn a_line_that_was_cut_off_stays_and_the_next_begins_anew() {
        let folder = Folder::new("cut");
        std::fs::write(folder.settings().path, "whole\nhal").unwrap();
        let (mut sink, last) = FileSink::open(&folder.settings()).await.unwrap();
        assert_eq!(last.as_deref(), Some(&b"hal"[..]));
        sink.append(&lines(&["next"])).await.unwrap();
        assert_eq!(std::fs::read_to_string(folder.settings().path).unwrap(), "whole\nhal\nnext\n");
    }

    #[tokio::test]
    async fn a_renamed_file_is_followed_by_a_new_one() {
        let folder = Folder::new("rename");
        let path = folder.settings().path;
        let (mut sink, _) = FileSink::open(&folder.settings()).await.unwrap();
        sink.append(&lines(&["one"])).await.unwrap();
        std::fs::rename(&path, folder.0.join("audit.log.1")).unwrap();
        sink.append(&lines(&["two"])).await.unwrap();
        assert_eq!(std::fs::read_to_string(folder.0.join("audit.log.1")).unwrap(), "one\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two\n");
        std::fs::remove_file(&path).unwrap();
        sink.reopen().await.unwrap();
        assert!(path.exists(), "also without a line");
    }

    #[tokio::test]
    async fn a_file_that_another_gateway_writes_to_is_refused() {
        let folder = Folder::new("shared");
        let (_sink, _) = FileSink::open(&folder.settings()).await.unwrap();
        let refused = FileSink::open(&folder.settings()).await.unwrap_err().to_string();
        assert!(refused.contains("another process writes to it"), "{refused}");
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_is_named() {
        let settings = AuditFile { path: "/nowhere/audit.log".into(), fsync: true };
        let refused = FileSink::open(&settings).await.unwrap_err().to_string();
        assert!(refused.starts_with("audit file /nowhere/audit.log: "), "{refused}");
    }
}
