//! The way of a program's text to the client: as the text of a chat, or as an answer of another API.

use auxot_protocol::Complete;

use super::super::run::{AnswerWriter, RunFailure};
use super::form::{AnswerApi, AnswerForm};
use crate::hub::ProviderJob;
use crate::unix_time::now;

/// Text on its way.
#[derive(Debug)]
pub(super) struct TextWriter {
    writer: AnswerWriter,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// The router makes the answer of the text.
    Chat,
    /// It is sent at the end.
    Whole(AnswerForm),
    /// It is sent as it comes; before its first event the head is.
    Stream { form: AnswerForm, has_begun: bool },
}

impl TextWriter {
    pub(super) fn of(job: &ProviderJob) -> Self {
        let request = &job.request;
        let form = AnswerApi::of(request.whole.path()).map(|api| {
            let model = request.model.as_deref().unwrap_or_default();
            AnswerForm::new(api, &job.id, model, now())
        });
        let form = match form {
            None => Form::Chat,
            Some(form) if request.stream => Form::Stream { form, has_begun: false },
            Some(form) => Form::Whole(form),
        };
        Self { writer: AnswerWriter::of(job), form }
    }

    /// Writes text, as fast as the client takes it.
    pub(super) async fn text(&mut self, text: &str) -> Result<(), RunFailure> {
        match &mut self.form {
            Form::Chat => self.writer.text(text).await,
            Form::Whole(form) => {
                form.push(text);
                self.writer.touch();
                Ok(())
            }
            Form::Stream { form, has_begun } => {
                if !std::mem::replace(has_begun, true) {
                    self.writer.head(200, head("text/event-stream"))?;
                }
                self.writer.data(form.delta(text).into()).await
            }
        }
    }

    /// The end of the text.
    pub(super) async fn complete(mut self) -> Result<Complete<'static>, RunFailure> {
        match &mut self.form {
            Form::Chat => {
                return Ok(Complete { length: None, finish_reason: Some("stop".into()), ..self.writer.complete() });
            }
            Form::Whole(form) => {
                self.writer.head(200, head("application/json"))?;
                self.writer.data(form.whole().into()).await?;
            }
            Form::Stream { form, .. } => self.writer.data(form.end().into()).await?,
        }
        Ok(self.writer.complete())
    }
}

fn head(content_type: &str) -> Vec<(String, String)> {
    vec![("content-type".to_owned(), content_type.to_owned())]
}
