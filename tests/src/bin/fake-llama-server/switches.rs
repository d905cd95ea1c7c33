//! The switches that make the fake slow, silent, wrong or dead.
//!
//! They come from three places, later ones win: the environment variable `FAKE_LLAMA`; the file `<model>.fake` beside
//! the model (a worker scrubs its child's environment, so this is how whole-program tests speak to it); and, for one
//! request, its last user message where that begins with `fake:`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cards::CardSwitches;
use crate::hold::Hold;

/// All switches. Times are durations, counts are tokens of one request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Switches {
    // --- the load ---
    /// `--load-ms N`: how long the load takes; state lines report its progress.
    pub load: Duration,
    /// `--hang-load`: never ready, and silent about it after the load time.
    pub hang_load: bool,
    /// `--daemon`: the program that was started ends at once, and another one of another group serves.
    pub daemon: bool,
    /// `--own-key`: a key in a file of the host, unknown to the worker.
    pub own_key: bool,
    /// `--talk`: never ready, and never silent.
    pub talk: bool,
    /// `--silent-load`: no state lines even in child mode, like a build that has none.
    pub silent_load: bool,
    /// `--exit-at-load CODE:message`: the load fails with this line and this exit code.
    pub exit_at_load: Option<(u8, String)>,
    /// `--abort-at-load`: SIGABRT, as a failed assertion.
    pub abort_at_load: bool,
    /// `--oom`: the load fails as it does when the device's memory is full.
    pub oom: bool,
    /// `--device-tokens N`: the same if the device has no room for a context (`-c`, over all slots) of more than N.
    pub device_tokens: Option<u32>,
    /// The cards that are to be had, see there.
    pub cards: CardSwitches,
    /// `--memory MIB`: resident memory held from the load on.
    pub memory_mib: usize,
    /// `--fork-grandchild`: a process of the same group that holds our output pipes.
    pub fork_grandchild: bool,
    /// `--only-starts N`: the faults of the load are for the first N starts, counted in `<model>.starts`.
    pub only_starts: Option<u64>,
    // --- the run ---
    /// `--hang-health`: `/health` is accepted and never answered.
    pub hang_health: bool,
    /// `--close-kept`: a second POST on one connection is read, and the connection is closed without an answer.
    pub close_kept: bool,
    /// `--ignore-sigterm`: during the load too.
    pub ignore_sigterm: bool,
    /// `--lose-first-term`: the race of `llama-server.md` 0.2, every time.
    pub lose_first_term: bool,
    /// `--lose-order`: the same race for the order on stdin: it ends the reading of stdin and nothing else.
    pub lose_order: bool,
    /// `--hold start:PATH`, `--hold load:PATH`, `--hold taken:PATH`, `--hold prompt:PATH`, `--hold N:PATH`: wait there, or
    /// before token N, until the file PATH is there; see `hold.rs`.
    pub holds: Vec<Hold>,
    /// `--report SOCKET`: report events to a test, see `report.rs`.
    pub report: Option<PathBuf>,
    // --- an answer ---
    /// `--noise KIB`: so much is written to each of stdout and stderr before it.
    pub noise_kib: usize,
    /// `--junk MIB`: before it one line of so many MiB of any bytes is written to each of stdout and stderr.
    pub junk_mib: usize,
    /// `--tokens N`: how many tokens of text; more than the text has means again from its start.
    pub tokens: Option<u64>,
    /// `--token-us N`: time between tokens; 0 is as fast as the socket takes them.
    pub token: Duration,
    /// `--prompt-ms N`: time before the first token.
    pub prompt: Duration,
    /// `--text 'two words'`: what is said; a token is a word with its blank.
    pub text: Option<String>,
    /// `--count WORD`: token N is `WORDN ` instead, so that no two tokens are the same.
    pub count: Option<String>,
    /// `--reasoning`, `--reasoning-text T`: said first, as `reasoning_content`.
    pub reasoning: Option<String>,
    /// `--tool-call`, `--tool-name N`, `--tool-arguments A`, `--tool-no-id`: a call at the end.
    pub tool: Option<Tool>,
    /// `--stamp`: each token is `@` and the wall clock in nanoseconds at its writing.
    pub stamp: bool,
    /// `--batch N`, `--batch-writes` (64), `--write-each`: tokens per `write` while unpaced; the engine writes each.
    pub batch: u64,
    /// `--refuse STATUS:type:message`: an HTTP error instead of an answer.
    pub refuse: Option<(u16, String, String)>,
    /// `--simple-tools`: the template cannot read the schema of a list.
    pub simple_tools: bool,
    /// `--crash-after N`: SIGABRT after N tokens of one answer.
    pub crash_after: Option<u64>,
    /// `--cut-stream-at N`: the socket closes in the middle of a chunk.
    pub cut_stream_at: Option<u64>,
    /// `--error-event-at N`: an error event, then the end without `[DONE]`.
    pub error_event_at: Option<u64>,
    /// `--deadlock-at N`: the whole process stands still, `/health` included, and uses no processor.
    pub deadlock_at: Option<u64>,
    /// `--stall-at N`: silence but for pings, until the client goes.
    pub stall_at: Option<u64>,
    /// `--lose-at N`: the same with a slot that is free again, and comments every few milliseconds.
    pub lose_at: Option<u64>,
}

/// The call that an answer makes.
#[derive(Debug, Clone)]
pub(crate) struct Tool {
    pub name: String,
    pub arguments: String,
    pub id: Option<String>,
}

impl Default for Tool {
    fn default() -> Self {
        Tool {
            name: "get_weather".into(),
            arguments: r#"{"city": "Paris", "unit": "celsius"}"#.into(),
            id: Some("SOZFauK9cdeRqazXH0Fjemfju54JiuJi".into()),
        }
    }
}

impl Switches {
    /// Reads the environment and the file beside `model`.
    pub(crate) fn gather(model: &Path) -> Result<Switches, String> {
        let mut switches = Switches::default();
        switches.read(&std::env::var("FAKE_LLAMA").unwrap_or_default())?;
        let mut beside = model.as_os_str().to_owned();
        beside.push(".fake");
        switches.read(&std::fs::read_to_string(beside).unwrap_or_default())?;
        Ok(switches)
    }

    /// Adds what `text` says, for instance `--tokens 5 --token-us 1000 --text 'two words'`.
    pub(crate) fn read(&mut self, text: &str) -> Result<(), String> {
        let words = split(text)?;
        if words.iter().any(|word| word == "--text") {
            // A text is as long as it is, unless the same source says how many tokens.
            self.tokens = None;
        }
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            if !self.flag(&word) {
                let value =
                    words.next().ok_or_else(|| format!("cannot use {word}: unknown, or its value is missing"))?;
                self.valued(&word, value)?;
            }
        }
        Ok(())
    }

    fn flag(&mut self, word: &str) -> bool {
        match word {
            "--hang-load" => self.hang_load = true,
            "--daemon" => self.daemon = true,
            "--own-key" => self.own_key = true,
            "--talk" => self.talk = true,
            "--silent-load" => self.silent_load = true,
            "--abort-at-load" => self.abort_at_load = true,
            "--oom" => self.oom = true,
            "--fork-grandchild" => self.fork_grandchild = true,
            "--hang-health" => self.hang_health = true,
            "--close-kept" => self.close_kept = true,
            "--lose-order" => self.lose_order = true,
            "--ignore-sigterm" => self.ignore_sigterm = true,
            "--lose-first-term" => self.lose_first_term = true,
            "--stamp" => self.stamp = true,
            "--simple-tools" => self.simple_tools = true,
            "--write-each" => self.batch = 1,
            "--batch-writes" => self.batch = 64,
            "--reasoning" => self.reasoning = Some("The user says hello. I should greet back briefly.\n".into()),
            "--tool-call" => self.tool = Some(Tool::default()),
            "--tool-no-id" => self.tool.get_or_insert_default().id = None,
            _ => return false,
        }
        true
    }

    fn valued(&mut self, word: &str, value: String) -> Result<(), String> {
        let count = || value.parse::<u64>().map_err(|_| format!("cannot read {word} {value}: not a number"));
        match word {
            "--load-ms" => self.load = Duration::from_millis(count()?),
            "--prompt-ms" => self.prompt = Duration::from_millis(count()?),
            "--token-us" => self.token = Duration::from_micros(count()?),
            "--tokens" => self.tokens = Some(count()?),
            "--memory" => self.memory_mib = usize::try_from(count()?).unwrap_or(0),
            "--device-tokens" => self.device_tokens = u32::try_from(count()?).ok(),
            "--cards" => self.cards.folder = Some(PathBuf::from(value)),
            "--card-mib" => {
                let numbers: Result<_, _> = value.split(',').map(str::parse).collect();
                self.cards.mib = numbers.map_err(|_| format!("cannot read {word} {value}: numbers are wanted"))?;
            }
            "--token-bytes" => self.cards.token_bytes = count()?,
            "--release" => self.cards.release = Some(PathBuf::from(value)),
            "--noise" => self.noise_kib = usize::try_from(count()?).unwrap_or(0),
            "--junk" => self.junk_mib = usize::try_from(count()?).unwrap_or(0),
            "--only-starts" => self.only_starts = Some(count()?),
            "--batch" => self.batch = count()?,
            "--crash-after" => self.crash_after = Some(count()?),
            "--cut-stream-at" => self.cut_stream_at = Some(count()?),
            "--error-event-at" => self.error_event_at = Some(count()?),
            "--deadlock-at" => self.deadlock_at = Some(count()?),
            "--lose-at" => self.lose_at = Some(count()?),
            "--stall-at" => self.stall_at = Some(count()?),
            "--exit-at-load" => {
                let (code, message) = value.split_once(':').unwrap_or((&value, "exiting as configured"));
                let code = code.parse().map_err(|_| format!("cannot read {word} {value}: CODE:message is wanted"))?;
                self.exit_at_load = Some((code, message.to_owned()));
            }
            "--refuse" => {
                let mut parts = value.splitn(3, ':');
                let status = parts.next().and_then(|part| part.parse().ok());
                let (Some(status), Some(kind), Some(message)) = (status, parts.next(), parts.next()) else {
                    return Err(format!("cannot read {word} {value}: STATUS:type:message is wanted"));
                };
                self.refuse = Some((status, kind.to_owned(), message.to_owned()));
            }
            "--hold" => self.holds.push(Hold::read(&value)?),
            "--count" => self.count = Some(value),
            "--text" => self.text = Some(value.replace("\\n", "\n")),
            "--reasoning-text" => self.reasoning = Some(value.replace("\\n", "\n")),
            "--tool-name" => self.tool.get_or_insert_default().name = value,
            "--tool-arguments" => self.tool.get_or_insert_default().arguments = value,
            "--report" => self.report = Some(PathBuf::from(value)),
            _ => return Err(format!("cannot use {word}: no such switch")),
        }
        Ok(())
    }

    /// Forgets the faults of the load, for a start beyond `--only-starts`.
    pub(crate) fn drop_load_faults(&mut self) {
        self.hang_load = false;
        (self.own_key, self.talk, self.daemon) = (false, false, false);
        self.exit_at_load = None;
        self.abort_at_load = false;
        self.oom = false;
        self.device_tokens = None;
    }
}

/// Words as a shell would see them: blanks divide, single and double quotes hold together, nothing is escaped.
fn split(text: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in text.chars() {
        match quote {
            Some(mark) if c == mark => quote = None,
            Some(_) => word.get_or_insert_default().push(c),
            None if c == '\'' || c == '"' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c.is_whitespace() => words.extend(word.take()),
            None => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(format!("cannot read the switches {text:?}: a quote is open"));
    }
    words.extend(word);
    Ok(words)
}
