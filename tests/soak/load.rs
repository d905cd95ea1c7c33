//! Jobs of all shapes, each with its whole answer known beforehand.

use std::time::Duration;

use auxot_tests::scripted_router::job;
use serde_json::Value;

use crate::dice::Dice;

/// The longest pause between two jobs; half of it is the mean.
const PAUSE: Duration = Duration::from_millis(160);

/// A job that is about to be given.
#[derive(Debug)]
pub(crate) struct Shape {
    pub id: String,
    pub frame: Value,
    pub text: String,
    /// After which time the router wants it no more, for those that it does not want to the end.
    pub cancelled: Option<Duration>,
}

impl Shape {
    /// Job number `number`.
    pub(crate) fn draw(dice: &mut Dice, number: u64) -> Shape {
        let id = format!("job{number}");
        let long = dice.percent(3);
        // A kilobyte a word: more than the buffers hold, where the router is slow.
        let word = if long { format!("{id}-{}-", "x".repeat(1000)) } else { format!("{id}-") };
        let words = if long { dice.within(200..=2000) } else { dice.within(1..=120) };
        let pace = if long { 0 } else { dice.one_of(&[0, 300, 2000, 8000]) };
        let prompt = dice.within(0..=60);
        let at = dice.within(1..=words);
        // What it makes its engine do, beside answering.
        let fault = match dice.within(1..=100) {
            1 => format!("--crash-after {at}"),
            2..=3 => format!("--cut-stream-at {at}"),
            4..=5 => format!("--error-event-at {at}"),
            6 => "--refuse '500:server_error:as it was told'".to_owned(),
            _ => String::new(),
        };
        let frame =
            job(&id, &format!("fake: --count {word} --tokens {words} --token-us {pace} --prompt-ms {prompt} {fault}"));
        let text = (0..words).map(|number| format!("{word}{number} ")).collect();
        let cancelled = dice.percent(10).then(|| dice.up_to(Duration::from_millis(600)));
        Shape { id, frame, text, cancelled }
    }

    /// How long until the next one.
    pub(crate) fn pause(dice: &mut Dice) -> Duration {
        dice.up_to(PAUSE)
    }
}
