//! Lines on stderr in the engine's shape: `M.SS.mmm.uuu L tag  function: text`.

use std::io::Write;
use std::sync::LazyLock;
use std::time::Instant;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Writes one line; `text` begins with the function's name, as in `llama_server: model loaded`.
pub(crate) fn line(level: char, tag: &str, text: &str) {
    let since = START.elapsed();
    let seconds = since.as_secs();
    let (milli, micro) = (since.subsec_millis(), since.subsec_micros() % 1000);
    eprintln!("{}.{:02}.{milli:03}.{micro:03} {level} {tag}  {text}", seconds / 60, seconds % 60);
}

/// Writes so much to both outputs, in lines. As in the engine, nothing else happens until it is read.
pub(crate) fn noise(kib: usize) {
    let line = format!("{}\n", "noise ".repeat(170));
    for _ in 0..kib {
        // A pipe that is closed takes nothing more, which is no fault of ours.
        let _ = std::io::stderr().write_all(line.as_bytes());
        let _ = std::io::stdout().write_all(line.as_bytes());
    }
}

/// Writes one line of so many MiB to both outputs, of all bytes but that of a line's end.
pub(crate) fn junk(mib: usize) {
    if mib == 0 {
        return;
    }
    let bytes: Vec<u8> = (0..=u8::MAX).filter(|byte| *byte != b'\n').collect();
    let mut line = bytes.repeat((mib << 20) / bytes.len());
    line.push(b'\n');
    let _ = std::io::stderr().write_all(&line);
    let _ = std::io::stdout().write_all(&line);
}
