//! A streamed answer: one chunk and one `write` per token, as the engine does it, at the pace the switches name.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::chat::{Chat, Stop};
use crate::engine::Phase;
use crate::hold::{LOOK_AGAIN, Place};
use crate::http::{LAST_CHUNK, STREAM_HEAD, push_event};

/// How many unpaced tokens are written before other streams have their turn and the client is looked for.
const TURN: u64 = 64;

/// Sends the whole answer; `sent` counts its tokens even when it ends early.
pub(crate) async fn run(chat: &mut Chat<'_>, sent: &mut u64) -> Result<(), Stop> {
    let ping = ping(chat);
    let mut out = STREAM_HEAD.as_bytes().to_vec();
    let prompt_end = chat.started + chat.request.switches.prompt;
    if chat.request.progress {
        push_event(&mut out, &progress(chat, 0));
        chat.connection.write(&out).await?;
        out.clear();
    }
    hold(chat, Place::Prompt, ping).await?;
    chat.wait(prompt_end, ping).await?;
    // The pace begins when the prompt is done, however long it was held.
    let prompt_end = prompt_end.max(Instant::now());
    if chat.request.progress {
        push_event(&mut out, &progress(chat, chat.request.prompt_tokens));
    }
    push_event(&mut out, &event(chat, r#"{"role":"assistant","content":null}"#, None, 1));
    // The engine's role chunk and its first token come from the same decode, in two writes.
    chat.connection.write(&out).await?;
    let mut tokens = Tokens::new(chat);
    let mut turn_at = 0;
    while *sent < chat.answer.total {
        if Some(*sent) == tokens.fault_at {
            return fault(chat, *sent, ping).await;
        }
        hold(chat, Place::Token(*sent), ping).await?;
        if !chat.request.switches.token.is_zero() {
            let due = prompt_end + chat.request.switches.token * u32::try_from(*sent).unwrap_or(u32::MAX);
            chat.wait(due, ping).await?;
        } else if *sent >= turn_at {
            turn_at = *sent + TURN;
            turn(chat, ping).await?;
        }
        *sent += tokens.write(chat, *sent).await?;
    }
    if Some(*sent) == tokens.fault_at {
        return fault(chat, *sent, ping).await;
    }
    chat.connection.write(&ending(chat, *sent)).await?;
    Ok(())
}

/// Waits where the switches want it, for as long as the client does.
async fn hold(chat: &mut Chat<'_>, place: Place, ping: Option<Duration>) -> Result<(), Stop> {
    let Some(hold) = chat.request.switches.holds.iter().find(|hold| hold.place == place).cloned() else {
        return Ok(());
    };
    chat.engine.report.say("held", json!({"at": hold.place.word()}));
    while !hold.is_over() {
        chat.wait(Instant::now() + LOOK_AGAIN, ping).await?;
    }
    Ok(())
}

async fn turn(chat: &mut Chat<'_>, ping: Option<Duration>) -> Result<(), Stop> {
    tokio::task::yield_now().await;
    chat.connection.look()?;
    if *chat.phase.borrow() == Phase::Stopping {
        // Already past: the wait returns only with the way a stopping engine lets go.
        chat.wait(Instant::now() + Duration::from_secs(3600), ping).await?;
    }
    Ok(())
}

fn ping(chat: &Chat<'_>) -> Option<Duration> {
    u64::try_from(chat.engine.arguments.ping_seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs)
}

/// The tokens of one answer, made ready to be written.
struct Tokens {
    chunks: Vec<Vec<u8>>,
    /// Where the moving text of a stamped token begins.
    stamp_at: Option<usize>,
    fault_at: Option<u64>,
    batch: Vec<u8>,
}

impl Tokens {
    fn new(chat: &Chat<'_>) -> Tokens {
        let switches = &chat.request.switches;
        let faults = [
            switches.crash_after,
            switches.cut_stream_at,
            switches.error_event_at,
            switches.deadlock_at,
            switches.stall_at,
            switches.lose_at,
        ];
        let mut chunks = Vec::new();
        let mut stamp_at = None;
        if switches.stamp {
            let mut chunk = Vec::new();
            push_event(&mut chunk, &event(chat, r#"{"content":"@0000000000000000000 "}"#, None, 0));
            stamp_at = chunk.iter().position(|byte| *byte == b'@').map(|at| at + 1);
            chunks.push(chunk);
        } else {
            for delta in chat.answer.deltas() {
                let mut chunk = Vec::new();
                push_event(&mut chunk, &event(chat, delta, None, 0));
                chunks.push(chunk);
            }
        }
        Tokens { chunks, stamp_at, fault_at: faults.into_iter().flatten().min(), batch: Vec::new() }
    }

    /// Writes token `n`, or several at once if a switch says so; returns how many.
    async fn write(&mut self, chat: &mut Chat<'_>, n: u64) -> Result<u64, Stop> {
        if let Some(at) = self.stamp_at {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
            let chunk = &mut self.chunks[0];
            chunk[at..at + 19].copy_from_slice(format!("{now:019}").as_bytes());
            chat.connection.write(chunk).await?;
            return Ok(1);
        }
        if chat.request.timings {
            let delta = chat.answer.deltas().nth(chat.answer.index(n)).unwrap_or("{}").to_owned();
            self.batch.clear();
            push_event(&mut self.batch, &event(chat, &delta, None, n + 1));
            chat.connection.write(&self.batch).await?;
            return Ok(1);
        }
        if chat.request.switches.batch > 1 && chat.request.switches.token.is_zero() {
            let until = (n + chat.request.switches.batch).min(chat.answer.total).min(self.fault_at.unwrap_or(u64::MAX));
            let held = chat.request.switches.holds.iter().filter_map(|hold| hold.place.token()).filter(|at| *at > n);
            let until = held.fold(until, u64::min);
            self.batch.clear();
            for n in n..until {
                self.batch.extend_from_slice(&self.chunks[chat.answer.index(n)]);
            }
            chat.connection.write(&self.batch).await?;
            return Ok(until - n);
        }
        chat.connection.write(&self.chunks[chat.answer.index(n)]).await?;
        Ok(1)
    }
}

/// Between two comments of an engine that has lost a request.
const COMMENTS: Duration = Duration::from_millis(10);

/// What the switches have in store for token number `at`.
async fn fault(chat: &mut Chat<'_>, at: u64, ping: Option<Duration>) -> Result<(), Stop> {
    let switches = &chat.request.switches;
    if switches.crash_after == Some(at) {
        eprintln!("/llama.cpp/ggml/src/ggml.c:1: GGML_ASSERT(false) failed");
        std::process::abort();
    }
    if switches.cut_stream_at == Some(at) {
        // The head of a chunk that never comes.
        chat.connection.write(b"c0\r\ndata: {\"choices\":[{\"fin").await?;
        return Err(Stop::Gone);
    }
    if switches.deadlock_at == Some(at) {
        // The only thread there is: no connection is served any more, and a TERM is not heard either.
        loop {
            std::thread::park_timeout(Duration::from_secs(3600));
        }
    }
    if switches.error_event_at == Some(at) {
        let mut out = Vec::new();
        push_event(&mut out, &crate::http::error_body(500, "server_error", "Context size has been exceeded."));
        out.extend_from_slice(LAST_CHUNK);
        chat.connection.write(&out).await?;
        return Err(Stop::Gone);
    }
    let ping = match switches.lose_at {
        Some(lost) if lost == at => {
            chat.engine.slots.forget();
            Some(COMMENTS)
        }
        _ => ping,
    };
    loop {
        chat.wait(Instant::now() + Duration::from_secs(3600), ping).await?;
    }
}

/// The last chunk, the usage if requested, `[DONE]` and the end of the body, in one write.
fn ending(chat: &Chat<'_>, sent: u64) -> Vec<u8> {
    let timings = chat.timings(sent, chat.started.elapsed());
    let mut out = Vec::new();
    let mut last = base(chat, "{}", Some(chat.answer.finish));
    if chat.request.include_usage {
        push_event(&mut out, &last.to_string());
        last["choices"] = json!([]);
        last["usage"] = chat.usage(sent);
    }
    last["timings"] = timings;
    push_event(&mut out, &last.to_string());
    push_event(&mut out, "[DONE]");
    out.extend_from_slice(LAST_CHUNK);
    out
}

fn progress(chat: &Chat<'_>, processed: u64) -> String {
    let mut chunk = base(chat, r#"{"role":"assistant","content":null}"#, None);
    let time = chat.started.elapsed().as_millis() as u64;
    chunk["prompt_progress"] =
        json!({"total": chat.request.prompt_tokens, "cache": 0, "processed": processed, "time_ms": time});
    chunk.to_string()
}

fn event(chat: &Chat<'_>, delta: &str, finish: Option<&str>, predicted: u64) -> String {
    let mut chunk = base(chat, delta, finish);
    if chat.request.timings {
        chunk["timings"] = chat.timings(predicted, chat.started.elapsed());
    }
    chunk.to_string()
}

/// The keys in the engine's order.
fn base(chat: &Chat<'_>, delta: &str, finish: Option<&str>) -> Value {
    let delta: Value = serde_json::from_str(delta).unwrap_or_default();
    json!({
        "choices": [{"finish_reason": finish, "index": 0, "delta": delta}],
        "created": chat.engine.created, "id": chat.id, "model": chat.engine.model_name(),
        "system_fingerprint": "b1-7e4c0a9", "object": "chat.completion.chunk",
    })
}
