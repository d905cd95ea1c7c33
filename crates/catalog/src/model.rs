//! One model: its files, its names and what its header says.

pub(crate) mod task;

use std::path::PathBuf;
use std::sync::Arc;

use auxot_names::{KnownNames, Quant, Rank, ShardName, StatedQuant, base_name, one_line, stem};

use crate::damaged::Fault;
use crate::files::{FileSet, Found};
use crate::gguf::{Gguf, GgufError};
use crate::model::task::{Pooling, Task};
use crate::path::file_name;
use crate::requirements::{MemoryRequirements, RequirementsUnknown, RunParameters};
use crate::text::{SHOWN, file_text};

/// A model that the engine can load.
#[derive(Debug, Clone)]
pub struct Model {
    /// The canonical name, unique in its catalog: the file name in lower case without `.gguf` and
    /// shard suffix, such as `llama-3.3-70b-q4_k_m`.
    pub name: String,
    /// The name for the router: the file name without quantisation, in its own case.
    pub base_name: String,
    /// The quantisation in lower case: as the file name says, else as the header says.
    pub quant: Option<String>,
    /// The file that the engine is given: the only one, or the first shard.
    pub file: PathBuf,
    /// All files, in order.
    pub files: Vec<PathBuf>,
    /// The size of all files together.
    pub bytes: u64,
    /// The projector file beside it, for vision or audio.
    pub mmproj: Option<PathBuf>,
    /// The architecture, such as `llama` or `gemma3`.
    pub arch: String,
    /// What the model is for.
    pub task: Task,
    /// The context length it was trained with, in tokens.
    pub ctx_train: Option<u32>,
    /// The bytes of its longest token, where its tokenizer has such a bound.
    pub longest_token: Option<u64>,
    /// How many numbers its tensors hold.
    pub parameters: Option<u64>,
    /// How many layers it has.
    pub block_count: Option<u32>,
    /// Whether it brings a chat template.
    pub chat_template: bool,
    /// Whether it takes pictures, with its projector.
    pub vision: bool,
    /// Whether it takes sound, with its projector.
    pub audio: bool,
    /// What else it is called: links to its file, and the name in its header.
    pub other_names: Vec<String>,
    /// The header, with the tensors of all shards summed up.
    pub header: Arc<Gguf>,
    /// The header of its projector.
    pub projector: Option<Arc<Gguf>>,
}

impl Model {
    /// How it is run in so many slots of so many tokens, for its task.
    #[must_use]
    pub fn run_parameters(&self, slots: u32, ctx: u32) -> RunParameters {
        match self.task {
            Task::Embedding | Task::Rerank => RunParameters::embedding(slots, ctx),
            Task::Chat | Task::None => RunParameters::new(slots, ctx),
        }
    }

    /// How an embedding model makes one vector of a text.
    #[must_use]
    pub fn pooling(&self) -> Pooling {
        Pooling::of(&self.header)
    }

    /// The memory it needs, projector included.
    ///
    /// # Errors
    /// When its header does not say enough.
    pub fn requirements(&self, parameters: &RunParameters) -> Result<MemoryRequirements, RequirementsUnknown> {
        MemoryRequirements::of(&self.header, self.projector.as_deref(), parameters)
    }
}

/// The names and paths that find one model.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) known: KnownNames,
    /// The texts of the names that do not follow from the canonical name.
    pub(crate) others: Vec<(Rank, String)>,
    /// Every path that leads to the first file.
    pub(crate) paths: Vec<PathBuf>,
    /// Where the first file lies under the names that people know.
    pub(crate) place: PathBuf,
}

/// What a set of files is.
pub(crate) enum Content {
    Model(Box<(Model, Names)>),
    /// A projector for vision or audio: the engine loads it beside a model.
    Mmproj(Arc<Gguf>),
    /// Something that the engine cannot load alone: an adapter, an importance matrix.
    Other,
}

/// Reads the headers of a set of files.
pub(crate) fn read(
    set: &FileSet,
    mut header_of: impl FnMut(&Found) -> Result<Arc<Gguf>, GgufError>,
) -> Result<Content, Fault> {
    let mut header: Option<Arc<Gguf>> = None;
    for file in &set.files {
        let shard = header_of(file)?;
        check_part(&file_name(&file.place), &shard)?;
        match &mut header {
            None => header = Some(shard),
            Some(first) => Arc::make_mut(first).absorb(&shard),
        }
    }
    let header = header.ok_or(GgufError::NotGguf)?;
    match (header.text("general.type"), header.arch()) {
        (Some("mmproj"), _) | (_, Some("clip")) => return Ok(Content::Mmproj(header)),
        (Some("adapter" | "imatrix"), _) | (_, Some("controlvector")) => return Ok(Content::Other),
        (_, None) => return Err(GgufError::NoArchitecture.into()),
        _ if header.weights().tensors == 0 && header.get("tokenizer.ggml.model").is_none() => {
            return Err(GgufError::NoTensors.into());
        }
        _ => {}
    }
    Ok(Content::Model(Box::new(model(set, header))))
}

/// The engine finds the other shards by the numbers in the first header, so names and headers must agree.
fn check_part(file: &str, header: &Gguf) -> Result<(), Fault> {
    let named = ShardName::parse(file).map_or((1, 1), |shard| (u64::from(shard.part), u64::from(shard.of)));
    let part = header.uint("split.no").map_or(1, |no| no.saturating_add(1));
    let of = header.uint("split.count").unwrap_or(1).max(1);
    if (part, of) == named { Ok(()) } else { Err(Fault::ShardMixedUp { file: file.to_string(), part, of }) }
}

fn model(set: &FileSet, header: Arc<Gguf>) -> (Model, Names) {
    let first = &set.files[0];
    let file = file_text(&first.place);
    let stem = stem(&file);
    let quant = Quant::split(stem).1.or_else(|| header.uint("general.file_type").and_then(Quant::of_file_type));
    let mut paths: Vec<PathBuf> = vec![first.path.clone()];
    paths.extend(first.links.iter().cloned());
    let (known, others) = known(quant, first, &header);
    let names = Names { known, others, paths, place: first.place.clone() };
    let arch = header.arch().unwrap_or_default();
    let small = |key| header.arch_uint(key).and_then(|n| u32::try_from(n).ok());
    let model = Model {
        name: stem.to_lowercase(),
        base_name: base_name(stem).to_string(),
        quant: quant.map(|quant| quant.to_string()),
        file: first.path.clone(),
        files: set.files.iter().map(|file| file.path.clone()).collect(),
        bytes: header.file_len(),
        mmproj: None,
        task: Task::of(arch, &header),
        ctx_train: small("context_length"),
        longest_token: header.longest_token(),
        parameters: Some(header.weights().parameters),
        block_count: small("block_count"),
        chat_template: header.get("tokenizer.chat_template").is_some(),
        vision: false,
        audio: false,
        other_names: other_names(&first.links, &header),
        arch: one_line(arch, SHOWN),
        header,
        projector: None,
    };
    (model, names)
}

fn other_names(links: &[PathBuf], header: &Gguf) -> Vec<String> {
    let mut names: Vec<String> = links.iter().map(|link| stem(&file_text(link)).to_lowercase()).collect();
    names.extend(header.text("general.name").filter(|name| !name.trim().is_empty()).map(|name| one_line(name, SHOWN)));
    names.dedup();
    names
}

fn known(quant: Option<Quant>, first: &Found, header: &Gguf) -> (KnownNames, Vec<(Rank, String)>) {
    let files = std::iter::once(&first.place).chain(&first.links);
    let mut texts: Vec<(Rank, String)> = files.map(|path| (Rank::File, file_name(path))).collect();
    texts.extend(first.store_names.iter().map(|name| (Rank::File, name.clone())));
    texts.extend(header.text("general.name").map(|name| (Rank::Around, name.to_owned())));
    texts.push((Rank::Around, first.below.to_string_lossy().into_owned()));
    for folder in first.below.ancestors().skip(1) {
        // `owner/repo`, and its parts.
        let path = folder.to_string_lossy().into_owned();
        let folder = file_name(folder);
        // Downloads of `owner/repo` lie in `owner_repo`.
        let repo = folder.split_once('_').map(|(_, repo)| repo.to_owned());
        texts.extend([Some(path), Some(folder), repo].into_iter().flatten().map(|name| (Rank::Around, name)));
    }
    let mut known = KnownNames::new(StatedQuant::Quant(quant));
    let mut others: Vec<(Rank, String)> = texts.into_iter().filter(|(rank, text)| known.add(*rank, text)).collect();
    // The first is the file's own name.
    others.drain(..others.len().min(1));
    (known, others)
}
