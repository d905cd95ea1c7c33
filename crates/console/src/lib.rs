//! What commands print: their output with its width and colours, tables, bars and numbers.
//!
//! # Theory of operation
//!
//! A [`Console`] is what is known of the output: its columns, and whether colours are shown. Text is made for it without
//! I/O, so that a test compares it; only [`Console::print`] and the like write, and a closed output is not a failure. Output
//! for another program is neither coloured nor wrapped. `numbers` has numbers and times for people, `bar` the memory of a
//! device.
//!
//! ```
//! use auxot_console::{Console, Paint, Part, bar, seconds};
//!
//! let console = Console::fixed_width(80);
//! let used = Part { bytes: 5, sign: '█', paint: Paint::Good };
//! assert_eq!(bar(&[used], 10, 4, &console), "██··");
//! assert_eq!(seconds(1.54), "1.5 s");
//! ```

mod bar;
mod console;
mod numbers;

pub use bar::{Part, bar};
pub use console::{Console, Paint, align_right};
pub use numbers::{duration, grouped, parameters, seconds, time_of_day};
