//! The host's end of the line to the agent: calls and their answers, and the logs as they come.

use anyhow::{Context, Result, anyhow, bail};
use bed_agent::protocol::{Answer, Call, LogSource, Message, Request, read_frame, write_frame};
use std::collections::HashMap;
use std::io::{BufReader, BufWriter};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Logs as they are now.
#[derive(Debug, Default)]
pub struct Logs(HashMap<LogSource, Vec<u8>>);

impl Logs {
    /// All of one log, empty when nothing came yet.
    #[must_use]
    pub fn of(&self, source: &LogSource) -> &[u8] {
        self.0.get(source).map_or(&[], Vec::as_slice)
    }
}

/// What has come in so far.
#[derive(Debug, Default)]
struct Inbox {
    next_call: u32,
    ready: bool,
    answers: HashMap<u32, Result<Answer, String>>,
    logs: Logs,
    closed: Option<String>,
}

/// The line. Several threads may call at the same time.
#[derive(Debug)]
pub struct Link {
    writer: Mutex<BufWriter<UnixStream>>,
    inbox: Mutex<Inbox>,
    changed: Condvar,
}

impl Link {
    /// Takes a stream to the agent, and reads it in a thread that ends with the stream.
    ///
    /// # Errors
    /// The stream cannot be shared between two threads.
    pub fn new(stream: UnixStream) -> Result<Arc<Self>> {
        let reader = stream.try_clone().context("share the line to the agent")?;
        let link = Arc::new(Self {
            writer: Mutex::new(BufWriter::new(stream)),
            inbox: Mutex::default(),
            changed: Condvar::new(),
        });
        let weak = Arc::downgrade(&link);
        thread::spawn(move || {
            let mut reader = BufReader::new(reader);
            loop {
                let message = read_frame(&mut reader);
                let Some(link) = weak.upgrade() else { return };
                let mut inbox = link.inbox();
                match message {
                    Ok(Some(message)) => inbox.take(message),
                    Ok(None) => inbox.closed = Some("the line to dom0's agent was closed".into()),
                    Err(error) => inbox.closed = Some(format!("the line to dom0's agent broke: {error}")),
                }
                let closed = inbox.closed.is_some();
                drop(inbox);
                link.changed.notify_all();
                if closed {
                    return;
                }
            }
        });
        Ok(link)
    }

    /// Waits for the agent's first word.
    ///
    /// # Errors
    /// It did not come in time, or the machine ended before.
    pub fn wait_ready(&self, patience: Duration) -> Result<()> {
        let ready = self.wait(Instant::now() + patience, |inbox| inbox.ready.then_some(()))?;
        ready.with_context(|| format!("dom0's agent did not answer within {patience:?}"))
    }

    /// Makes a call and waits for its answer.
    ///
    /// # Errors
    /// The agent's own error, or no answer in time (a script is killed then), or the line broke.
    pub fn call(&self, request: Request, patience: Duration) -> Result<Answer> {
        let what = name(&request);
        let id = self.send(request)?;
        match self.wait(Instant::now() + patience, |inbox| inbox.answers.remove(&id))? {
            Some(answer) => answer.map_err(|error| anyhow!("in dom0: {error}")),
            None => {
                self.send(Request::Kill { id })?;
                bail!("dom0 did not finish within {patience:?}: {what}")
            }
        }
    }

    /// Begins a log anew: what came so far is forgotten.
    pub fn forget(&self, source: &LogSource) {
        self.inbox().logs.0.remove(source);
    }

    /// Begins all logs anew.
    pub fn forget_all(&self) {
        self.inbox().logs.0.clear();
    }

    /// All logs as they are now, in the order of their guests' names.
    #[must_use]
    pub fn all_logs(&self) -> Vec<(LogSource, Vec<u8>)> {
        let mut logs: Vec<_> = self.inbox().logs.0.iter().map(|(source, log)| (source.clone(), log.clone())).collect();
        logs.sort_by_key(|(source, _)| format!("{source:?}"));
        logs
    }

    /// A log as it is now, from an offset on.
    #[must_use]
    pub fn log(&self, source: &LogSource, from: usize) -> Vec<u8> {
        self.inbox().logs.of(source).get(from..).unwrap_or_default().to_vec()
    }

    /// Shows logs to `look` each time when something came in, until it returns something or the deadline has passed.
    ///
    /// # Errors
    /// The line broke.
    pub fn watch<T>(&self, deadline: Instant, mut look: impl FnMut(&Logs) -> Option<T>) -> Result<Option<T>> {
        self.wait(deadline, |inbox| look(&inbox.logs))
    }

    /// Why the line is closed, if it is.
    #[must_use]
    pub fn closed(&self) -> Option<String> {
        self.inbox().closed.clone()
    }

    fn send(&self, request: Request) -> Result<u32> {
        let id = {
            let mut inbox = self.inbox();
            inbox.next_call += 1;
            inbox.next_call
        };
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        write_frame(&mut *writer, &Call { id, request }).context("the line to dom0's agent broke")?;
        Ok(id)
    }

    fn wait<T>(&self, deadline: Instant, mut look: impl FnMut(&mut Inbox) -> Option<T>) -> Result<Option<T>> {
        let mut inbox = self.inbox();
        loop {
            if let Some(found) = look(&mut inbox) {
                return Ok(Some(found));
            }
            if let Some(reason) = &inbox.closed {
                bail!("{reason}");
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            inbox = self.changed.wait_timeout(inbox, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inbox {
    fn take(&mut self, message: Message) {
        match message {
            Message::Ready { .. } => self.ready = true,
            Message::Log { source, bytes } => self.logs.0.entry(source).or_default().extend_from_slice(&bytes),
            Message::Answer { id, answer } => drop(self.answers.insert(id, answer)),
        }
    }
}

/// A call in a few words, for errors.
fn name(request: &Request) -> String {
    match request {
        Request::Run { script } => script.clone(),
        Request::Write { path, bytes } => format!("write {} bytes to {path}", bytes.len()),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A link and the stream on which a test plays the agent.
    fn link() -> (Arc<Link>, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Link::new(ours).unwrap(), theirs)
    }

    #[test]
    fn answers_find_their_calls_in_any_order() {
        let (link, mut agent) = link();
        let other = link.clone();
        let first = thread::spawn(move || other.call(Request::Read { path: "/a".into() }, Duration::from_secs(10)));
        let Some(Call { id: one, .. }) = read_frame(&mut agent).unwrap() else { panic!("no call") };
        let other = link.clone();
        let second = thread::spawn(move || other.call(Request::Read { path: "/b".into() }, Duration::from_secs(10)));
        let Some(Call { id: two, .. }) = read_frame(&mut agent).unwrap() else { panic!("no call") };
        write_frame(&mut agent, &Message::Answer { id: two, answer: Ok(Answer::Bytes(vec![2])) }).unwrap();
        write_frame(&mut agent, &Message::Answer { id: one, answer: Err("gone".into()) }).unwrap();
        assert_eq!(first.join().unwrap().unwrap_err().to_string(), "in dom0: gone");
        assert!(matches!(second.join().unwrap().unwrap(), Answer::Bytes(bytes) if bytes == [2]));
    }

    #[test]
    fn an_agent_that_ends_fails_the_call_at_once() {
        let (link, agent) = link();
        drop(agent);
        let error = link.wait_ready(Duration::from_secs(100)).unwrap_err();
        assert!(error.to_string().contains("closed"), "{error}");
    }

    #[test]
    fn logs_grow_and_are_watched() {
        let (link, mut agent) = link();
        let source = LogSource::Console("hello".into());
        for bytes in [b"he".to_vec(), b"llo".to_vec()] {
            write_frame(&mut agent, &Message::Log { source: source.clone(), bytes }).unwrap();
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        let whole = link.watch(deadline, |logs| Some(logs.of(&source).to_vec()).filter(|log| log.len() == 5)).unwrap();
        assert_eq!(whole.as_deref(), Some(&b"hello"[..]));
        assert_eq!(link.log(&source, 2), b"llo");
    }
}
