//! What can be wrong with a GGUF header.

use std::io;

/// Why a header cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GgufError {
    /// The operating system failed to read.
    #[error("cannot read at byte {at}: {kind}")]
    Io {
        /// Where.
        at: u64,
        /// How.
        kind: io::ErrorKind,
    },
    /// The first four bytes are not `GGUF`.
    #[error("cannot use it: not a GGUF file")]
    NotGguf,
    /// A version of the format that neither we nor the engine read.
    #[error("cannot use it: GGUF version {0}, only 2 and 3 are known")]
    Version(u32),
    /// Written for machines of the other byte order.
    #[error("cannot use it: written for big-endian machines")]
    BigEndian,
    /// The header goes on past the end of the file.
    #[error("cannot read {what} at byte {at}: needs {needs} bytes, the file has {left} more")]
    Cut {
        /// What was being read.
        what: &'static str,
        /// Where.
        at: u64,
        /// Bytes it needs.
        needs: u64,
        /// Bytes that are left.
        left: u64,
    },
    /// A count or length that no real model has.
    #[error("cannot use it: {count} {what}, at most {limit} are accepted")]
    LimitReached {
        /// What is counted.
        what: &'static str,
        /// The count in the file.
        count: u64,
        /// The bound.
        limit: u64,
    },
    /// A value type that the format does not have.
    #[error("cannot read value at byte {at}: unknown type {kind}")]
    ValueType {
        /// Where.
        at: u64,
        /// The type in the file.
        kind: u32,
    },
    /// The engine refuses a header with a key twice.
    #[error("cannot use it: key {0} is there twice")]
    DuplicateKey(String),
    /// `general.alignment` is not a power of two.
    #[error("cannot use it: general.alignment is not a power of two")]
    Alignment,
    /// A tensor whose shape does not fit its type, or whose size overflows.
    #[error("cannot use it: tensor {0} has an impossible shape")]
    TensorShape(String),
    /// A tensor that leaves a gap behind the one before it, or overlaps it: the engine refuses such a file.
    #[error("cannot use it: tensor {name} begins at byte {offset} of the data, and belongs at {expected}")]
    TensorPlace {
        /// The tensor.
        name: String,
        /// Where it begins.
        offset: u64,
        /// Where the one before it ends.
        expected: u64,
    },
    /// Two tensors of one name.
    #[error("cannot use it: tensor {0} is there twice")]
    TensorTwice(String),
    /// Tensor data is missing at the end: the usual mark of a broken download.
    #[error("cannot use it: file is cut short, tensors end at byte {needs}, the file at {has}")]
    TensorsCut {
        /// Where the last tensor ends.
        needs: u64,
        /// The length of the file.
        has: u64,
    },
    /// There is nothing to load.
    #[error("cannot use it: no tensors")]
    NoTensors,
    /// The header does not say what it is.
    #[error("cannot use it: no general.architecture")]
    NoArchitecture,
}
