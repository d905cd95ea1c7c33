//! SHA-256 over a stream, with its state at each block border.
//!
//! With the state before a block and the one after it, a block is checked alone: blocks are found damaged without a second
//! digest, checked on several threads, and an interrupted stream goes on from the last border.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest as _, Sha256};

/// Bytes of one read.
const PIECE: usize = 1 << 20;

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sum([u8; 32]);

impl Sum {
    /// The SHA-256 of all that can be read. Blocks.
    ///
    /// # Errors
    /// When the reader fails.
    pub fn of(reader: &mut impl std::io::Read) -> std::io::Result<Self> {
        let mut digest = Sha256::new();
        let mut piece = vec![0; PIECE];
        loop {
            match reader.read(&mut piece)? {
                0 => return Ok(Self(digest.finalize().into())),
                count => digest.update(&piece[..count]),
            }
        }
    }
}

impl FromStr for Sum {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        unhex(text)?.try_into().map(Self).map_err(|_| ())
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Sum {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map_err(|()| format!("{text:?} is no SHA-256"))
    }
}

impl From<Sum> for String {
    fn from(sum: Sum) -> Self {
        sum.to_string()
    }
}

/// The states of a digest at the borders of its blocks, as text: the first is the one behind the first block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Borders {
    /// Bytes of a block; a multiple of 64.
    pub(crate) block: u64,
    states: Vec<String>,
}

impl Borders {
    pub(crate) fn new(block: u64) -> Self {
        Self { block, states: Vec::new() }
    }

    /// How many bytes the last border is behind.
    pub(crate) fn reach(&self) -> u64 {
        self.block.saturating_mul(self.states.len() as u64)
    }

    /// The number of blocks of a file, the last one perhaps short.
    pub(crate) fn blocks(&self, size: u64) -> u64 {
        size.div_ceil(self.block.max(1))
    }

    /// The digest at the beginning of a block; `None` where it is not known.
    pub(crate) fn before(&self, block: u64) -> Option<Sha256> {
        match usize::try_from(block).ok()?.checked_sub(1) {
            None => Some(Sha256::new()),
            Some(last) => {
                let state: SerializedState<Sha256> = unhex(self.states.get(last)?).ok()?.as_slice().try_into().ok()?;
                Sha256::deserialize(&state).ok()
            }
        }
    }

    /// Whether a block has the content that was recorded: `digest` is that of [`Borders::before`], with the block's bytes
    /// added. The last block is compared with the digest of all.
    pub(crate) fn is_same(&self, block: u64, digest: Sha256, whole: Option<Sum>) -> bool {
        match usize::try_from(block).ok().and_then(|block| self.states.get(block)) {
            Some(state) => *state == hex(&digest.serialize()),
            None => whole.is_none_or(|whole| whole == Sum(digest.finalize().into())),
        }
    }

    fn keep(&mut self, blocks: u64) {
        self.states.truncate(usize::try_from(blocks).unwrap_or(usize::MAX));
    }
}

/// A digest that grows with a file.
pub(crate) struct GrowingDigest {
    digest: Sha256,
    length: u64,
    borders: Borders,
}

impl GrowingDigest {
    pub(crate) fn new(block: u64) -> Self {
        Self { digest: Sha256::new(), length: 0, borders: Borders::new(block) }
    }

    /// A digest that goes on at the last border that `length` bytes reach.
    pub(crate) fn resume(mut borders: Borders, length: u64) -> Self {
        borders.keep(length / borders.block.max(1));
        let reached = borders.reach();
        match borders.before(reached / borders.block.max(1)) {
            Some(digest) => Self { digest, length: reached, borders },
            None => Self::new(borders.block),
        }
    }

    /// Bytes so far.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn borders(&self) -> &Borders {
        &self.borders
    }

    /// Adds the next bytes; whether a border was crossed.
    pub(crate) fn update(&mut self, mut bytes: &[u8]) -> bool {
        let borders = self.borders.states.len();
        while !bytes.is_empty() {
            let until_border = self.borders.block - self.length % self.borders.block;
            let count = bytes.len().min(usize::try_from(until_border).unwrap_or(usize::MAX));
            let (now, later) = bytes.split_at(count);
            self.digest.update(now);
            self.length += now.len() as u64;
            if self.length.is_multiple_of(self.borders.block) {
                self.borders.states.push(hex(&self.digest.serialize()));
            }
            bytes = later;
        }
        self.borders.states.len() > borders
    }

    /// The digest of all bytes so far.
    pub(crate) fn sum(&self) -> Sum {
        Sum(self.digest.clone().finalize().into())
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn unhex(text: &str) -> Result<Vec<u8>, ()> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8).ok_or(());
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return Err(()) };
    pairs.iter().map(|[high, low]| Ok(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: u64 = 128;

    fn of(bytes: &[u8]) -> GrowingDigest {
        let mut digest = GrowingDigest::new(BLOCK);
        digest.update(bytes);
        digest
    }

    #[test]
    fn a_known_text_has_its_known_sum() {
        let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(of(b"abc").sum().to_string(), sum);
        assert_eq!(sum.parse::<Sum>().unwrap(), of(b"abc").sum());
        for text in ["", "ab", &sum[1..], &sum.replace('b', "x"), &format!("{sum}00")] {
            assert!(text.parse::<Sum>().is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_resumed_digest_is_that_of_all_bytes(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..1000), cut in 0..1000_usize, piece in 1..300_usize,
        ) {
            let cut = cut.min(bytes.len());
            let mut first = GrowingDigest::new(BLOCK);
            for piece in bytes[..cut].chunks(piece) {
                first.update(piece);
            }
            let text = serde_json::to_string(first.borders()).unwrap();
            let mut second = GrowingDigest::resume(serde_json::from_str(&text).unwrap(), cut as u64);
            proptest::prop_assert_eq!(second.length(), cut as u64 / BLOCK * BLOCK);
            second.update(&bytes[second.length() as usize..]);
            let whole = of(&bytes);
            proptest::prop_assert_eq!(second.sum(), whole.sum());
            proptest::prop_assert_eq!(second.borders(), whole.borders());
        }

        #[test]
        fn exactly_the_damaged_block_is_found(
            mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 1..1000), at in 0..1000_usize,
        ) {
            let whole = of(&bytes);
            let at = at % bytes.len();
            bytes[at] ^= 1;
            for (block, content) in (0_u64..).zip(bytes.chunks(BLOCK as usize)) {
                let mut digest = whole.borders().before(block).unwrap();
                digest.update(content);
                let same = whole.borders().is_same(block, digest, Some(whole.sum()));
                proptest::prop_assert_eq!(same, block != at as u64 / BLOCK);
            }
        }
    }

    #[test]
    fn states_that_cannot_be_read_start_anew() {
        let mut borders = of(&[7; 300]).borders().clone();
        borders.states[1] = "00".to_owned();
        assert_eq!(GrowingDigest::resume(borders.clone(), 300).length(), 0);
        assert_eq!(GrowingDigest::resume(borders, 200).length(), BLOCK);
    }
}
