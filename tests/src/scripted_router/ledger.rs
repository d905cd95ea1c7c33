//! What a router knows of its jobs: what was asked, what was heard on which link, how each ended.
//!
//! The rules that hold whatever happens are here too: every job ends once for each time it was given, what is said is
//! the text that is known beforehand, and none of it is said twice.

use serde_json::{Value, json};

/// All jobs that a router has ever given.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: Vec<Entry>,
    /// Messages about jobs that were never given.
    unknown_job_messages: Vec<Value>,
    /// Whether a job may begin anew after a lost link, see [`Ledger::allow_reruns`].
    reruns: bool,
}

/// One job.
#[derive(Debug)]
pub struct Entry {
    /// Its id.
    pub id: String,
    /// The message that gives it.
    pub frame: Value,
    /// The whole answer, known beforehand.
    pub text: String,
    /// Its `complete` and `error` messages.
    pub endings: Vec<Value>,
    /// The link that brought the last of them.
    ended_on: usize,
    /// How many endings it should have: more than one when it was given again after it had ended.
    due: usize,
    /// How often it was given again although it had not ended here: its end may have been on the way then, and is said
    /// once more.
    crossings: usize,
    /// The links that it was given on, each with the worker at its other end.
    given: Vec<(usize, usize)>,
    /// What was heard of it, link by link.
    heard: Vec<Heard>,
    /// What is wrong with a message about it.
    faults: Vec<String>,
}

/// What one link brought of a job.
#[derive(Debug)]
struct Heard {
    link: usize,
    /// Which worker was at the other end; the next worker knows nothing of what this one has said.
    worker: usize,
    text: String,
}

/// How often a text was told, and by how many workers.
#[derive(Debug, Clone, Copy)]
struct Told {
    tellings: usize,
    workers: usize,
}

impl Entry {
    /// How often its text was told: more than once after a lost link or with a lost worker.
    pub fn tellings(&self) -> usize {
        self.told().map_or(0, |told| told.tellings)
    }

    /// Whether an ending is still awaited.
    pub fn is_open(&self) -> bool {
        self.endings.len() < self.due
    }

    /// Whether any of its text has been heard.
    pub fn has_text(&self) -> bool {
        self.heard.iter().any(|heard| !heard.text.is_empty())
    }

    /// The words of the error that it ended with.
    pub fn error(&self) -> Option<&str> {
        let last = self.endings.last().filter(|end| end["type"] == "error")?;
        last["error"].as_str()
    }

    /// Whether it ended well.
    pub fn is_complete(&self) -> bool {
        self.endings.last().is_some_and(|end| end["type"] == "complete")
    }

    /// It is given once more, after its end.
    pub fn give_again(&mut self) {
        self.due += 1;
    }

    /// It is given once more, before its end is here.
    pub fn give_open_again(&mut self) {
        self.crossings += 1;
    }

    /// Whether there are more endings than it was given times, or one of another kind for the same time.
    fn has_ended_too_often(&self) -> bool {
        let repeated = self.endings.len().saturating_sub(self.due);
        let different = self.endings.windows(2).rev().take(repeated).any(|pair| pair[0] != pair[1]);
        repeated > self.crossings || different
    }

    fn take(&mut self, link: usize, worker: usize, frame: &Value) {
        match frame["type"].as_str() {
            Some("complete" | "error") => {
                if frame["type"] == "complete" && frame["full_response"] != json!(self.text) {
                    self.faults.push(format!("a complete answer that is not its text: {}", shortened(frame)));
                }
                self.endings.push(frame.clone());
                self.ended_on = link;
            }
            Some("token") => {
                if !self.is_open() {
                    self.faults.push(format!("text after the end: {}", shortened(frame)));
                }
                let text = frame["token"].as_str().unwrap_or_default();
                // By number: a link that was not read for a while may be read after its successor.
                match self.heard.binary_search_by_key(&link, |heard| heard.link) {
                    Ok(at) => self.heard[at].text.push_str(text),
                    Err(at) => self.heard.insert(at, Heard { link, worker, text: text.to_owned() }),
                }
            }
            _ => {}
        }
    }

    /// What is against the rules, if anything is.
    fn fault(&self, reruns: bool) -> Option<String> {
        let id = &self.id;
        if let Some(fault) = self.faults.first() {
            return Some(format!("job {id}: {fault}"));
        }
        if self.has_ended_too_often() {
            return Some(format!("job {id}: {} endings, where {} are due", self.endings.len(), self.due));
        }
        // After an end the text may begin anew; without one it goes on, whatever link it comes by.
        match self.told() {
            Err(fault) if self.due == 1 => Some(format!("job {id}: {fault}")),
            Ok(told) if self.due == 1 && !reruns && told.tellings > told.workers => {
                Some(format!("job {id}: text twice: {:?}", self.heard))
            }
            _ => None,
        }
    }

    /// How often the text was told: once by every worker, and once more for each piece that does not stand behind the one
    /// before it. The error is a piece that has no place in the text at all.
    fn told(&self) -> Result<Told, String> {
        let mut told = Told { tellings: 0, workers: 0 };
        let (mut floor, mut at) = (0, 0);
        for (number, heard) in self.heard.iter().enumerate() {
            let new_worker = number == 0 || self.heard[number - 1].worker != heard.worker;
            // What an earlier link had brought may not have been read; without one there is no such excuse.
            let earlier = self.given.iter().any(|(link, worker)| *worker == heard.worker && *link < heard.link);
            if !earlier && !self.text.starts_with(&heard.text) {
                return Err(format!("text that is not its beginning: {:?}", tail(&heard.text)));
            }
            told.workers += usize::from(new_worker);
            floor = if new_worker || !self.text[at..].contains(&heard.text) { 0 } else { at };
            told.tellings += usize::from(floor == 0);
            let place = self.text[floor..].find(&heard.text);
            let place = place.ok_or_else(|| format!("text of something else: {:?}", tail(&heard.text)))?;
            at = floor + place + heard.text.len();
        }
        // What had reached the socket of a lost link and was not read any more is missing, and may be. On the link that
        // brings the end nothing is missing after what it brought first.
        match self.heard.last().filter(|last| self.is_complete() && self.ended_on == last.link) {
            Some(last) if !self.text[floor..].ends_with(&last.text) => {
                Err(format!("an end with text missing, or twice: {:?}", tail(&last.text)))
            }
            _ => Ok(told),
        }
    }
}

impl Ledger {
    /// Enters a job that is about to be given.
    pub fn enter(&mut self, id: &str, frame: Value, text: &str) {
        self.entries.push(Entry {
            id: id.to_owned(),
            frame,
            text: text.to_owned(),
            endings: Vec::new(),
            ended_on: 0,
            due: 1,
            crossings: 0,
            given: Vec::new(),
            heard: Vec::new(),
            faults: Vec::new(),
        });
    }

    /// Notes that a job is given on a link.
    pub(super) fn given(&mut self, id: &str, link: usize, worker: usize) {
        if let Some(entry) = self.entries.iter_mut().rev().find(|entry| entry.id == id) {
            entry.given.push((link, worker));
        }
    }

    /// Notes a message about a job.
    pub(super) fn take(&mut self, link: usize, worker: usize, frame: &Value) {
        let Some(id) = frame["job_id"].as_str() else { return };
        match self.entries.iter_mut().rev().find(|entry| entry.id == id) {
            Some(entry) => entry.take(link, worker, frame),
            None => self.unknown_job_messages.push(frame.clone()),
        }
    }

    /// The job of this id; panics where there is none.
    pub fn job(&mut self, id: &str) -> &mut Entry {
        let found = self.entries.iter_mut().rev().find(|entry| entry.id == id);
        found.unwrap_or_else(|| panic!("no job {id} was ever given"))
    }

    /// All jobs, in the order in which they were given.
    pub fn jobs(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Jobs without an ending.
    pub fn open(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.is_open())
    }

    /// The same, to be changed.
    pub(super) fn open_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.entries.iter_mut().filter(|entry| entry.is_open())
    }

    /// From now on a job may begin anew when its link was lost.
    ///
    /// An end that reached the socket of a lost link, and no further, has ended the job for the worker and not for the
    /// router, which gives it again. At an exact moment this cannot be; in a long run it is only a matter of time.
    pub fn allow_reruns(&mut self) {
        self.reruns = true;
    }

    /// Takes out the jobs that have ended as they should.
    pub fn take_ended(&mut self) -> Vec<Entry> {
        let reruns = self.reruns;
        self.entries.extract_if(.., |entry| !entry.is_open() && entry.fault(reruns).is_none()).collect()
    }

    /// What is against the rules so far.
    pub fn faults(&self) -> Vec<String> {
        let unknown_job_messages =
            self.unknown_job_messages.iter().map(|frame| format!("a message about no job: {}", shortened(frame)));
        self.entries.iter().filter_map(|entry| entry.fault(self.reruns)).chain(unknown_job_messages).collect()
    }

    /// One line for each job, for a test that has failed.
    pub fn story(&self) -> String {
        let line = |entry: &Entry| {
            let heard: usize = entry.heard.iter().map(|heard| heard.text.len()).sum();
            let ends: Vec<String> = entry.endings.iter().map(shortened).collect();
            format!("  {}: {heard} of {} bytes heard, ended {ends:?}", entry.id, entry.text.len())
        };
        self.entries.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

fn shortened(frame: &Value) -> String {
    frame.to_string().chars().take(200).collect()
}

fn tail(text: &str) -> String {
    let count = text.chars().count();
    text.chars().skip(count.saturating_sub(120)).collect()
}

#[cfg(test)]
mod tests;
