//! The thread that takes results where they are to go: at least once each, however often it takes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use protocol::command::Destination;
use protocol::{Report, document};
use ureq::Agent;
use ureq::config::ConfigBuilder;
use ureq::typestate::AgentScope;

use super::clerk::Clerk;
use super::mqtt::Broker;
use crate::log::{self, Level};
use crate::{Config, Key};

/// The pause after the first try that failed; it doubles with each, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// The longest wait for a receiver: it keeps those of other results waiting.
const PATIENCE: Duration = Duration::from_secs(20);

/// Takes results to their destinations.
pub(super) struct Deliverer {
    clerk: Clerk,
    results: PathBuf,
    tls: tls::Client,
    /// For http.
    plain: Agent,
    /// For https: made when it is needed, and anew after a failure, so that renewed files are read.
    private: Option<Agent>,
    broker: Option<Broker>,
}

/// A result that is not where it is to go yet.
struct Pending {
    key: Key,
    pause: Duration,
    at: Instant,
}

impl Deliverer {
    pub(super) fn new(clerk: Clerk, settings: &Config) -> Result<Self, String> {
        let broker = settings.broker.as_ref().map(|address| Broker::at(address, settings)).transpose()?;
        let (results, plain) = (settings.state.join("results"), agent().build().new_agent());
        Ok(Self { clerk, results, tls: settings.tls(), plain, private: None, broker })
    }

    /// Delivers for ever.
    pub(super) fn run(mut self, keys: &Receiver<Key>) {
        let mut pending: Vec<Pending> = Vec::new();
        loop {
            let now = Instant::now();
            let wait = pending.iter().map(|one| one.at.saturating_duration_since(now)).min();
            match keys.recv_timeout(wait.unwrap_or(Duration::from_secs(3600))) {
                Ok(key) => pending.push(Pending { key, pause: FIRST_PAUSE, at: Instant::now() }),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let now = Instant::now();
            let (due, later) = pending.into_iter().partition(|one: &Pending| one.at <= now);
            pending = later;
            pending.extend(due.into_iter().filter_map(|one| self.try_once(one)));
        }
    }

    /// Tries to deliver; what is still to be delivered.
    fn try_once(&mut self, pending: Pending) -> Option<Pending> {
        let Pending { key, pause, .. } = pending;
        let outcome = self.deliver(&key);
        let delivered = outcome.is_ok();
        self.clerk.ask_now(move |books| books.count_delivery(delivered));
        let error = outcome.err()?;
        if pause == FIRST_PAUSE {
            log::say(Level::Warning, &format!("the result of command {key}: {error}; it is kept and tried again"));
        }
        Some(Pending { key, pause: (pause * 2).min(LONGEST_PAUSE), at: Instant::now() + pause })
    }

    fn deliver(&mut self, key: &Key) -> Result<(), String> {
        let asked = key.clone();
        let found = self.clerk.ask_now(move |books| books.report_of(&asked)).map_err(|error| error.to_string())?;
        // Someone has removed or taken it meanwhile.
        let Some((report, destination)) = found else { return Ok(()) };
        match destination {
            Destination::Node => return Ok(()),
            Destination::File => self.write(&report).map_err(|error| error.to_string())?,
            Destination::Http { url } => self.push(&url, &report)?,
            Destination::Mqtt { topic } => {
                let broker = self.broker.as_ref().ok_or("the node's config names no broker any more")?;
                broker.publish(&topic, document::encode(&report), PATIENCE)?;
            }
        }
        let taken = key.clone();
        self.clerk.ask_now(move |books| books.taken(&taken)).map_err(|error| error.to_string())
    }

    /// Writes a result so that a reader sees the whole of it or nothing.
    fn write(&self, report: &Report) -> io::Result<()> {
        let folder = self.results.join(report.tenant.as_str());
        fs::create_dir_all(&folder)?;
        let (new, path) = (folder.join(".new"), folder.join(format!("{}.json", report.command)));
        let mut file = File::create(&new)?;
        file.write_all(&document::encode(report))?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(&folder)?.sync_all()
    }

    fn push(&mut self, url: &str, report: &Report) -> Result<(), String> {
        // Without the query, in which a tenant may have what lets it in.
        let shown = url.split('?').next().unwrap_or_default();
        let failed = |reason: String| format!("{shown}: {reason}");
        let agent = self.agent_for(url).map_err(|error| failed(error.to_string()))?;
        let request = agent.post(url).header("content-type", "application/json");
        let sent = request.send(document::encode(report).as_slice());
        sent.map(drop).map_err(|error| {
            self.private = None;
            failed(tls::of_http(&error))
        })
    }

    fn agent_for(&mut self, url: &str) -> Result<&Agent, tls::FileError> {
        if !url.to_ascii_lowercase().starts_with("https:") {
            return Ok(&self.plain);
        }
        let agent = match self.private.take() {
            Some(agent) => agent,
            None => agent().tls_config(self.tls.http_config()?).build().new_agent(),
        };
        Ok(self.private.insert(agent))
    }
}

/// How receivers are asked.
fn agent() -> ConfigBuilder<AgentScope> {
    Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .user_agent(concat!("spored/", env!("CARGO_PKG_VERSION")))
        // A tenant says where its result goes; not where someone there sends the node on to.
        .max_redirects(0)
}
