//! The file names of a model that comes in parts, `<prefix>-00001-of-00003.gguf`.

/// A file name that belongs to a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardName<'a> {
    /// What all parts begin with.
    pub prefix: &'a str,
    /// Counted from 1.
    pub part: u32,
    /// How many parts there are.
    pub of: u32,
}

impl<'a> ShardName<'a> {
    /// Reads a file name, or the same without `.gguf`.
    #[must_use]
    pub fn parse(file_name: &'a str) -> Option<Self> {
        let cut = file_name.len().saturating_sub(".gguf".len());
        let bare = match file_name.get(cut..) {
            Some(end) if end.eq_ignore_ascii_case(".gguf") => &file_name[..cut],
            _ => file_name,
        };
        let (rest, of) = bare.rsplit_once("-of-")?;
        let (prefix, part) = rest.rsplit_once('-')?;
        let number =
            |text: &str| (text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok());
        let (part, of) = (number(part)??, number(of)??);
        (1..=of).contains(&part).then_some(Self { prefix, part, of })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shard_names_are_read_and_others_are_not() {
        let shard = ShardName::parse("Kimi-K2.5-BF16-00002-of-00046.gguf").unwrap();
        assert_eq!((shard.prefix, shard.part, shard.of), ("Kimi-K2.5-BF16", 2, 46));
        assert!(ShardName::parse("x-00001-of-00002").is_some());
        for name in ["x.gguf", "x-00003-of-00002.gguf", "x-00000-of-00002.gguf", "x-1-of-2.gguf", "x-0000é-of-00002"] {
            assert_eq!(ShardName::parse(name), None, "{name}");
        }
    }
}
