//! What the tensors of a file weigh, summed by the places where the engine can put them.

use std::collections::HashSet;
use std::io::{Read, Seek};

use serde::{Deserialize, Serialize};

use super::GgufError;
use super::cursor::Cursor;

/// The largest models have a few thousand tensors; old mixtures of experts had ten thousand.
const MAX_TENSORS: u64 = 65_536;
/// The engine's own limit is 64 bytes.
const MAX_NAME: u64 = 256;
/// The engine's own limit.
const MAX_DIMENSIONS: u32 = 4;
/// More layers than this are taken for something else.
const MAX_BLOCKS: usize = 4_096;

/// Bytes of tensors, by the places where the engine can put them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weights {
    /// All tensors together, in bytes.
    pub total: u64,
    /// The layers (`blk.N.*`), in order.
    pub blocks: Vec<Block>,
    /// The token embedding, which the engine keeps in host memory.
    pub token_embd: u64,
    /// The output layer (`output*`).
    pub output: u64,
    /// There is no `output.weight`: where the output is offloaded, the token embedding is copied to
    /// the device as well.
    pub tied: bool,
    /// Everything else.
    pub other: u64,
    /// How many tensors there are.
    pub tensors: u64,
    /// How many numbers they hold together: the parameters of the model.
    pub parameters: u64,
    /// Bytes of the file after the last tensor, which no reader uses.
    #[serde(default)]
    pub trailing: u64,
}

/// Bytes of the tensors of one layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// All tensors of the layer, in bytes.
    pub bytes: u64,
    /// Those among them that hold the experts of a mixture (`*_exps*`).
    pub experts: u64,
}

impl Weights {
    /// Adds the tensors of another shard.
    pub(super) fn add(&mut self, shard: &Self) {
        if self.blocks.len() < shard.blocks.len() {
            self.blocks.resize(shard.blocks.len(), Block::default());
        }
        for (mine, theirs) in self.blocks.iter_mut().zip(&shard.blocks) {
            mine.bytes = mine.bytes.saturating_add(theirs.bytes);
            mine.experts = mine.experts.saturating_add(theirs.experts);
        }
        self.total = self.total.saturating_add(shard.total);
        self.token_embd = self.token_embd.saturating_add(shard.token_embd);
        self.output = self.output.saturating_add(shard.output);
        self.tied &= shard.tied;
        self.other = self.other.saturating_add(shard.other);
        self.tensors += shard.tensors;
        self.trailing = self.trailing.saturating_add(shard.trailing);
        self.parameters = self.parameters.saturating_add(shard.parameters);
    }

    fn put(&mut self, place: ChangedPath, bytes: u64) {
        // Tensors of a lying file may overlap and sum up to more than any file.
        self.total = self.total.saturating_add(bytes);
        match place {
            ChangedPath::Block { index, expert } => {
                let index = usize::from(index);
                if self.blocks.len() <= index {
                    self.blocks.resize(index + 1, Block::default());
                }
                let block = &mut self.blocks[index];
                block.bytes = block.bytes.saturating_add(bytes);
                block.experts = block.experts.saturating_add(if expert { bytes } else { 0 });
            }
            ChangedPath::TokenEmbedding => self.token_embd = self.token_embd.saturating_add(bytes),
            ChangedPath::Output => self.output = self.output.saturating_add(bytes),
            ChangedPath::Other => self.other = self.other.saturating_add(bytes),
        }
    }
}

/// Where the engine puts a tensor.
#[derive(Clone, Copy)]
enum ChangedPath {
    Block { index: u16, expert: bool },
    TokenEmbedding,
    Output,
    Other,
}

impl ChangedPath {
    fn of(name: &str) -> Self {
        let block = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.'));
        if let Some((index, part)) = block
            && let Ok(index) = index.parse::<u16>()
            && usize::from(index) < MAX_BLOCKS
        {
            return Self::Block { index, expert: part.contains("_exps") };
        }
        match name {
            _ if name.starts_with("token_embd.") => Self::TokenEmbedding,
            _ if name.starts_with("output") => Self::Output,
            _ => Self::Other,
        }
    }
}

/// The tensor list of a header, kept only while the header is read.
pub(super) struct Tensors {
    list: Vec<Tensor>,
    tied: bool,
    parameters: u64,
}

struct Tensor {
    place: ChangedPath,
    offset: u64,
    /// None where the type is newer than this program; then the gap to the next tensor gives the size.
    bytes: Option<u64>,
}

impl Tensors {
    /// Reads the list. The engine wants each tensor right behind the one before it, at the next multiple of
    /// `alignment`.
    pub(super) fn read<R: Read + Seek>(cursor: &mut Cursor<R>, count: u64, alignment: u64) -> Result<Self, GgufError> {
        if count > MAX_TENSORS {
            return Err(GgufError::LimitReached { what: "tensors", count, limit: MAX_TENSORS });
        }
        let mut tensors = Self { list: Vec::new(), tied: true, parameters: 0 };
        let mut names: HashSet<Box<str>> = HashSet::new();
        let mut expected = Some(0);
        for _ in 0..count {
            let name = cursor.text("tensor name", MAX_NAME)?;
            let dimensions = cursor.u32("tensor")?;
            if dimensions > MAX_DIMENSIONS {
                return Err(GgufError::TensorShape(name.into()));
            }
            let mut row = 1;
            let mut elements: u64 = 1;
            for dimension in 0..dimensions {
                let size = cursor.u64("tensor")?;
                row = if dimension == 0 { size } else { row };
                elements = elements.checked_mul(size).ok_or_else(|| GgufError::TensorShape(name.to_string()))?;
            }
            let kind = cursor.u32("tensor")?;
            let offset = cursor.u64("tensor")?;
            let bytes = bytes_of(kind, row, elements).map_err(|()| GgufError::TensorShape(name.to_string()))?;
            if let Some(expected) = expected.filter(|expected| *expected != offset) {
                return Err(GgufError::TensorPlace { name: name.to_string(), offset, expected });
            }
            // What has an unknown type has an unknown end.
            expected = bytes.and_then(|bytes| offset.checked_add(bytes)?.checked_next_multiple_of(alignment));
            tensors.tied &= &*name != "output.weight";
            tensors.parameters = tensors.parameters.saturating_add(elements);
            tensors.list.push(Tensor { place: ChangedPath::of(&name), offset, bytes });
            if let Some(twice) = names.replace(name) {
                return Err(GgufError::TensorTwice(twice.to_string()));
            }
        }
        Ok(tensors)
    }

    /// Sums the tensors up. `header_end` is where the tensor list ends in the file.
    pub(super) fn weigh(mut self, header_end: u64, alignment: u64, file_len: u64) -> Result<Weights, GgufError> {
        self.list.sort_by_key(|tensor| tensor.offset);
        let data = header_end.checked_next_multiple_of(alignment).unwrap_or(u64::MAX);
        let mut weights = Weights {
            tied: self.tied,
            tensors: self.list.len() as u64,
            parameters: self.parameters,
            ..Weights::default()
        };
        for (i, tensor) in self.list.iter().enumerate() {
            let next = self.list.get(i + 1).map_or(file_len.saturating_sub(data), |next| next.offset);
            let bytes = tensor.bytes.unwrap_or_else(|| next.saturating_sub(tensor.offset));
            let end = data.saturating_add(tensor.offset).saturating_add(bytes);
            if end > file_len {
                return Err(GgufError::TensorsCut { needs: end, has: file_len });
            }
            weights.put(tensor.place, bytes);
            let end = end.checked_next_multiple_of(alignment).unwrap_or(file_len);
            weights.trailing = file_len.saturating_sub(end);
        }
        Ok(weights)
    }
}

/// The size of a tensor, or None where the type is not known here.
fn bytes_of(kind: u32, row: u64, elements: u64) -> Result<Option<u64>, ()> {
    // Elements per block and bytes per block, as in ggml.c.
    let (elements_per, bytes_per) = match kind {
        0 | 26 => (1, 4),      // f32, i32
        1 | 25 | 30 => (1, 2), // f16, i16, bf16
        24 => (1, 1),          // i8
        27 | 28 => (1, 8),     // i64, f64
        2 | 20 => (32, 18),    // q4_0, iq4_nl
        3 => (32, 20),         // q4_1
        6 => (32, 22),         // q5_0
        7 => (32, 24),         // q5_1
        8 => (32, 34),         // q8_0
        39 => (32, 17),        // mxfp4
        10 => (256, 84),       // q2_k
        11 | 21 => (256, 110), // q3_k, iq3_s
        12 => (256, 144),      // q4_k
        13 => (256, 176),      // q5_k
        14 => (256, 210),      // q6_k
        15 => (256, 292),      // q8_k
        16 | 35 => (256, 66),  // iq2_xxs, tq2_0
        17 => (256, 74),       // iq2_xs
        18 => (256, 98),       // iq3_xxs
        19 => (256, 50),       // iq1_s
        22 => (256, 82),       // iq2_s
        23 => (256, 136),      // iq4_xs
        29 => (256, 56),       // iq1_m
        34 => (256, 54),       // tq1_0
        _ => return Ok(None),
    };
    if !row.is_multiple_of(elements_per) {
        return Err(());
    }
    (elements / elements_per).checked_mul(bytes_per).map(Some).ok_or(())
}
