//! One value of a header: kept when it is small, measured and left behind when it is not.

use std::io::{Read, Seek};

use serde::{Deserialize, Serialize};

use super::GgufError;
use super::cursor::Cursor;

/// Longest text that is kept, in bytes. Chat templates and licences are longer.
const MAX_TEXT: u64 = 512;
/// Longest list that is kept. Lists with one number per layer are shorter, vocabularies longer.
const MAX_LIST: u64 = 1_024;
/// Most texts in one list; the largest vocabularies have half a million merges.
const MAX_TEXTS: u64 = 8 << 20;

/// A value of a header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// A whole number, not negative.
    Uint(u64),
    /// A whole number of a signed type.
    Int(i64),
    /// A number.
    Float(f64),
    /// Yes or no.
    Bool(bool),
    /// A short text.
    Text(Box<str>),
    /// A short list of whole numbers, or of booleans as 0 and 1, as used for facts per layer.
    Ints(Box<[i64]>),
    /// A text that is not kept, with its length in bytes.
    LongText(u64),
    /// A list that is not kept, with its number of elements.
    List(u64),
    /// A list of texts that is not kept, such as a vocabulary.
    Texts {
        /// How many there are.
        count: u64,
        /// The bytes of the longest.
        longest: u64,
    },
}

impl Value {
    /// The value as a whole number, if it is one that is not negative.
    #[must_use]
    pub fn as_uint(&self) -> Option<u64> {
        match *self {
            Self::Uint(n) => Some(n),
            Self::Int(n) => u64::try_from(n).ok(),
            _ => None,
        }
    }

    /// Bytes that the value holds outside itself.
    pub(super) fn heap(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Ints(list) => size_of_val(&**list),
            _ => 0,
        }
    }

    /// Reads a type and a value of that type.
    pub(super) fn read<R: Read + Seek>(cursor: &mut Cursor<R>) -> Result<Self, GgufError> {
        match Type::read(cursor)? {
            Type::Number(number) => number.read(cursor),
            Type::Text => {
                let len = cursor.count("text", 1)?;
                if len <= MAX_TEXT {
                    return Ok(Self::Text(cursor.text_of("text", len)?));
                }
                cursor.skip("text", len)?;
                Ok(Self::LongText(len))
            }
            Type::List => Self::read_list(cursor),
        }
    }

    fn read_list<R: Read + Seek>(cursor: &mut Cursor<R>) -> Result<Self, GgufError> {
        let at = cursor.position();
        match Type::read(cursor)? {
            Type::Number(number) => {
                let count = cursor.count("list", number.size())?;
                if count > MAX_LIST || !number.is_whole() {
                    cursor.skip("list", count * number.size())?;
                    return Ok(Self::List(count));
                }
                let mut list = Vec::with_capacity(count as usize);
                for _ in 0..count {
                    list.push(number.read(cursor)?.as_int());
                }
                // A number past i64 is never used.
                Ok(list.into_iter().collect::<Option<_>>().map_or(Self::List(count), Self::Ints))
            }
            Type::Text => {
                let count = cursor.count("list of texts", 8)?;
                if count > MAX_TEXTS {
                    return Err(GgufError::LimitReached { what: "texts in a list", count, limit: MAX_TEXTS });
                }
                let mut longest = 0;
                for _ in 0..count {
                    let len = cursor.u64("text in a list")?;
                    cursor.skip("text in a list", len)?;
                    longest = longest.max(len);
                }
                Ok(Self::Texts { count, longest })
            }
            // The engine does not read lists of lists either.
            Type::List => Err(GgufError::ValueType { at, kind: LIST }),
        }
    }

    fn as_int(&self) -> Option<i64> {
        match *self {
            Self::Uint(n) => i64::try_from(n).ok(),
            Self::Int(n) => Some(n),
            Self::Bool(b) => Some(i64::from(b)),
            _ => None,
        }
    }
}

const LIST: u32 = 9;

enum Type {
    Number(Number),
    Text,
    List,
}

impl Type {
    fn read<R: Read + Seek>(cursor: &mut Cursor<R>) -> Result<Self, GgufError> {
        let at = cursor.position();
        Ok(Self::Number(match cursor.u32("value type")? {
            0 => Number::U8,
            1 => Number::I8,
            2 => Number::U16,
            3 => Number::I16,
            4 => Number::U32,
            5 => Number::I32,
            6 => Number::F32,
            7 => Number::Bool,
            8 => return Ok(Self::Text),
            LIST => return Ok(Self::List),
            10 => Number::U64,
            11 => Number::I64,
            12 => Number::F64,
            kind => return Err(GgufError::ValueType { at, kind }),
        }))
    }
}

#[derive(Clone, Copy)]
enum Number {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    U64,
    I64,
    F64,
}

impl Number {
    fn size(self) -> u64 {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    fn is_whole(self) -> bool {
        !matches!(self, Self::F32 | Self::F64)
    }

    fn read<R: Read + Seek>(self, cursor: &mut Cursor<R>) -> Result<Value, GgufError> {
        let what = "number";
        Ok(match self {
            Self::U8 => Value::Uint(u64::from(u8::from_le_bytes(cursor.bytes(what)?))),
            Self::I8 => Value::Int(i64::from(i8::from_le_bytes(cursor.bytes(what)?))),
            Self::U16 => Value::Uint(u64::from(u16::from_le_bytes(cursor.bytes(what)?))),
            Self::I16 => Value::Int(i64::from(i16::from_le_bytes(cursor.bytes(what)?))),
            Self::U32 => Value::Uint(u64::from(cursor.u32(what)?)),
            Self::I32 => Value::Int(i64::from(i32::from_le_bytes(cursor.bytes(what)?))),
            Self::F32 => Value::Float(f64::from(f32::from_le_bytes(cursor.bytes(what)?))),
            Self::Bool => Value::Bool(cursor.bytes::<1>(what)? != [0]),
            Self::U64 => Value::Uint(cursor.u64(what)?),
            Self::I64 => Value::Int(i64::from_le_bytes(cursor.bytes(what)?)),
            Self::F64 => Value::Float(f64::from_le_bytes(cursor.bytes(what)?)),
        })
    }
}
