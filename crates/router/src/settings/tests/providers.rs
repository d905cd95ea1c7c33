//! The file of providers: the example of the guide, and every fault.

use std::path::Path;
use std::time::Duration;

use super::super::{Faults, ServeArgs, serve};
use crate::{BackendConfig, CliInput, CloudApi, Config};

const GUIDE: &str = include_str!("../../../../../docs/providers.md");

/// The settings with this file, and a credential beside it.
fn read(text: &str) -> Result<Config, Faults> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("providers.toml");
    std::fs::write(&file, text).unwrap();
    std::fs::write(folder.path().join("credential"), "sk-secret").unwrap();
    with_file(&file, folder.path())
}

fn with_file(file: &Path, credentials: &Path) -> Result<Config, Faults> {
    let arguments = ServeArgs { providers_file: Some(file.display().to_string()), ..ServeArgs::default() };
    let folder = credentials.display().to_string();
    let environment = move |name: &str| (name == "CREDENTIALS_DIRECTORY").then(|| folder.clone());
    serve(&arguments, &environment).map(|(config, _)| config)
}

#[test]
fn the_example_of_the_guide_is_good() {
    let example = GUIDE.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let example = example.replace("key_file = \"/etc/auxot/openai-key\"", "key_credential = \"credential\"");
    let config = read(&example).unwrap();
    assert_eq!((config.load_wait, config.providers.len()), (Duration::from_secs(30), 2));
    let (local, cloud) = (&config.providers[0], &config.providers[1]);
    assert_eq!((local.name.as_str(), local.max_parallel), ("local", 1));
    assert_eq!(local.models, [("qwen3-8b".to_owned(), "qwen3:8b".to_owned())]);
    let BackendConfig::Cli(cli) = &local.backend else { panic!("{local:?}") };
    assert_eq!((cli.command.len(), cli.input, cli.max_output), (3, CliInput::Text, 8 << 20));
    let BackendConfig::Cloud(openai) = &cloud.backend else { panic!("{cloud:?}") };
    assert_eq!((openai.api, openai.url.as_str()), (CloudApi::OpenAi, "https://api.openai.com/v1"));
    assert!(openai.key_file.as_deref().is_some_and(|file| file.ends_with("credential")));
    assert_eq!((cloud.max_parallel, cloud.first_byte_timeout), (16, Duration::from_secs(30)));
}

#[test]
fn every_key_of_the_guide_is_read_and_has_the_default_that_it_says() {
    let config = read(
        r#"
        [[providers]]
        kind = "cli"
        name = "tool"
        command = ["/bin/cat"]
        models = { m = "own" }
        input = "json"
        folder = "/tmp"
        environment = ["TOKEN"]
        max_parallel = 2
        first_byte_timeout = "3s"
        total_timeout = "4s"
        max_output = "5KiB"
        [[providers]]
        kind = "cloud"
        name = "far"
        api = "anthropic"
        url = "http://localhost:1/v1"
        key_credential = "credential"
        models = { m = "own" }
        max_parallel = 6
        connect_timeout = "7s"
        first_byte_timeout = "8s"
        idle_timeout = "9s"
        total_timeout = "10s"
        "#,
    )
    .unwrap();
    let (tool, far) = (&config.providers[0], &config.providers[1]);
    let times = [tool.first_byte_timeout, tool.total_timeout, far.first_byte_timeout, far.total_timeout];
    assert_eq!(times, [3, 4, 8, 10].map(Duration::from_secs));
    assert_eq!((tool.max_parallel, far.max_parallel), (2, 6));
    let (BackendConfig::Cli(cli), BackendConfig::Cloud(cloud)) = (&tool.backend, &far.backend) else {
        panic!("{config:?}")
    };
    assert_eq!((cli.input, cli.max_output, cli.folder.as_path()), (CliInput::Json, 5 << 10, Path::new("/tmp")));
    assert_eq!(cli.environment, ["TOKEN"]);
    assert_eq!((cloud.api, cloud.connect_timeout.as_secs(), cloud.idle_timeout.as_secs()), (CloudApi::Anthropic, 7, 9));
    for (row, text) in [
        ("max_parallel", "`1`"),
        ("max_parallel", "`16`"),
        ("first_byte_timeout", "`\"1m\"`"),
        ("first_byte_timeout", "`\"30s\"`"),
        ("connect_timeout", "`\"10s\"`"),
        ("idle_timeout", "`\"1m\"`"),
        ("max_output", "`\"8MiB\"`"),
        ("folder", "`\"/\"`"),
    ] {
        assert!(GUIDE.contains(&format!("| `{row}` | {text} |")), "{row} {text}");
    }
}

#[test]
fn each_fault_names_its_provider_and_shows_no_key() {
    let cli = "kind = \"cli\"\nname = \"tool\"\ncommand = [\"/bin/cat\"]\nmodels = { m = \"m\" }\n";
    let cloud = "kind = \"cloud\"\nname = \"far\"\napi = \"openai\"\nurl = \"https://x/v1\"\nmodels = { m = \"m\" }\n";
    for (provider, says) in [
        ("name = \"x\"".to_owned(), "`kind` must be gpu, cli or cloud"),
        (cli.replace("\"/bin/cat\"", "\"cat\""), "absolute path"),
        (cli.replace("tool", "gpu"), "`name` must be"),
        (cli.replace("tool", "a b"), "`name` must be"),
        (cli.replace("{ m = \"m\" }", "{}"), "`models` must name"),
        (format!("{cli}max_parallel = 0"), "`max_parallel` must be 1 to 1024"),
        (format!("{cli}total_timeout = \"soon\""), "expected a duration"),
        (format!("{cli}max_output = \"big\""), "expected a size"),
        (format!("{cli}shell = true"), "unknown field `shell`"),
        (cloud.replace("openai\"", "azure\""), "unknown variant `azure`"),
        (cloud.replace("https://x/v1", "ftp://x/v1"), "http or https"),
        (cloud.replace("https://x/v1", "https://me:secret@x/v1"), "no user and no password"),
        (cloud.replace("https://x", "http://x") + "key_credential = \"credential\"", "must be https"),
        (format!("{cloud}key_credential = \"missing\""), "its key in"),
        (format!("{cloud}key_credential = \"../credential\""), "the name of a credential"),
        (format!("{cloud}key_credential = \"credential\"\nkey_file = \"/k\""), "cannot both be set"),
    ] {
        let faults = read(&format!("[[providers]]\n{provider}\n")).unwrap_err().to_string();
        assert!(faults.contains(says) && faults.contains("provider 1 of"), "{faults}");
        assert!(!faults.contains("secret"), "{faults}");
    }
    let faults = read(&format!("[[providers]]\n{cli}[[providers]]\n{cli}[[providers]]\nkind = \"gpu\"\n")).unwrap_err();
    let faults = faults.to_string();
    assert!(faults.contains("provider 2") && faults.contains("the name `tool`"), "{faults}");
    assert!(faults.contains("provider 3") && faults.contains("comes first"), "{faults}");
    assert!(read("providers = 1").is_err() && read("[[provider]]\n").is_err());
    let missing = with_file(Path::new("/nonexistent/file"), Path::new("/")).unwrap_err().to_string();
    assert!(missing.contains("cannot read the providers of /nonexistent/file"), "{missing}");
}
