//! The check of a model file that the engine does first: its magic and its version.

use std::io::Read;
use std::path::Path;

/// The context length the fake's models were trained for.
pub(crate) const TRAINED_CTX: u32 = 131_072;

/// Checks the first bytes of the file; the error is the engine's own line.
pub(crate) fn check(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let mut file = std::fs::File::open(path).map_err(|error| {
        let reason = match error.kind() {
            std::io::ErrorKind::NotFound => "No such file or directory".to_owned(),
            _ => error.to_string(),
        };
        format!("gguf_init_from_file: failed to open GGUF file '{shown}' ({reason})")
    })?;
    let mut head = [0_u8; 24];
    let mut read = 0;
    while read < head.len() {
        match file.read(&mut head[read..]) {
            Ok(0) | Err(_) => break,
            Ok(more) => read += more,
        }
    }
    if read < 4 {
        return Err("gguf_init_from_reader: failed to read magic".into());
    }
    if &head[..4] != b"GGUF" {
        let magic = String::from_utf8_lossy(&head[..4]);
        return Err(format!("gguf_init_from_reader: invalid magic characters: '{magic}', expected 'GGUF'"));
    }
    if read < head.len() {
        return Err("gguf_init_from_reader: failed to read header".into());
    }
    let version = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
    if version > 3 {
        return Err(format!(
            "gguf_init_from_reader: this GGUF file is version {version} but this software only supports up to version 3"
        ));
    }
    Ok(())
}
