//! A file that is only ever appended to. Whoever renames it (`logrotate`) finds a new one in its place at the next event, or at
//! once after SIGHUP; the chain goes on there.

use std::io::{ErrorKind, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

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

    async fn write(&mut self, lines: &[String]) -> std::io::Result<()> {
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

    /// Opens the path anew where it no longer stands for the open file.
    pub(super) async fn follow_renames(&mut self) -> std::io::Result<()> {
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

fn failed(path: &std::path::Path, source: std::io::Error) -> SinkError {
    SinkError::File { path: path.display().to_string(), source }
}

async fn open(path: &std::path::Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(MODE).open(path).await
}

/// The last line without its end, and whether it has one.
async fn last_line(file: &mut File) -> std::io::Result<Option<(Vec<u8>, bool)>> {
    let length = file.metadata().await?.len();
    let _ = file.seek(SeekFrom::Start(length.saturating_sub(LONGEST_LINE))).await?;
    let mut end = Vec::new();
    let _ = file.take(LONGEST_LINE).read_to_end(&mut end).await?;
    let whole = end.last() == Some(&b'\n');
    let text = if whole { &end[..end.len() - 1] } else { &end[..] };
    let last = text.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok((!end.is_empty()).then(|| (last.to_vec(), whole)))
}
