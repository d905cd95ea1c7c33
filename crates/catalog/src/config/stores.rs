//! Where other programs keep their models.

use std::path::PathBuf;

/// The usual folders of the stores, those that their programs' variables name first. `variable` reads the environment.
pub(crate) fn folders(variable: impl Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    let path = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = path("HOME");
    let at_home = |below: &str| home.as_ref().map(|home| home.join(below));
    let cache = path("XDG_CACHE_HOME").or_else(|| at_home(".cache"));
    let data = path("XDG_DATA_HOME").or_else(|| at_home(".local/share"));
    let in_folder = |folder: &Option<PathBuf>, below: &str| folder.as_ref().map(|folder| folder.join(below));
    let hub = path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE"));
    let hub = hub.or_else(|| Some(path("HF_HOME")?.join("hub"))).or_else(|| in_folder(&cache, "huggingface/hub"));
    let lm_studio = at_home(".lmstudio-home-pointer").and_then(|pointer| std::fs::read_to_string(pointer).ok());
    let lm_studio = lm_studio.map(|folder| PathBuf::from(folder.trim())).or_else(|| at_home(".lmstudio"));
    let all = [
        hub,
        path("LLAMA_CACHE").or_else(|| in_folder(&cache, "llama.cpp")),
        path("OLLAMA_MODELS").or_else(|| at_home(".ollama/models")),
        // Ollama as a service of the system.
        Some(PathBuf::from("/usr/share/ollama/.ollama/models")),
        in_folder(&lm_studio, "models"),
        in_folder(&data, "Jan/data/llamacpp/models"),
        at_home("Library/Application Support/Jan/data/llamacpp/models"),
        path("MODELS_PATH").or_else(|| at_home(".docker/models")),
        in_folder(&data, "ramalama/store"),
        Some(PathBuf::from("/var/lib/ramalama/store")),
    ];
    all.into_iter().flatten().filter(|folder| folder.is_absolute()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_where_its_program_s_variable_says_or_in_the_home() {
        let of = |environment: &[(&str, &str)]| {
            let find =
                |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            folders(find).into_iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        let usual = of(&[("HOME", "/h")]);
        for path in ["/h/.cache/huggingface/hub", "/h/.ollama/models", "/h/.lmstudio/models", "/h/.docker/models"] {
            assert!(usual.iter().any(|known| known == path), "{path} in {usual:?}");
        }
        let named = of(&[("HOME", "/h"), ("HF_HOME", "/hf"), ("OLLAMA_MODELS", "/o"), ("LLAMA_CACHE", "/l")]);
        assert_eq!(named[..3], ["/hf/hub", "/l", "/o"]);
        assert_eq!(of(&[("HF_HUB_CACHE", "/c"), ("HF_HOME", "/hf")])[0], "/c");
        assert_eq!(of(&[]), ["/usr/share/ollama/.ollama/models", "/var/lib/ramalama/store"]);
    }
}
