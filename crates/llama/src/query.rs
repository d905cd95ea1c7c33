//! Names of models in the target of a request.

use std::borrow::Cow;

/// The model that the query of a request names.
#[must_use]
pub fn model_of_query(query: &str) -> Option<Cow<'_, str>> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("model="))?;
    Some(match value.contains('+') {
        true => Cow::Owned(decoded(&value.replace('+', " ")).into_owned()),
        false => decoded(value),
    })
}

/// Text without its percent signs; what is not valid stays as it is.
#[must_use]
pub fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind.get(..2).filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.filter(|digits| !digits.starts_with('+')).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(text), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_model_of_a_query_counts_in_its_decoded_form() {
        assert_eq!(model_of_query("a=1&model=Qwen%2F3+B%3aq4&model=b").as_deref(), Some("Qwen/3 B:q4"));
        assert_eq!(model_of_query("model=").as_deref(), Some(""));
        assert_eq!((model_of_query("a=model&xmodel=b"), model_of_query("")), (None, None));
        assert_eq!((&*decoded("100%"), &*decoded("%+1%zz"), &*decoded("%ff")), ("100%", "%+1%zz", "%ff"));
    }
}
