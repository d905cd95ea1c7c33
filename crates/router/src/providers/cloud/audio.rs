//! Answers about recordings: speech is bytes, a transcript is JSON, text or events, whatever the request says.

use auxot_protocol::Complete;
use reqwest::Response;
use tokio::time::timeout;

use super::super::run::{AnswerWriter, RunFailure};
use super::{Cloud, FirstByte, content_type, passed_back};
use crate::hub::ProviderJob;
use crate::provider_fault::ProviderReason;

/// Whether the answers to a path are those.
pub(super) fn is_path(path: &str) -> bool {
    path.starts_with("/v1/audio/")
}

impl Cloud {
    /// Passes an answer on in the form that it has.
    pub(super) async fn audio(
        &self,
        job: &ProviderJob,
        response: Response,
        first_byte: FirstByte,
    ) -> Result<Complete<'static>, RunFailure> {
        let kind = content_type(&response).to_ascii_lowercase();
        match kind.split(';').next().unwrap_or_default().trim() {
            "text/event-stream" => self.stream(job, response, first_byte).await,
            "application/json" => self.whole(job, response).await,
            // A page of a proxy.
            "" | "text/html" => Err(self.wrong("an answer that is neither audio nor text")),
            _ => self.bytes(job, response).await,
        }
    }

    /// Passes bytes on as they come.
    async fn bytes(&self, job: &ProviderJob, mut response: Response) -> Result<Complete<'static>, RunFailure> {
        let head = passed_back(response.headers());
        let mut writer = AnswerWriter::of(job);
        let mut has_begun = false;
        loop {
            match timeout(self.idle_timeout, response.chunk()).await {
                Ok(Ok(Some(chunk))) => {
                    if !std::mem::replace(&mut has_begun, true) {
                        writer.head(200, head.clone())?;
                    }
                    writer.data(chunk).await?;
                }
                Ok(Ok(None)) if has_begun => return Ok(writer.complete()),
                Ok(Ok(None)) => return Err(self.wrong("an answer without a byte")),
                Ok(Err(_)) => return Err(self.fault(ProviderReason::Cut)),
                Err(_) => return Err(self.silent(self.idle_timeout)),
            }
        }
    }
}
