//! A provider that is a program: it runs once for each request, reads the prompt and writes the answer.

mod form;
mod group;
mod output;
mod prompt;
mod request;
mod text_writer;

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use auxot_protocol::Complete;
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, timeout, timeout_at};

use super::config::{CliConfig, CliInput, ProviderConfig};
use super::run::RunFailure;
use crate::failure::{BadRequest, Failure};
use crate::hub::{AsChat, ChatJob, ProviderJob, RequestedJob};
use crate::provider_fault::ProviderReason;
use form::AnswerApi;
use group::ProcessGroup;
use output::OutputText;
use text_writer::TextWriter;

/// The paths that it answers besides those of chats.
pub(super) const PATHS: &[&str] = &["/v1/completions", "/v1/messages", "/v1/responses"];
/// Variables of the router that every program gets.
const ENVIRONMENT: [&str; 5] = ["PATH", "HOME", "USER", "LANG", "TMPDIR"];
/// How long a program may run on after it has closed its output.
const EXIT_TIMEOUT: Duration = Duration::from_secs(5);
/// The most bytes that are read at once.
const PIECE: usize = 16 * 1024;

/// A program with its limits.
#[derive(Debug)]
pub(super) struct Program {
    name: Arc<str>,
    config: CliConfig,
    first_byte_timeout: Duration,
}

impl Program {
    pub(super) fn new(name: &Arc<str>, provider: &ProviderConfig, config: &CliConfig) -> Self {
        Self { name: name.clone(), config: config.clone(), first_byte_timeout: provider.first_byte_timeout }
    }

    /// Answers a job. A drop of this kills the program and all that it has started.
    pub(super) async fn answer(&self, job: &ProviderJob) -> Result<Complete<'static>, RunFailure> {
        let input = self.input(&job.request, &job.model).map_err(RunFailure::of_client)?;
        let mut child = self.spawn(&job.model)?;
        let mut group = ProcessGroup::of(&child);
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(self.fault(ProviderReason::NotStarted("it has no pipes".to_owned())));
        };
        let answering = self.pass_on(job, &mut child, &mut group, stdout);
        let writing = write(stdin, input);
        tokio::pin!(answering, writing);
        let mut is_written = false;
        loop {
            tokio::select! {
                ended = &mut answering => return ended,
                () = &mut writing, if !is_written => is_written = true,
            }
        }
    }

    /// What the program reads, or why it cannot get this request.
    fn input(&self, request: &RequestedJob, model: &str) -> Result<Bytes, Failure> {
        let chat = match (&request.chat, AnswerApi::of(request.whole.path())) {
            (AsChat::Job(chat), _) => chat,
            (AsChat::Impossible(failure), _) => return Err(failure.clone()),
            (AsChat::Unneeded, Some(api)) => return self.input_of(api, request, model),
            (AsChat::Unneeded, None) => return Err(Failure::Unsupported(request.whole.http.path.clone())),
        };
        if chat.job.tools.is_some() {
            return Err(Failure::Unsupported("tools".to_owned()));
        }
        match (self.config.input, chat) {
            (CliInput::Json, _) => Ok(request.whole.body_for(model)),
            (CliInput::Text, ChatJob { required_parameter: Some(name), .. }) => Err(Failure::Unsupported(name.clone())),
            (CliInput::Text, ChatJob { job, .. }) => {
                let text = job.messages.as_deref().and_then(prompt::text);
                let fault = || BadRequest::new("cannot pass on messages that are not text").of("messages");
                text.map(Bytes::from).ok_or_else(|| fault().into())
            }
        }
    }

    /// The same of a request that is no chat.
    fn input_of(&self, api: AnswerApi, request: &RequestedJob, model: &str) -> Result<Bytes, Failure> {
        let body = &request.whole.http.body;
        match self.config.input {
            CliInput::Text => request::prompt(api, body).map(Bytes::from),
            CliInput::Json if request::has_tools(body) => Err(Failure::Unsupported("tools".to_owned())),
            CliInput::Json => Ok(request.whole.body_for(model)),
        }
    }

    fn spawn(&self, model: &str) -> Result<Child, RunFailure> {
        let (program, arguments) =
            self.config.command.split_first().map_or(("", &[][..]), |(first, rest)| (first, rest));
        let known = ENVIRONMENT.iter().copied().chain(self.config.environment.iter().map(String::as_str));
        Command::new(program)
            .args(arguments.iter().map(|argument| argument.replace("{model}", model)))
            .current_dir(&self.config.folder)
            .env_clear()
            .envs(known.filter_map(|name| Some((name, std::env::var_os(name)?))))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // It may repeat the prompt there.
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|fault| self.fault(ProviderReason::NotStarted(fault.to_string())))
    }

    /// Passes the output on until the program ends.
    async fn pass_on(
        &self,
        job: &ProviderJob,
        child: &mut Child,
        group: &mut ProcessGroup,
        mut stdout: ChildStdout,
    ) -> Result<Complete<'static>, RunFailure> {
        let mut writer = TextWriter::of(job);
        let mut output = OutputText::default();
        let first_byte = Instant::now() + self.first_byte_timeout;
        let mut bytes = vec![0; PIECE];
        let (mut total, mut status) = (0, None);
        loop {
            let has_text = output.has_text();
            let reading = async {
                // The limit for the whole answer is that of the run.
                match has_text {
                    true => Ok(stdout.read(&mut bytes).await),
                    false => timeout_at(first_byte, stdout.read(&mut bytes)).await,
                }
            };
            let read = tokio::select! {
                read = reading => read,
                ended = child.wait(), if status.is_none() => {
                    // What it has started may hold its output open; what it has written is still read.
                    status = Some(ended);
                    group.kill();
                    continue;
                }
            };
            let length = match read {
                Ok(Ok(0)) => break,
                Ok(Ok(length)) => length,
                Ok(Err(_)) => return Err(self.fault(ProviderReason::Cut)),
                Err(_) => return Err(self.fault(ProviderReason::Silent(self.first_byte_timeout.as_secs()))),
            };
            total += length;
            if total > self.config.max_output {
                return Err(self.fault(ProviderReason::TooLarge(self.config.max_output)));
            }
            let text = output.read(&bytes[..length]);
            if !text.is_empty() {
                writer.text(&text).await?;
            }
        }
        let ended = match status {
            Some(ended) => ended,
            None => timeout(EXIT_TIMEOUT, child.wait())
                .await
                .map_err(|_| self.fault(ProviderReason::TooLong(EXIT_TIMEOUT.as_secs())))?,
        };
        group.kill();
        match ended {
            Ok(status) if !status.success() => Err(self.fault(ProviderReason::Ended(status.to_string()))),
            Err(fault) => Err(self.fault(ProviderReason::Ended(fault.to_string()))),
            Ok(_) if !output.has_text() => Err(self.fault(ProviderReason::WrongAnswer("no text"))),
            Ok(_) => writer.complete().await,
        }
    }

    fn fault(&self, reason: ProviderReason) -> RunFailure {
        RunFailure::of_provider(&self.name, reason)
    }
}

/// Writes the input. A program that does not read all of it is not at fault.
async fn write(mut stdin: ChildStdin, input: Bytes) {
    let _closed = stdin.write_all(&input).await;
    let _closed = stdin.shutdown().await;
}
