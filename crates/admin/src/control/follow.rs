//! Follows a stream of the control socket, over as many connections as it takes.

use std::path::Path;
use std::time::Duration;

use auxot_control_socket::{ControlError, path_part};
use http_body_util::{BodyExt, Limited};
use hyper::Method;
use hyper::header::HeaderValue;
use serde::de::DeserializeOwned;

use super::api::{Event, LogLine};
use super::client;

/// The longest line of a stream.
const LONGEST_LINE: usize = 1 << 20;
/// Pause before a stream that has ended goes on.
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);
/// The longest error that is read.
const LONGEST_ERROR: usize = 64 << 10;
/// A stream sends something at least this often; a silent one is lost.
const SILENCE: Duration = Duration::from_secs(45);

/// Calls `each` with every event from now on, until it returns `false`.
///
/// # Errors
/// Where the worker does not answer, or ends.
pub async fn events(socket: &Path, each: impl FnMut(Event) -> bool) -> Result<(), ControlError> {
    follow(socket, "/v1/events/stream", each).await
}

/// Calls `each` with the newest `lines` lines of a model's engines and every line from now on, until it returns `false`.
///
/// # Errors
/// Where the worker does not answer or ends, or there is no such model.
pub async fn log(
    socket: &Path,
    model: &str,
    lines: usize,
    each: impl FnMut(LogLine) -> bool,
) -> Result<(), ControlError> {
    let path = format!("/v1/models/{}/log/stream?lines={lines}", path_part(model));
    follow(socket, &path, each).await
}

async fn follow<T: DeserializeOwned>(
    socket: &Path,
    path: &str,
    mut each: impl FnMut(T) -> bool,
) -> Result<(), ControlError> {
    let mut last = None;
    while read(socket, path, &mut last, &mut each).await? {
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
    Ok(())
}

/// Reads one connection to its end; whether the stream goes on.
async fn read<T: DeserializeOwned>(
    socket: &Path,
    path: &str,
    last: &mut Option<String>,
    each: &mut impl FnMut(T) -> bool,
) -> Result<bool, ControlError> {
    let worker = client::of(socket);
    let (mut sender, connection) = worker.connect().await?;
    let mut request = worker.request(Method::GET, path, None::<&()>)?;
    if let Some(id) = last.as_ref().and_then(|id| HeaderValue::from_str(id).ok()) {
        request.headers_mut().insert("last-event-id", id);
    }
    let reading = async {
        let answer = sender.send_request(request).await.map_err(|fault| worker.unreachable(fault))?;
        let status = answer.status();
        if !status.is_success() {
            let body = Limited::new(answer.into_body(), LONGEST_ERROR).collect().await;
            let body = body.map_err(|fault| worker.unreachable(fault))?;
            return Err(worker.refused(status, &body.to_bytes()));
        }
        let (mut body, mut lines) = (answer.into_body(), Lines::default());
        loop {
            let Ok(frame) = tokio::time::timeout(SILENCE, body.frame()).await else { return Ok(true) };
            // A stream that ends goes on by another connection, unless the worker is gone.
            let Some(Ok(frame)) = frame else { return Ok(true) };
            for message in lines.feed(frame.data_ref().map_or(&[], |data| data)) {
                if message.id.is_some() {
                    last.clone_from(&message.id);
                }
                if let Ok(event) = serde_json::from_str(&message.data)
                    && !each(event)
                {
                    return Ok(false);
                }
            }
        }
    };
    tokio::pin!(reading);
    tokio::select! {
        result = &mut reading => result,
        _ended = connection => reading.await,
    }
}

/// One event of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
struct Message {
    id: Option<String>,
    data: String,
}

/// Splits bytes into events.
#[derive(Debug, Default)]
struct Lines {
    partial: Vec<u8>,
    message: Message,
}

impl Lines {
    fn feed(&mut self, bytes: &[u8]) -> Vec<Message> {
        let mut messages = Vec::new();
        for byte in bytes {
            if *byte != b'\n' {
                if self.partial.len() < LONGEST_LINE {
                    self.partial.push(*byte);
                }
                continue;
            }
            let line = String::from_utf8_lossy(&self.partial).into_owned();
            self.partial.clear();
            match line.split_once(':').map(|(field, value)| (field, value.strip_prefix(' ').unwrap_or(value))) {
                Some(("id", id)) => self.message.id = Some(id.to_owned()),
                Some(("data", data)) => self.message.data.push_str(data),
                None if line.is_empty() && !self.message.data.is_empty() => {
                    messages.push(std::mem::take(&mut self.message));
                }
                // A comment, or a field that is not used here.
                _ => {}
            }
        }
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_whole_wherever_the_stream_is_cut() {
        let text = b": comment\n\nid: 5\ndata: {\"a\": 1}\n\ndata:x\n\nid: 6\ndata: half";
        for cut in 0..text.len() {
            let mut lines = Lines::default();
            let mut messages = lines.feed(&text[..cut]);
            messages.extend(lines.feed(&text[cut..]));
            let five = Message { id: Some("5".into()), data: "{\"a\": 1}".into() };
            assert_eq!(messages, [five, Message { id: None, data: "x".into() }]);
        }
    }
}
