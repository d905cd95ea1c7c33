//! Which projector file, if any, belongs to a model.
//!
//! A wrong one keeps the engine from loading the model at all, so it is only taken when its name or
//! the width of its output says that it belongs there.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use auxot_names::{Name, stem};

use crate::files::Found;
use crate::gguf::{Gguf, Value};
use crate::model::{Model, Names};
use crate::path::file_name;

/// A projector file.
pub(crate) struct Mmproj {
    path: PathBuf,
    /// The folder of its place.
    folder: PathBuf,
    header: Arc<Gguf>,
    /// Which model its name is for, if it names one; as [`Name::key`].
    subject: String,
    /// How wide its output is.
    width: Option<u64>,
    /// Among those that fit, the better first: the precision that publishers recommend, then the name.
    order: (u8, String),
}

impl Mmproj {
    pub(crate) fn new(file: &Found, header: Arc<Gguf>) -> Self {
        let name = Name::parse(stem(&file_name(&file.place)));
        let precision = match name.quant.map(|quant| quant.to_string()).as_deref() {
            Some("f16") => 0,
            Some("bf16") => 1,
            Some("f32") => 2,
            _ => 3,
        };
        let subject: Vec<&str> = name.key.split('-').filter(|run| *run != "mmproj").collect();
        let width = ["clip.vision.projection_dim", "clip.audio.projection_dim"];
        Self {
            path: file.path.clone(),
            folder: folder(&file.place).to_path_buf(),
            subject: subject.join("-"),
            width: width.into_iter().find_map(|key| header.uint(key)),
            order: (precision, name.key.clone()),
            header,
        }
    }

    /// Whether it is for vision, and whether for audio. Old files name neither, and are for vision.
    fn senses(&self) -> (bool, bool) {
        let has = |key: &str| self.header.get(key) == Some(&Value::Bool(true));
        let audio = has("clip.has_audio_encoder");
        (has("clip.has_vision_encoder") || !audio, audio)
    }

    /// How well it fits: 0 by name, 1 by place; None if it does not.
    fn fits(&self, model: &Model, base: &str, alone: bool) -> Option<u8> {
        if !self.subject.is_empty() {
            return (base.starts_with(&self.subject) || self.subject.starts_with(base)).then_some(0);
        }
        let fits = match (self.width, model.header.arch_uint("embedding_length")) {
            (Some(width), Some(expected)) => width == expected,
            // Nothing to compare: trust the folder, if it holds one model in its variants.
            _ => alone,
        };
        fits.then_some(1)
    }
}

/// Gives each model the projector that lies beside it, or, for a model in a folder of its own
/// quantisation (`repo/Q4_K_S/x-00001-of-00002.gguf`), one folder up.
pub(crate) fn pair(models: &mut [Model], names: &[Names], projectors: &[Mmproj]) {
    if projectors.is_empty() {
        return;
    }
    let bases: Vec<String> = names.iter().map(|names| Name::parse(&file_name(&names.place)).key).collect();
    let mut folders: HashMap<&Path, Vec<&str>> = HashMap::new();
    for (names, base) in names.iter().zip(&bases) {
        folders.entry(folder(&names.place)).or_default().push(base);
    }
    let mut places: HashMap<&Path, Vec<&Mmproj>> = HashMap::new();
    for projector in projectors {
        places.entry(&projector.folder).or_default().push(projector);
    }
    let alone = |folder: &Path| folders.get(folder).is_none_or(|bases| bases.iter().all(|base| base == &bases[0]));
    let found: Vec<Option<&Mmproj>> = models
        .iter()
        .zip(names)
        .zip(&bases)
        .map(|((model, names), base)| {
            let beside = folder(&names.place);
            let above = Name::parse(&file_name(beside)).key.is_empty().then(|| folder(beside));
            [Some(beside), above].into_iter().flatten().find_map(|place| {
                let here = places.get(place).into_iter().flatten().copied();
                let fitting = here.filter_map(|projector| {
                    projector.fits(model, base, alone(beside)).map(|fit| (fit, &projector.order, projector))
                });
                let best = fitting.min_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
                best.map(|(_, _, projector)| projector)
            })
        })
        .collect();
    for (model, projector) in models.iter_mut().zip(found) {
        let Some(projector) = projector else { continue };
        model.mmproj = Some(projector.path.clone());
        model.projector = Some(Arc::clone(&projector.header));
        (model.vision, model.audio) = projector.senses();
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}
