//! How the engine can store keys and values.

use std::fmt;
use std::str::FromStr;

/// A way to store one number of a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum KvType {
    /// Four bytes.
    F32,
    /// Two bytes: the engine's default.
    #[default]
    F16,
    /// Two bytes, with the range of four.
    Bf16,
    /// Eight bits and a half.
    Q8_0,
    /// Six bits.
    Q5_1,
    /// Five bits and a half.
    Q5_0,
    /// Five bits.
    Q4_1,
    /// Four bits and a half.
    Q4_0,
    /// The same, not evenly spaced.
    Iq4Nl,
}

impl KvType {
    /// All of them, the largest first.
    pub const ALL: [Self; 9] =
        [Self::F32, Self::F16, Self::Bf16, Self::Q8_0, Self::Q5_1, Self::Q5_0, Self::Q4_1, Self::Q4_0, Self::Iq4Nl];

    /// What `numbers` of them take, in bytes. Quantised ones come in blocks of 32.
    #[must_use]
    pub fn bytes(self, numbers: u64) -> u64 {
        let of_block = match self {
            Self::F32 => return numbers.saturating_mul(4),
            Self::F16 | Self::Bf16 => return numbers.saturating_mul(2),
            Self::Q8_0 => 34,
            Self::Q5_1 => 24,
            Self::Q5_0 => 22,
            Self::Q4_1 => 20,
            Self::Q4_0 | Self::Iq4Nl => 18,
        };
        numbers.div_ceil(32).saturating_mul(of_block)
    }

    /// The engine's name for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Q8_0 => "q8_0",
            Self::Q5_1 => "q5_1",
            Self::Q5_0 => "q5_0",
            Self::Q4_1 => "q4_1",
            Self::Q4_0 => "q4_0",
            Self::Iq4Nl => "iq4_nl",
        }
    }
}

impl fmt::Display for KvType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for KvType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(text.trim()));
        found.ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|kind| kind.name()).collect();
            format!("cannot read {text:?} as a type of the cache: there are {}", known.join(", "))
        })
    }
}
