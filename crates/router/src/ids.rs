//! Identifiers that cannot be guessed.

/// `prefix` and `N` random bytes in lower-case hex.
pub(crate) fn hex<const N: usize>(prefix: &str) -> Result<String, getrandom::Error> {
    use std::fmt::Write;
    let mut text = String::with_capacity(prefix.len() + 2 * N);
    text.push_str(prefix);
    for byte in auxot_access::random::<N>()? {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}
