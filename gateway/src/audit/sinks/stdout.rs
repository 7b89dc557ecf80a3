//! Standard output, for what collects the output of processes.

use tokio::io::AsyncWriteExt as _;

use super::SinkError;

#[derive(Debug)]
pub(super) struct StdoutSink;

impl StdoutSink {
    pub(super) async fn append(&mut self, lines: &[String]) -> Result<(), SinkError> {
        let mut stdout = tokio::io::stdout();
        let text = lines.join("\n") + "\n";
        stdout.write_all(text.as_bytes()).await.map_err(SinkError::Stdout)?;
        stdout.flush().await.map_err(SinkError::Stdout)
    }
}
