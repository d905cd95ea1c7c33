//! The runs of letters and of digits that names are cut into.

/// The runs of digits and the runs of other letters in `text`, each with where it starts.
pub(crate) fn runs(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c: char| !c.is_alphanumeric());
        let digits = rest.chars().next()?.is_ascii_digit();
        let end = rest.find(|c: char| !c.is_alphanumeric() || c.is_ascii_digit() != digits).unwrap_or(rest.len());
        let start = text.len() - rest.len();
        let (run, tail) = rest.split_at(end);
        rest = tail;
        Some((start, run))
    })
}
