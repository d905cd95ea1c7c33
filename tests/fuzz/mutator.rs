//! The mutator: cuts, flips, repeats, splices and nests its seeds and its own results.

/// Inputs longer than this say nothing new about a parser and cost time.
const MAX_INPUT: usize = 4096;
/// Values that lie about lengths and counts, and pieces that open what is never closed.
const POISON: [&[u8]; 14] = [
    b"\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x00\x00\x00\x00\x00\x00\x00\x80",
    b"\x00\x00\x00\x00",
    b"[[[[[[[[",
    b"{\"a\":",
    b"\"\\ud800\"",
    b"1e999",
    b"-0",
    b"\r\n\r\n",
    b"\ndata: ",
    b"null",
    b"<think>",
    b"<tool_call>",
    b"\xc3\x28",
];

/// A small, fast, repeatable source of randomness; nothing here is a secret.
#[derive(Debug)]
pub(crate) struct Mutator {
    state: u64,
}

impl Mutator {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed | 1 }
    }

    fn random(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    /// A number below `bound`, or zero when there is none below it.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.random() % (bound.max(1) as u64)) as usize
    }

    /// Makes another input out of one of the seeds.
    pub(crate) fn next(&mut self, seeds: &[Vec<u8>], into: &mut Vec<u8>) {
        into.clear();
        into.extend_from_slice(&seeds[self.below(seeds.len())]);
        for _ in 0..=self.below(6) {
            self.change(seeds, into);
        }
        into.truncate(MAX_INPUT);
    }

    fn change(&mut self, seeds: &[Vec<u8>], bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len() + 1);
        match self.below(9) {
            0 => bytes.truncate(at),
            1 => flip(bytes, at, self.random()),
            2 => bytes.insert(at, self.random() as u8),
            3 if at < bytes.len() => drop(bytes.drain(at..(at + 1 + self.below(16)).min(bytes.len()))),
            4 => insert(bytes, at, POISON[self.below(POISON.len())]),
            5 => {
                let poison = POISON[self.below(POISON.len())];
                let end = (at + poison.len()).min(bytes.len());
                bytes.splice(at..end, poison.iter().copied());
            }
            6 => {
                let other = &seeds[self.below(seeds.len())];
                let from = self.below(other.len() + 1);
                insert(bytes, at, &other[from..]);
            }
            7 => {
                let piece = bytes[at..(at + self.below(32)).min(bytes.len())].to_vec();
                for _ in 0..self.below(20) {
                    insert(bytes, at, &piece);
                }
            }
            _ => flip(bytes, at, 1 << (self.below(8))),
        }
    }
}

fn flip(bytes: &mut [u8], at: usize, with: u64) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= with as u8;
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    if bytes.len() + piece.len() <= MAX_INPUT {
        bytes.splice(at..at, piece.iter().copied());
    }
}
