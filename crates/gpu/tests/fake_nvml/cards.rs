//! Made-up cards as a folder describes them, for the made-up driver and for engines that take memory on its cards.
//!
//! The file `state` in the folder has a line for each fact:
//!
//! ```text
//! gpu <total> <used> <name…>      one per card
//! proc <gpu> <pid> <bytes|na>     a process that computes
//! draw <gpu> <pid> <bytes|na>     a process that draws
//! slice <gpu> <total> <used>      the card is cut into slices, and this is one
//! heat <gpu> <degrees> <percent>  how warm the card is, and how busy
//! lost <gpu>                      the card fell off the bus
//! mute <gpu>                      the card does not report its memory
//! secret <gpu>                    the card does not report its processes, as in many containers
//! broken                          the driver does not answer at all
//! ```
//!
//! Beside it, the file `GPU-…/PID` is what a process holds on a card beyond all that: `<bytes>`, for as long as it
//! lives; or `<bytes> <path>`, until it is dead and there is a file of that path, for memory that comes back late.

use std::path::{Path, PathBuf};

/// A card, or a slice of one.
#[derive(Default, Clone)]
pub struct Card {
    pub id: String,
    pub total: u64,
    /// By no particular process.
    pub used: u64,
    pub name: String,
    pub lost: bool,
    pub mute: bool,
    pub secret: bool,
    pub heat: Option<(u32, u32)>,
    pub computing: Vec<(u32, u64)>,
    pub drawing: Vec<(u32, u64)>,
    pub slices: Vec<Card>,
}

/// What one process took.
pub struct Held {
    pub pid: u32,
    pub bytes: u64,
    pub alive: bool,
}

/// Where the facts are.
pub fn state(folder: &Path) -> PathBuf {
    folder.join("state")
}

/// The id of a card; slices are counted from 1.
pub fn id(card: usize, slice: usize) -> String {
    format!("GPU-fake-{:04}", 100 * card + slice)
}

/// The cards of a state; `None` when the driver is broken, or the state is not understood.
pub fn read(state: &str) -> Option<Vec<Card>> {
    let mut cards: Vec<Card> = Vec::new();
    for line in state.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let n = |i: usize| words.get(i).and_then(|word| word.parse::<u64>().ok());
        match words.first() {
            None => {}
            Some(&"broken") => return None,
            Some(&"gpu") => {
                let (id, name) = (id(cards.len(), 0), words[3..].join(" "));
                cards.push(Card { id, total: n(1)?, used: n(2)?, name, ..Card::default() });
            }
            Some(verb) => {
                let at = n(1)? as usize;
                let card = cards.get_mut(at)?;
                match *verb {
                    "proc" => card.computing.push((n(2)? as u32, n(3).unwrap_or(u64::MAX))),
                    "draw" => card.drawing.push((n(2)? as u32, n(3).unwrap_or(u64::MAX))),
                    "lost" => card.lost = true,
                    "mute" => card.mute = true,
                    "secret" => card.secret = true,
                    "heat" => card.heat = Some((n(2)? as u32, n(3)? as u32)),
                    "slice" => {
                        let (id, name) = (id(at, card.slices.len() + 1), format!("{} slice", card.name));
                        card.slices.push(Card { id, total: n(2)?, used: n(3)?, name, ..Card::default() });
                    }
                    _ => return None,
                }
            }
        }
    }
    Some(cards)
}

/// What processes hold of a card that has not come back.
pub fn held(folder: &Path, card: &str) -> Vec<Held> {
    let entries = std::fs::read_dir(folder.join(card)).into_iter().flatten().flatten();
    let held = entries.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let text = std::fs::read_to_string(entry.path()).ok()?;
        let (bytes, until) = text.split_once(' ').map_or((&*text, None), |(bytes, until)| (bytes, Some(until)));
        let (bytes, alive) = (bytes.parse().ok()?, is_alive(pid));
        (alive || until.is_some_and(|until| !Path::new(until).exists())).then_some(Held { pid, bytes, alive })
    });
    held.collect()
}

/// A process that has ended and is not yet waited for holds nothing any more.
fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
}
