//! The host's end of the line to the agent: calls and their answers, and logs and sessions' output as they come.

use anyhow::{Context, Result, anyhow, bail};
use bed_agent::protocol::{Answer, Call, LogSource, Message, Request, Session, Stream, read_frame, write_frame};
use std::collections::HashMap;
use std::io::{BufReader, BufWriter};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
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

/// What comes from a session.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// Its program printed something.
    Printed(Stream, Vec<u8>),
    /// Its program ended with this exit status. The last event.
    Ended(Result<i32, String>),
}

/// How many events of a session wait for whoever takes them. Beyond that nothing more is read from the line, so that a
/// program which prints faster than the host takes it is slowed down.
const WAITING_EVENTS: usize = 64;

/// What has come in so far.
#[derive(Debug, Default)]
struct Inbox {
    next_call: u32,
    ready: bool,
    answers: HashMap<u32, Result<Answer, String>>,
    sessions: HashMap<u32, SyncSender<Event>>,
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
                let mut event = None;
                match message {
                    Ok(Some(message)) => event = inbox.take(message),
                    Ok(None) => inbox.closed = Some("the line to dom0's agent was closed".into()),
                    Err(error) => inbox.closed = Some(format!("the line to dom0's agent broke: {error}")),
                }
                let closed = inbox.closed.is_some();
                if closed {
                    // Who waits for their events hears of it.
                    inbox.sessions.clear();
                }
                drop(inbox);
                link.changed.notify_all();
                if let Some((session, event)) = event {
                    // One that was dropped wants no events.
                    let _ = session.send(event);
                }
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

    /// Starts a session; returns its number and what comes from it.
    ///
    /// # Errors
    /// The agent cannot start it or did not in time, or the line broke.
    pub fn start_session(&self, wanted: Session, patience: Duration) -> Result<(u32, Receiver<Event>)> {
        let (events, received) = sync_channel(WAITING_EVENTS);
        let id = self.next_id();
        self.inbox().sessions.insert(id, events);
        self.write(id, Request::Session(wanted))?;
        let answer = self.wait(Instant::now() + patience, |inbox| inbox.answers.remove(&id))?;
        let Some(answer) = answer else { bail!("dom0 did not start a program within {patience:?}") };
        answer.map(|_| (id, received)).map_err(|error| anyhow!("in dom0: {error}"))
    }

    /// Kills a session's program, and forgets what comes from it.
    ///
    /// # Errors
    /// The line broke.
    pub fn kill_session(&self, id: u32) -> Result<()> {
        self.inbox().sessions.remove(&id);
        self.send(Request::Kill { id }).map(drop)
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
        let id = self.next_id();
        self.write(id, request)?;
        Ok(id)
    }

    fn next_id(&self) -> u32 {
        let mut inbox = self.inbox();
        inbox.next_call += 1;
        inbox.next_call
    }

    fn write(&self, id: u32, request: Request) -> Result<()> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        write_frame(&mut *writer, &Call { id, request }).context("the line to dom0's agent broke")
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
    /// Takes a message in. An event is for the session that it is returned with, once the inbox is free again.
    fn take(&mut self, message: Message) -> Option<(SyncSender<Event>, Event)> {
        match message {
            Message::Ready { .. } => self.ready = true,
            Message::Log { source, bytes } => self.logs.0.entry(source).or_default().extend_from_slice(&bytes),
            Message::Answer { id, answer } => drop(self.answers.insert(id, answer)),
            Message::Output { session, stream, bytes } => {
                return Some((self.sessions.get(&session)?.clone(), Event::Printed(stream, bytes)));
            }
            Message::Ended { session, status } => {
                return Some((self.sessions.remove(&session)?, Event::Ended(status)));
            }
        }
        None
    }
}

/// A call in a few words, for errors.
fn name(request: &Request) -> String {
    match request {
        Request::Run { script } => script.clone(),
        Request::Write { path, bytes } => format!("write {} bytes to {path}", bytes.len()),
        Request::Input { session, bytes } => format!("{} bytes of input for session {session}", bytes.len()),
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
    fn a_sessions_events_are_its_own_and_end_with_the_line() {
        let (link, mut agent) = link();
        let other = link.clone();
        let starting = thread::spawn(move || other.start_session(Session::default(), Duration::from_secs(10)));
        let Some(Call { id, .. }) = read_frame(&mut agent).unwrap() else { panic!("no call") };
        let printed = |session, byte| Message::Output { session, stream: Stream::Error, bytes: vec![byte] };
        for message in [printed(id + 1, 1), printed(id, 2), Message::Answer { id, answer: Ok(Answer::Done) }] {
            write_frame(&mut agent, &message).unwrap();
        }
        let (session, events) = starting.join().unwrap().unwrap();
        assert_eq!((session, events.recv()), (id, Ok(Event::Printed(Stream::Error, vec![2]))));
        drop(agent);
        assert!(events.recv().is_err(), "the line is closed, and whoever waits does not hear of it");
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
