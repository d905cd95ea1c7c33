//! The same work without the worker: one raw socket to the engine for each request.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use auxot_llama::{ChatRequest, Endpoint, Exchange, Fill};
use serde_json::value::RawValue;
use tokio::task::JoinSet;

use crate::peer::messages;
use crate::samples::Samples;
use crate::usage::since_stamps;

/// A direct client of the engine.
#[derive(Debug)]
pub(crate) struct Direct {
    endpoint: Endpoint,
}

impl Direct {
    pub(crate) fn new(socket: PathBuf) -> Direct {
        Direct { endpoint: Endpoint::Unix(socket) }
    }

    /// Opens a request with the body that the worker would send.
    async fn open(&self, prompt: &str) -> anyhow::Result<Exchange> {
        let messages = RawValue::from_string(messages(prompt))?;
        let request =
            ChatRequest { model: "bench0-f16", messages: Some(&messages), progress: true, ..Default::default() };
        let body = request.to_body()?;
        Exchange::post(&self.endpoint, "/v1/chat/completions", &body).await.context("the engine takes no request")
    }

    /// Milliseconds from the request to its first token, and the age of that token's stamp.
    pub(crate) async fn first_token(&self, prompt: &str) -> anyhow::Result<(Duration, f64)> {
        let begun = Instant::now();
        let mut exchange = self.open(prompt).await?;
        let mut first = None;
        loop {
            let fill = exchange.fill().await?;
            while let Some(event) = exchange.next_event()? {
                if first.is_none() && event.contains(&b'@') {
                    let mut ages = Samples::default();
                    since_stamps(event, |age| ages.push(age));
                    first = Some((begun.elapsed(), ages.worst()));
                }
            }
            if fill == Fill::End {
                return first.context("an answer without a token");
            }
        }
    }

    /// Many parallel requests, one every `apart`: the number of events, the whole time, and the age of each answer's last token.
    pub(crate) async fn many(&self, count: usize, prompt: &str, apart: Duration) -> anyhow::Result<Volume> {
        let begun = Instant::now();
        let mut running = JoinSet::new();
        let mut pace = tokio::time::interval(apart.max(Duration::from_nanos(1)));
        for _ in 0..count {
            if !apart.is_zero() {
                pace.tick().await;
            }
            running.spawn(read_all(self.open(prompt).await?));
        }
        let mut volume = Volume::default();
        while let Some(ended) = running.join_next().await {
            let (events, last) = ended??;
            volume.events += events;
            if let Some(last) = last {
                volume.last_ages.push(last);
            }
        }
        volume.took = begun.elapsed();
        ensure!(volume.events > 0, "answers without a word");
        Ok(volume)
    }
}

/// The result of [`Direct::many`].
#[derive(Debug, Default)]
pub(crate) struct Volume {
    pub events: u64,
    pub took: Duration,
    /// Milliseconds from the writing of each answer's last stamped token to its arrival here.
    pub last_ages: Samples,
}

async fn read_all(mut exchange: Exchange) -> anyhow::Result<(u64, Option<f64>)> {
    let (mut events, mut last) = (0, None);
    loop {
        let fill = exchange.fill().await?;
        while let Some(event) = exchange.next_event()? {
            events += 1;
            since_stamps(event, |age| last = Some(age));
        }
        if fill == Fill::End {
            return Ok((events, last));
        }
    }
}
