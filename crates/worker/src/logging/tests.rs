//! The log with a good reader, a broken one and one that hangs.

use std::sync::mpsc::Sender;
use std::sync::{Mutex, mpsc};

use tracing::{debug, info, subscriber, warn};

use super::*;

/// Passes each write to the test; a dropped receiver is a broken pipe.
struct Pipe(Sender<Vec<u8>>);

impl Write for Pipe {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.send(line.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn config(level: &str, format: Format) -> LogConfig {
    LogConfig { level: level.parse().unwrap(), format }
}

/// The lines that `events` log.
fn logged(config: &LogConfig, events: impl FnOnce()) -> Vec<String> {
    let (write, written) = mpsc::channel();
    let (subscriber, log) = open(Pipe(write), config, Reader::File).unwrap();
    subscriber::with_default(subscriber, events);
    drop(log);
    written.into_iter().map(|line| String::from_utf8(line).unwrap()).collect()
}

#[test]
fn a_line_of_text_and_one_of_json() {
    let log_one =
        || info!(target: "auxot_relay::connection", from = "connecting", to = "serving", "connection accepted");
    let text = logged(&config("info", Format::Text), log_one);
    assert_eq!(text.len(), 1);
    assert!(
        text[0].ends_with("INFO auxot_relay::connection: connection accepted from=\"connecting\" to=\"serving\"\n"),
        "{text:?}"
    );

    let json = logged(&config("info", Format::Json), log_one);
    assert!(json[0].starts_with('{') && json[0].contains("\"from\":\"connecting\""), "{json:?}");
    assert!(!json[0].contains("\"fields\""), "{json:?}");
}

#[test]
fn the_journal_gets_priorities_and_no_time() {
    let lines = |format| {
        let (write, written) = mpsc::channel();
        let (subscriber, log) = open(Pipe(write), &config("debug", format), Reader::Journal).unwrap();
        subscriber::with_default(subscriber, || {
            tracing::error!(target: "auxot", "one");
            warn!(target: "auxot", "two");
            info!(target: "auxot", line = "3\n<0>x", "three");
            debug!(target: "auxot", "four");
        });
        drop(log);
        written.into_iter().map(|line| String::from_utf8(line).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(
        lines(Format::Text),
        [
            "<3>ERROR auxot: one\n",
            "<4> WARN auxot: two\n",
            "<6> INFO auxot: three line=\"3\\n<0>x\"\n",
            "<7>DEBUG auxot: four\n"
        ]
    );
    let json = lines(Format::Json);
    assert!(json.iter().zip(["<3>{", "<4>{", "<6>{", "<7>{"]).all(|(line, start)| line.starts_with(start)), "{json:?}");
}

#[test]
fn a_level_applies_to_our_crates_and_libraries_stay_at_warn() {
    let log_one = || {
        debug!(target: "auxot_fleet", "ours");
        debug!(target: "hyper", "theirs");
        warn!(target: "hyper", "theirs, grave");
    };
    assert_eq!(logged(&config("debug", Format::Text), log_one).len(), 2);
    assert_eq!(logged(&config("info", Format::Text), log_one).len(), 1);
    assert_eq!(logged(&config("off", Format::Text), log_one).len(), 0);
    assert_eq!(logged(&config("off,hyper=debug", Format::Text), log_one).len(), 2);
    assert_eq!(logged(&config("debug,auxot_fleet=info", Format::Text), log_one).len(), 1);
}

#[test]
fn the_level_changes_while_the_program_runs() {
    let (write, written) = mpsc::channel();
    let (subscriber, log) = open(Pipe(write), &config("info", Format::Text), Reader::File).unwrap();
    let level = log.level();
    subscriber::with_default(subscriber, || {
        debug!(target: "auxot", "before");
        level.set("off,auxot=debug").unwrap();
        debug!(target: "auxot", "after");
        assert!(level.set("loud").unwrap_err().contains("found \"loud\""));
    });
    assert_eq!(level.text(), "off,auxot=debug");
    drop((log, level));
    let lines: Vec<String> = written.into_iter().map(|line| String::from_utf8(line).unwrap()).collect();
    let has = |text: &str| lines.iter().any(|line| line.contains(text));
    assert!(has("after") && !has("before"), "{lines:?}");
}

#[test]
fn a_broken_pipe_is_ignored() {
    let (write, written) = mpsc::channel();
    drop(written);
    let (subscriber, log) = open(Pipe(write), &config("info", Format::Text), Reader::File).unwrap();
    subscriber::with_default(subscriber, || {
        for _ in 0..10 {
            info!(target: "auxot", "unheard");
        }
    });
    drop(log);
}

#[tokio::test(start_paused = true)]
async fn lines_within_a_moment_are_written_together_and_none_is_lost() {
    let (write, written) = mpsc::channel();
    let (subscriber, log) = open(Pipe(write), &config("info", Format::Text), Reader::File).unwrap();
    let logging = async {
        let _guard = subscriber::set_default(subscriber);
        info!(target: "auxot", "one");
        info!(target: "auxot", "two");
        assert!(written.try_recv().is_err(), "held back");
        tokio::time::sleep(HOLD_TIME * 2).await;
        info!(target: "auxot", "three");
    };
    let hold_back = log.hold_back();
    tokio::select! {
        biased;
        never = hold_back => match never {},
        () = logging => {}
    }
    drop(log);
    let writes: Vec<String> = written.into_iter().map(|lines| String::from_utf8(lines).unwrap()).collect();
    assert_eq!(writes.iter().map(|lines| lines.lines().count()).collect::<Vec<_>>(), [2, 1], "{writes:?}");
}

/// Each write waits until the test allows it.
struct Hanging(mpsc::Receiver<()>, Arc<Mutex<Vec<u8>>>);

impl Write for Hanging {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ = self.0.recv();
        self.1.lock().unwrap().extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_hangs_blocks_no_line_and_the_losses_are_counted() {
    let (allow, allowed) = mpsc::channel();
    let read = Arc::new(Mutex::new(Vec::new()));
    let hanging = Hanging(allowed, Arc::clone(&read));
    let (subscriber, log) = open(hanging, &config("info", Format::Text), Reader::File).unwrap();
    subscriber::with_default(subscriber, || {
        for number in 0..QUEUE + 50 {
            info!(target: "auxot", number);
        }
    });
    // All calls above returned although no line was written. One line may be in the hands of the thread, the queue is
    // full, and the others are lost.
    let lost = log.queue.dropped.load(Ordering::Relaxed);
    assert!((49..=50).contains(&lost), "{lost}");
    drop(allow);
    let expected = format!("{lost} log lines were dropped");
    let (done, written) = sync_channel(1);
    log.queue.lines.send(Message::Flush(done)).unwrap();
    written.recv().unwrap();
    let read = String::from_utf8(read.lock().unwrap().clone()).unwrap();
    assert!(read.contains(&expected), "{expected}");
}

#[test]
fn a_line_stays_one_line_and_is_cut() {
    assert_eq!(one_line(b"a plain line\n"), &b"a plain line\n"[..]);
    assert_eq!(one_line(b"a\nb\x07c\n"), &b"a\\nb\\x07c\n"[..]);
    let long = one_line(&[b'x'; 1 << 20]).into_owned();
    assert!(long.len() < MAX_LINE + 40 && long.ends_with(b" bytes\n"));
}
