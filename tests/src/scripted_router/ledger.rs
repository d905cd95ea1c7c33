//! A router's record of its jobs: each dispatch, the text received on each link, and each ending.
//!
//! It also checks the rules for every job: one ending for each dispatch, the text equals the known one, and no text
//! arrives twice.

use serde_json::{Value, json};

/// All jobs that a router has dispatched.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: Vec<Entry>,
    /// Messages about jobs that were never dispatched.
    unknown_job_messages: Vec<Value>,
    /// Whether a job may restart after a lost link, see [`Ledger::allow_reruns`].
    reruns: bool,
}

/// One job.
#[derive(Debug)]
pub struct Entry {
    /// Its id.
    pub id: String,
    /// The message that dispatches it.
    pub frame: Value,
    /// The known answer.
    pub text: String,
    /// Its `complete` and `error` messages.
    pub endings: Vec<Value>,
    /// The link of the last of them.
    ended_on: usize,
    /// How many endings it should have: more than one when it was dispatched again after its end.
    due: usize,
    /// How often it was dispatched again before its end arrived: the end may have been in transit, and is then sent
    /// once more.
    crossings: usize,
    /// The links of its dispatches, each with its worker.
    given: Vec<(usize, usize)>,
    /// The text received, link by link.
    received: Vec<Received>,
    /// Faults of its messages.
    faults: Vec<String>,
}

/// The text of a job on one link.
#[derive(Debug)]
struct Received {
    link: usize,
    /// The worker of the link; the next worker knows nothing of this one's text.
    worker: usize,
    text: String,
}

/// How often the text of a job was sent from its beginning, and by how many workers.
#[derive(Debug, Clone, Copy)]
struct SentText {
    times: usize,
    workers: usize,
}

impl Entry {
    /// How often its text was sent from its beginning: more than once after a lost link or worker.
    pub fn times_sent(&self) -> usize {
        self.sent_text().map_or(0, |sent| sent.times)
    }

    /// Whether an ending is still missing.
    pub fn is_open(&self) -> bool {
        self.endings.len() < self.due
    }

    /// Whether any of its text has arrived.
    pub fn has_text(&self) -> bool {
        self.received.iter().any(|received| !received.text.is_empty())
    }

    /// The text of its final error.
    pub fn error(&self) -> Option<&str> {
        let last = self.endings.last().filter(|end| end["type"] == "error")?;
        last["error"].as_str()
    }

    /// Whether it completed.
    pub fn is_complete(&self) -> bool {
        self.endings.last().is_some_and(|end| end["type"] == "complete")
    }

    /// Records another dispatch after its end.
    pub fn give_again(&mut self) {
        self.due += 1;
    }

    /// Records another dispatch before its end has arrived.
    pub fn give_open_again(&mut self) {
        self.crossings += 1;
    }

    /// Whether it has more endings than dispatches, or different endings for one dispatch.
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
                // By number: a link may be read after its successor.
                match self.received.binary_search_by_key(&link, |received| received.link) {
                    Ok(at) => self.received[at].text.push_str(text),
                    Err(at) => self.received.insert(at, Received { link, worker, text: text.to_owned() }),
                }
            }
            _ => {}
        }
    }

    /// The first broken rule.
    fn fault(&self, reruns: bool) -> Option<String> {
        let id = &self.id;
        if let Some(fault) = self.faults.first() {
            return Some(format!("job {id}: {fault}"));
        }
        if self.has_ended_too_often() {
            return Some(format!("job {id}: {} endings, where {} are due", self.endings.len(), self.due));
        }
        // After an end the text may restart; before it the text continues, on any link.
        match self.sent_text() {
            Err(fault) if self.due == 1 => Some(format!("job {id}: {fault}")),
            Ok(sent) if self.due == 1 && !reruns && sent.times > sent.workers => {
                Some(format!("job {id}: text twice: {:?}", self.received))
            }
            _ => None,
        }
    }

    /// Counts how often the text was sent: once by every worker, and once more for each piece that does not follow the one
    /// before it. The error is a piece that does not occur in the text.
    fn sent_text(&self) -> Result<SentText, String> {
        let mut sent = SentText { times: 0, workers: 0 };
        let (mut floor, mut at) = (0, 0);
        for (number, received) in self.received.iter().enumerate() {
            let new_worker = number == 0 || self.received[number - 1].worker != received.worker;
            // Text of an earlier link of this worker may be unread; without one, text must start at the beginning.
            let earlier = self.given.iter().any(|(link, worker)| *worker == received.worker && *link < received.link);
            if !earlier && !self.text.starts_with(&received.text) {
                return Err(format!("text that is not its beginning: {:?}", tail(&received.text)));
            }
            sent.workers += usize::from(new_worker);
            floor = if new_worker || !self.text[at..].contains(&received.text) { 0 } else { at };
            sent.times += usize::from(floor == 0);
            let place = self.text[floor..].find(&received.text);
            let place = place.ok_or_else(|| format!("text of something else: {:?}", tail(&received.text)))?;
            at = floor + place + received.text.len();
        }
        // Text in the socket of a lost link that was not read may be missing. On the link of the end
        // nothing is missing after its first text.
        match self.received.last().filter(|last| self.is_complete() && self.ended_on == last.link) {
            Some(last) if !self.text[floor..].ends_with(&last.text) => {
                Err(format!("an end with text missing, or twice: {:?}", tail(&last.text)))
            }
            _ => Ok(sent),
        }
    }
}

impl Ledger {
    /// Adds a job before its first dispatch.
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
            received: Vec::new(),
            faults: Vec::new(),
        });
    }

    /// Records a dispatch of a job on a link.
    pub(super) fn given(&mut self, id: &str, link: usize, worker: usize) {
        if let Some(entry) = self.entries.iter_mut().rev().find(|entry| entry.id == id) {
            entry.given.push((link, worker));
        }
    }

    /// Records a message about a job.
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

    /// All jobs, in the order of their first dispatch.
    pub fn jobs(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Jobs without an ending.
    pub fn open(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.is_open())
    }

    /// Like [`Ledger::open`], mutable.
    pub(super) fn open_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.entries.iter_mut().filter(|entry| entry.is_open())
    }

    /// From now on a job may restart after its link was lost.
    ///
    /// An end that reached only the socket of a lost link has ended the job for the worker and not for the
    /// router, which dispatches it again. At an exact moment this cannot happen; in a long run it does.
    pub fn allow_reruns(&mut self) {
        self.reruns = true;
    }

    /// Removes the jobs that have ended without a fault.
    pub fn take_ended(&mut self) -> Vec<Entry> {
        let reruns = self.reruns;
        self.entries.extract_if(.., |entry| !entry.is_open() && entry.fault(reruns).is_none()).collect()
    }

    /// The broken rules so far.
    pub fn faults(&self) -> Vec<String> {
        let unknown_job_messages =
            self.unknown_job_messages.iter().map(|frame| format!("a message about no job: {}", shortened(frame)));
        self.entries.iter().filter_map(|entry| entry.fault(self.reruns)).chain(unknown_job_messages).collect()
    }

    /// One line for each job, for the message of a failed test.
    pub fn story(&self) -> String {
        let line = |entry: &Entry| {
            let received: usize = entry.received.iter().map(|received| received.text.len()).sum();
            let ends: Vec<String> = entry.endings.iter().map(shortened).collect();
            format!("  {}: {received} of {} bytes received, ended {ends:?}", entry.id, entry.text.len())
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
