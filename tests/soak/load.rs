//! Jobs of all kinds, each with a known answer.

use std::time::Duration;

use auxot_tests::scripted_router::job;
use serde_json::Value;

use crate::random::Random;

/// The longest pause between two jobs; half of it is the mean.
const PAUSE: Duration = Duration::from_millis(160);

/// A job that will be dispatched.
#[derive(Debug)]
pub(crate) struct Shape {
    pub id: String,
    pub frame: Value,
    pub text: String,
    /// When the router cancels it, if it does.
    pub cancelled: Option<Duration>,
}

impl Shape {
    /// Job number `number`.
    pub(crate) fn draw(random: &mut Random, number: u64) -> Shape {
        let id = format!("job{number}");
        let long = random.percent(3);
        // One kilobyte per word: more than the buffers hold when the router is slow.
        let word = if long { format!("{id}-{}-", "x".repeat(1000)) } else { format!("{id}-") };
        let words = if long { random.within(200..=2000) } else { random.within(1..=120) };
        let pace = if long { 0 } else { random.one_of(&[0, 300, 2000, 8000]) };
        let prompt = random.within(0..=60);
        let at = random.within(1..=words);
        // Additional behaviour of its engine.
        let fault = match random.within(1..=100) {
            1 => format!("--crash-after {at}"),
            2..=3 => format!("--cut-stream-at {at}"),
            4..=5 => format!("--error-event-at {at}"),
            6 => "--refuse '500:server_error:as configured'".to_owned(),
            _ => String::new(),
        };
        let frame =
            job(&id, &format!("fake: --count {word} --tokens {words} --token-us {pace} --prompt-ms {prompt} {fault}"));
        let text = (0..words).map(|number| format!("{word}{number} ")).collect();
        let cancelled = random.percent(10).then(|| random.up_to(Duration::from_millis(600)));
        Shape { id, frame, text, cancelled }
    }

    /// The time until the next one.
    pub(crate) fn pause(random: &mut Random) -> Duration {
        random.up_to(PAUSE)
    }
}
