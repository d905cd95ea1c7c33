//! Lines for systemd's journal, which reads the priority of a line from its first characters and keeps the time itself.

use std::fmt;
use std::os::fd::AsFd;

use nix::sys::stat::fstat;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// The priority of a warning.
pub(super) const WARNING: &str = "<4>";

/// Whether the journal reads what is written there: systemd names the device and the inode of its stream.
pub(super) fn reads(output: impl AsFd) -> bool {
    std::env::var("JOURNAL_STREAM").is_ok_and(|stream| is_named(&stream, output))
}

fn is_named(stream: &str, output: impl AsFd) -> bool {
    fstat(output).is_ok_and(|there| stream == format!("{}:{}", there.st_dev, there.st_ino))
}

/// Another form of lines, with the priority before each.
pub(super) struct Prioritised<F>(pub(super) F);

impl<S, N, F> FormatEvent<S, N> for Prioritised<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        writer.write_str(priority(*event.metadata().level()))?;
        self.0.format_event(context, writer, event)
    }
}

/// The priorities of syslog.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => WARNING,
        Level::INFO => "<6>",
        Level::DEBUG | Level::TRACE => "<7>",
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn the_stream_is_known_by_device_and_inode() {
        let file = tempfile::tempfile().unwrap();
        let (device, inode) = file.metadata().map(|there| (there.dev(), there.ino())).unwrap();
        assert!(is_named(&format!("{device}:{inode}"), &file));
        for other in [format!("{device}:{}", inode + 1), format!("{device}"), "x:y".to_owned(), String::new()] {
            assert!(!is_named(&other, &file), "{other:?}");
        }
    }
}
