//! Identifiers that cannot be guessed.

/// `N` random bytes from the operating system.
///
/// # Errors
/// The operating system has no randomness.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// `prefix` and `N` random bytes in lower-case hex.
pub(crate) fn hex<const N: usize>(prefix: &str) -> Result<String, getrandom::Error> {
    use std::fmt::Write;
    let mut text = String::with_capacity(prefix.len() + 2 * N);
    text.push_str(prefix);
    for byte in random::<N>()? {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}
