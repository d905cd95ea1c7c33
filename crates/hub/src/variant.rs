//! The models of a repository: which files belong together, and which of them a text means. Pure.

use std::collections::BTreeMap;

use auxot_names::{Name, Quant, ShardName, list, stem};

use crate::digest::Sum;
use crate::source::Wanted;

/// The quantisation that most people take: small, and hardly worse than the original.
const USUAL: &str = "q4_k_m";

/// A file of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFile {
    /// Its path in the repository.
    pub path: String,
    /// Its size.
    pub size: u64,
    /// Its SHA-256; files outside of large file storage have none.
    pub sha256: Option<Sum>,
}

/// A model in one quantisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// The file's name without ending and shard number.
    pub name: String,
    /// The quantisation, where the name has one.
    pub quant: Option<Quant>,
    /// The shards in order, or the only file.
    pub files: Vec<RemoteFile>,
    /// The projector for vision or audio.
    pub projector: Option<RemoteFile>,
}

/// Why a text means no model of a repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VariantError {
    /// The repository has none.
    #[error("cannot find a model: the repository has no GGUF file; look for one whose name ends in -GGUF")]
    NoModels,
    /// None fits.
    #[error("cannot find {wanted}: there is {known}")]
    Unknown {
        /// What was asked for.
        wanted: String,
        /// What there is.
        known: String,
    },
    /// Several fit.
    #[error("cannot choose {wanted}: it may be {known}; name the file")]
    Several {
        /// What was asked for.
        wanted: String,
        /// Which fit.
        known: String,
    },
}

impl Variant {
    /// The size of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.all_files().map(|file| file.size).fold(0, u64::saturating_add)
    }

    /// All files, the projector first and the first shard last: where that one is, the others are.
    pub fn all_files(&self) -> impl Iterator<Item = &RemoteFile> {
        self.projector.iter().chain(self.files.iter().skip(1)).chain(self.files.first())
    }

    /// The quantisation as publishers write it, else the name.
    #[must_use]
    pub fn label(&self) -> String {
        self.quant.map_or_else(|| self.name.clone(), |quant| quant.to_string().to_uppercase())
    }
}

/// Puts a repository's files together. Sets that are not whole are left out.
#[must_use]
pub(crate) fn variants(files: &[RemoteFile]) -> Vec<Variant> {
    let is_gguf = |file: &&RemoteFile| file.path.to_ascii_lowercase().ends_with(".gguf");
    let (projectors, models): (Vec<_>, Vec<_>) =
        files.iter().filter(is_gguf).partition(|file| is_projector(&file.path));
    // By folder and prefix, and by the number of shards; 0 for a single file.
    let mut sets: BTreeMap<(&str, &str, u32), BTreeMap<u32, &RemoteFile>> = BTreeMap::new();
    for file in models.into_iter().filter(|file| !split(&file.path).1.to_ascii_lowercase().contains("imatrix")) {
        let (folder, name) = split(&file.path);
        let shard = ShardName::parse(name);
        let (of, part) = shard.map_or((0, 1), |shard| (shard.of, shard.part));
        sets.entry((folder, stem(name), of)).or_default().insert(part, file);
    }
    let whole = sets.into_iter().filter(|((_, _, of), parts)| parts.len() as u32 == (*of).max(1));
    let variant = |((folder, name, _), parts): ((&str, &str, u32), BTreeMap<u32, &RemoteFile>)| Variant {
        name: name.to_owned(),
        quant: Quant::split(name).1.or_else(|| Quant::split(split(folder).1).1),
        files: parts.into_values().cloned().collect(),
        projector: projector(folder, &projectors),
    };
    whole.map(variant).collect()
}

/// The variant that is wanted; `None` where the best that fits is wanted and there are several.
///
/// # Errors
/// When there is none, or several fit.
pub(crate) fn choose<'v>(variants: &'v [Variant], wanted: &Wanted) -> Result<Option<&'v Variant>, VariantError> {
    let names = |variants: &[&Variant]| list(&variants.iter().map(|variant| variant.label()).collect::<Vec<_>>());
    let all: Vec<&Variant> = variants.iter().collect();
    let text = match wanted {
        _ if variants.is_empty() => return Err(VariantError::NoModels),
        Wanted::Best => return Ok(if let [only] = variants { Some(only) } else { None }),
        Wanted::Quant(text) | Wanted::File(text) => text,
    };
    let found = match wanted {
        Wanted::File(path) => all.iter().copied().filter(|variant| has_file(variant, path)).collect(),
        _ => by_quant(&all, text),
    };
    match found.as_slice() {
        [one] => Ok(Some(one)),
        [] => Err(VariantError::Unknown { wanted: text.clone(), known: names(&all) }),
        several => {
            let known = several.iter().map(|variant| variant.files[0].path.clone()).collect::<Vec<_>>();
            Err(VariantError::Several { wanted: text.clone(), known: list(&known) })
        }
    }
}

/// The variant that most people take, where nothing is known of this host.
pub(crate) fn usual(variants: &[Variant]) -> Option<&Variant> {
    let all: Vec<&Variant> = variants.iter().collect();
    match by_quant(&all, USUAL).as_slice() {
        [one] => Some(one),
        _ => None,
    }
}

/// The variants in a quantisation, in the first of these ways that finds one: the same; an equivalent one; for `Q4_K`, the
/// middle of `Q4_K_S`, `Q4_K_M`, `Q4_K_L`; the name itself.
fn by_quant<'v>(variants: &[&'v Variant], text: &str) -> Vec<&'v Variant> {
    let only = |matches: &dyn Fn(&Variant) -> bool| -> Vec<&'v Variant> {
        variants.iter().copied().filter(|variant| matches(variant)).collect()
    };
    let requested = Quant::split(text).1.filter(|_| Quant::split(text).0.is_empty());
    let mut found = Vec::new();
    if let Some(requested) = requested {
        found = only(&|variant| variant.quant == Some(requested));
        if found.is_empty() {
            found = only(&|variant| variant.quant.is_some_and(|quant| quant.is_like(requested)));
        }
        for size in ["m", "s", "l"] {
            let sized = Quant::split(&format!("{requested}_{size}")).1;
            if found.is_empty() && sized.is_some() {
                found = only(&|variant| variant.quant == sized);
            }
        }
    }
    if found.is_empty() {
        let name = Name::parse(text);
        found = only(&|variant| Name::parse(&variant.name) == name);
    }
    found
}

fn has_file(variant: &Variant, path: &str) -> bool {
    variant.files.iter().any(|file| file.path == path)
}

fn is_projector(path: &str) -> bool {
    split(path).1.to_ascii_lowercase().contains("mmproj")
}

/// The projector of a folder or of the nearest one above, in the precision that publishers recommend.
fn projector(folder: &str, projectors: &[&RemoteFile]) -> Option<RemoteFile> {
    let above = std::iter::successors(Some(folder), |folder| (!folder.is_empty()).then(|| split(folder).0));
    let order = |file: &&&RemoteFile| {
        let quant = Quant::split(stem(split(&file.path).1)).1.map(|quant| quant.to_string());
        let precision = ["f16", "bf16", "f32"].iter().position(|known| quant.as_deref() == Some(*known)).unwrap_or(3);
        (precision, file.path.clone())
    };
    let mut found =
        above.filter_map(|place| projectors.iter().filter(|file| split(&file.path).0 == place).min_by_key(order));
    found.next().map(|file| (*file).clone())
}

/// Folder and file name.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(paths: &[&str]) -> Vec<Variant> {
        let file = |path: &&str| RemoteFile { path: (*path).to_owned(), size: 10, sha256: None };
        variants(&paths.iter().map(file).collect::<Vec<_>>())
    }

    #[track_caller]
    fn chosen(variants: &[Variant], quant: &str) -> String {
        match choose(variants, &Wanted::Quant(quant.to_owned())) {
            Ok(Some(variant)) => variant.files[0].path.clone(),
            Ok(None) => panic!("nothing chosen"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn shards_and_projectors_are_parts_of_their_model() {
        let all = of(&[
            "BF16/m-BF16-00002-of-00002.gguf",
            "BF16/m-BF16-00001-of-00002.gguf",
            "Q8_0/m-Q8_0-00001-of-00002.gguf",
            "m-Q4_K_M.gguf",
            "mmproj-F32.gguf",
            "mmproj-BF16.gguf",
            "imatrix_unsloth.gguf",
            "README.md",
        ]);
        let [single, sharded] = &all[..] else { panic!("{all:?}") };
        let paths = |variant: &Variant| variant.all_files().map(|file| file.path.clone()).collect::<Vec<_>>();
        let shards = ["BF16/m-BF16-00002-of-00002.gguf", "BF16/m-BF16-00001-of-00002.gguf"];
        assert_eq!(paths(sharded), ["mmproj-BF16.gguf", shards[0], shards[1]]);
        assert_eq!((paths(single).len(), sharded.bytes(), single.label()), (2, 30, "Q4_K_M".to_owned()));
    }

    #[test]
    fn a_quantisation_means_itself_and_never_a_part_of_another() {
        let all = of(&["m-BF16.gguf", "m-Q4_K_S.gguf", "m-Q4_K_M.gguf", "m-UD-Q4_K_XL.gguf", "m-IQ4_XS.gguf"]);
        for (quant, path) in [
            ("Q4_K_M", "m-Q4_K_M.gguf"),
            ("q4km", "m-Q4_K_M.gguf"),
            ("Q4_K", "m-Q4_K_M.gguf"),
            ("Q4_K_XL", "m-UD-Q4_K_XL.gguf"),
            ("F16", "m-BF16.gguf"),
            ("iq4_xs", "m-IQ4_XS.gguf"),
            ("m-Q4_K_S", "m-Q4_K_S.gguf"),
        ] {
            assert_eq!(chosen(&all, quant), path, "{quant}");
        }
        assert_eq!(chosen(&of(&["m-BF16.gguf", "m-F16.gguf"]), "F16"), "m-F16.gguf");
        let unknown = chosen(&all, "Q6_K");
        assert!(unknown.starts_with("cannot find Q6_K: there is BF16, IQ4_XS, "), "{unknown}");
        let several = chosen(&of(&["a-Q8_0.gguf", "b-Q8_0.gguf"]), "Q8_0");
        assert_eq!(several, "cannot choose Q8_0: it may be a-Q8_0.gguf, b-Q8_0.gguf; name the file");
    }

    #[test]
    fn a_file_means_its_whole_set() {
        let all = of(&["Q8_0/m-00001-of-00002.gguf", "Q8_0/m-00002-of-00002.gguf", "m-Q4_0.gguf"]);
        let chosen = choose(&all, &Wanted::File("Q8_0/m-00002-of-00002.gguf".into())).unwrap().unwrap();
        assert_eq!((chosen.files.len(), chosen.label()), (2, "Q8_0".to_owned()));
        assert!(choose(&all, &Wanted::File("m-Q8_0.gguf".into())).is_err());
        assert_eq!(choose(&all, &Wanted::Best), Ok(None));
        assert_eq!(choose(&all[..1], &Wanted::Best).unwrap(), Some(&all[0]));
        assert_eq!(choose(&[], &Wanted::Best), Err(VariantError::NoModels));
        assert_eq!(usual(&of(&["m-Q8_0.gguf", "m-Q4_K_M.gguf"])).unwrap().name, "m-Q4_K_M");
    }
}
