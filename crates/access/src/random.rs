//! Random bytes from the operating system.

/// `N` random bytes.
///
/// # Errors
/// The operating system has no randomness.
pub fn random<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}
