//! The catalog: everything that one scan of the models folders found.

pub(crate) mod changes;
pub(crate) mod header_cache;
pub(crate) mod mmproj;
pub(crate) mod shards;
pub(crate) mod store;
pub(crate) mod walk;
pub(crate) mod watch_target;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::time::Instant;

use auxot_names::{Rank, same_name, stem};

use crate::config::{Alias, Config, expand_home};
use crate::damaged::Damaged;
use crate::files::{FileSet, Found};
use crate::identity::Identity;
use crate::model::{Content, Model, Names, read};
use crate::scan::changes::Changes;
use crate::scan::header_cache::HeaderCache;
use crate::scan::mmproj::{Mmproj, pair};
use crate::scan::shards::group;
use crate::scan::walk::Walk;
use crate::scan::watch_target::WatchTarget;
use crate::text::{file_text, path_text};

/// So many links to one file are names of it; further ones are ignored.
const MOST_LINKS: usize = 64;

/// The models of this host at one moment.
#[derive(Debug, Default)]
pub struct Catalog {
    models: Vec<Model>,
    /// The names of `models`, at the same places.
    names: Vec<Names>,
    damaged: Vec<Damaged>,
    aliases: Vec<Alias>,
    header_cache: HeaderCache,
    watch_targets: Vec<WatchTarget>,
}

impl Catalog {
    /// Scans the configured folders. Blocks while it reads.
    #[must_use]
    pub fn scan(config: &Config) -> Self {
        Self::scan_with(config, &[])
    }

    /// As [`Catalog::scan`], with further files that are requested by path (`file:/path/x.gguf`).
    #[must_use]
    pub fn scan_with(config: &Config, files: &[&Path]) -> Self {
        Self::look(config, files, &Self::default())
    }

    /// As [`Catalog::scan_with`], but opens only files that are not as they were when [`Catalog::remember`] wrote
    /// `index`. A missing or damaged index costs time and nothing else.
    #[must_use]
    pub fn recall(config: &Config, files: &[&Path], index: &Path) -> Self {
        let earlier = Self { header_cache: HeaderCache::read(index), ..Self::default() };
        Self::look(config, files, &earlier)
    }

    /// Scans again, opens only files that are new or have changed, and returns what is different. Blocks.
    #[must_use]
    pub fn rescan(&self, config: &Config, files: &[&Path]) -> (Self, Changes) {
        let new = Self::look(config, files, self);
        let changes = Changes::between(self, &new);
        changes.log();
        (new, changes)
    }

    /// Writes the headers for [`Catalog::recall`]. Blocks.
    ///
    /// # Errors
    /// When the file cannot be written; then the old one is still there.
    pub fn remember(&self, index: &Path) -> io::Result<()> {
        self.header_cache.write(index)
    }

    /// How many files were opened for this catalog; the headers of the others were known.
    #[must_use]
    pub fn opened(&self) -> usize {
        self.header_cache.opened
    }

    fn look(config: &Config, files: &[&Path], earlier: &Self) -> Self {
        let start = Instant::now();
        let mut walk = Walk::default();
        for folder in &config.models_dir {
            let folder = expand_home(folder);
            // A host without models is no fault; a folder that is configured must exist.
            if config.models_dir != Config::default().models_dir || folder.exists() {
                walk.folder(&folder);
            } else {
                walk.expect(&folder);
            }
        }
        for folder in config.store_folders() {
            if folder.is_dir() { walk.folder(&folder) } else { walk.expect(&folder) }
        }
        for file in config.model_file.iter().map(|file| &**file).chain(files.iter().copied()) {
            walk.file(&expand_home(file));
        }
        let mut damaged = walk.damaged;
        let sets = group(merge_links(walk.found), &mut damaged);
        let mut catalog = Self::read(&sets, damaged, &earlier.header_cache);
        catalog.aliases.clone_from(&config.aliases);
        catalog.watch_targets = walk.watch_targets;
        // What was logged once is not logged at every scan.
        let known: HashMap<&Path, &Damaged> = earlier.damaged.iter().map(|known| (&*known.path, known)).collect();
        let is_known = |damaged: &&Damaged| known.get(&*damaged.path) == Some(damaged);
        for Damaged { name, path, fault } in catalog.damaged.iter().filter(|damaged| !is_known(damaged)) {
            tracing::warn!(%name, path = path_text(path), %fault, "model file cannot be used");
        }
        let (models, damaged, opened) = (catalog.models.len(), catalog.damaged.len(), catalog.opened());
        tracing::debug!(models, damaged, opened, elapsed = ?start.elapsed(), "models folders read");
        catalog
    }

    fn read(sets: &[FileSet], damaged: Vec<Damaged>, earlier: &HeaderCache) -> Self {
        let mut found = Vec::new();
        let mut projectors = Vec::new();
        let mut catalog = Self { damaged, ..Self::default() };
        for set in sets {
            let path = &set.files[0].path;
            match read(set, |file| catalog.header_cache.header(file, earlier)) {
                Ok(Content::Model(model)) => found.push(*model),
                Ok(Content::Mmproj(header)) => projectors.push(Mmproj::new(&set.files[0], header)),
                Ok(Content::Other) => tracing::debug!(path = %path.display(), "file holds no model"),
                Err(fault) => {
                    let name = stem(&file_text(&set.files[0].place)).to_lowercase();
                    catalog.damaged.push(Damaged { name, path: path.clone(), fault });
                }
            }
        }
        found.sort_by(|a, b| (&a.0.name, &a.0.file).cmp(&(&b.0.name, &b.0.file)));
        (catalog.models, catalog.names) = found.into_iter().unzip();
        pair(&mut catalog.models, &catalog.names, &projectors);
        make_unique(&mut catalog.models, &catalog.names);
        for (model, names) in catalog.models.iter().zip(&mut catalog.names) {
            let file = file_text(&names.place);
            if !same_name(&model.name, &file) {
                names.others.insert(0, (Rank::File, file));
            }
        }
        catalog
    }

    /// The state of a model's first file when its header was read.
    #[must_use]
    pub fn identity(&self, model: &Model) -> Option<Identity> {
        self.header_cache.identity(&model.file)
    }

    /// Where a change may make this catalog outdated.
    pub(crate) fn watch_targets(&self) -> &[WatchTarget] {
        &self.watch_targets
    }

    /// The operator's own names for models.
    #[must_use]
    pub fn aliases(&self) -> &[Alias] {
        &self.aliases
    }

    /// Whether no file of the model has changed since `earlier`.
    pub(crate) fn same_files(&self, earlier: &Self, model: &Model) -> bool {
        model.files.iter().chain(&model.mmproj).all(|file| self.header_cache.same(&earlier.header_cache, file))
    }

    /// The models, sorted by name.
    #[must_use]
    pub fn models(&self) -> &[Model] {
        &self.models
    }

    /// The files and folders that cannot be used.
    #[must_use]
    pub fn damaged(&self) -> &[Damaged] {
        &self.damaged
    }

    /// The models with their names besides the canonical ones.
    pub fn other_names(&self) -> impl Iterator<Item = (&Model, &[(Rank, String)])> {
        self.with_names().map(|(model, names)| (model, names.others.as_slice()))
    }

    pub(crate) fn with_names(&self) -> impl Iterator<Item = (&Model, &Names)> {
        self.models.iter().zip(&self.names)
    }
}

/// Two paths to one file are one model, under the path that is no link; the others become names of it.
fn merge_links(found: Vec<Found>) -> Vec<Found> {
    let mut files: Vec<Found> = Vec::new();
    let mut places: HashMap<(u64, u64), usize> = HashMap::new();
    for mut file in found {
        match places.get(&file.id).and_then(|place| files.get_mut(*place)) {
            None => {
                places.insert(file.id, files.len());
                files.push(file);
            }
            Some(known) if known.path == file.path => {
                // The index of a store says more than the walk, and may have several names for one file.
                if known.place == known.path {
                    (known.place, known.below) = (file.place, file.below);
                }
                known.store_names.append(&mut file.store_names);
            }
            Some(known) if known.links.len() >= MOST_LINKS => {}
            Some(known) => {
                if known.is_link && !file.is_link {
                    std::mem::swap(known, &mut file);
                }
                known.links.push(file.path);
                known.links.append(&mut file.links);
            }
        }
    }
    files
}

/// Gives models of one name their folders in front, as many as it takes.
fn make_unique(models: &mut [Model], names: &[Names]) {
    // Paths that differ in case only stay alike with all their folders, so those are numbered.
    let mut paths: HashMap<String, usize> = HashMap::new();
    for (model, names) in models.iter_mut().zip(names) {
        let count = paths.entry(path_text(&names.place).to_lowercase()).or_default();
        *count += 1;
        if *count > 1 {
            model.name = format!("{}~{count}", model.name);
        }
    }
    let own: Vec<String> = models.iter().map(|model| model.name.clone()).collect();
    let deepest = names.iter().map(|names| names.place.components().count()).max().unwrap_or(0);
    for depth in 1..=deepest {
        let mut uses: HashMap<String, usize> = HashMap::new();
        for model in models.iter() {
            *uses.entry(model.name.clone()).or_default() += 1;
        }
        if uses.len() == models.len() {
            return;
        }
        let places = models.iter_mut().zip(names).zip(&own);
        for ((model, names), own) in places.filter(|((model, _), _)| uses[&model.name] > 1) {
            let mut parts: Vec<String> = names.place.ancestors().skip(1).take(depth).map(file_text).collect();
            parts.reverse();
            model.name = format!("{}/{own}", parts.join("/").to_lowercase());
        }
    }
}

#[cfg(test)]
mod tests;
