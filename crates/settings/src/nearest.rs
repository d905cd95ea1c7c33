//! The known word most like an unknown one.

/// Below this likeness (0 to 1) a suggestion confuses more than it helps.
const LIKE_ENOUGH: f64 = 0.6;

/// The candidate most like `word`, if any is like enough.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::normalized_damerau_levenshtein(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= LIKE_ENOUGH)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate.to_owned())
}
