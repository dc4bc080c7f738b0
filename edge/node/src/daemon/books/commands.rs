//! Commands: taken, seen, stopped, removed, and their results.

use artifact::{Config, Feature, Kept};
use base64ct::{Base64, Encoding};
use console::LogStream;
use protocol::api::{CommandList, CommandStatus};
use protocol::command::Destination;
use protocol::{CommandRefusal, Failure, Outcome, Purpose, Report, SignedCommand, State, Tenant, Verified, Version};

use super::{Books, Caller, kept_of, log_stream, now, quota, scope, weight};
use crate::admission::{self, Needs, Refusal};
use crate::daemon::refused::Refused;
use crate::daemon::steps::Step;
use crate::{Entry, GuestId, Key, NodeError, Prepared};

/// Which commands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::daemon) struct Which {
    /// Those of one tenant.
    pub(in crate::daemon) tenant: Option<Tenant>,
    /// So many of those that have ended, beside those that have not.
    pub(in crate::daemon) ended: usize,
}

/// Where a command's console is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::daemon) enum Console {
    /// It has no guest now.
    NotYet,
    /// This guest's.
    Of(GuestId),
    /// The last lines of its last guest.
    Ended(Vec<String>),
}

impl Books {
    /// Takes a signed command: its state, and whether it is new.
    pub(in crate::daemon) fn submit(
        &mut self,
        envelope: &[u8],
        caller: &Caller,
    ) -> Result<(CommandStatus, bool), Refused> {
        let submitted = self.steps.clone().time(Step::Accept, || self.try_submit(envelope, caller));
        match &submitted {
            Ok((_, true)) => self.counts.accepted += 1,
            Ok((_, false)) => {}
            Err(_) => self.counts.refused += 1,
        }
        submitted
    }

    fn try_submit(&mut self, envelope: &[u8], caller: &Caller) -> Result<(CommandStatus, bool), Refused> {
        let keys = |tenant: &Tenant| self.tenants.get(tenant).map(|known| known.keys.clone());
        let verified = SignedCommand::open(envelope, keys).map_err(|refusal| not_opened(refusal, caller))?;
        if let Some(known) = self.node.known(&verified)? {
            return Ok((self.status(&known), false));
        }
        let command = verified.command();
        let forgotten = self.node.journal().forgotten_until(&command.tenant)?;
        if let Some(until) = forgotten.filter(|until| command.issued <= *until) {
            let problem = format!(
                "the command was signed at {}, and this node has forgotten ended commands that were signed until \
                 {until}: it may have run already",
                command.issued
            );
            return Err(Refused::new(409, problem, "sign it anew to have it run"));
        }
        self.may_be_sent(&command.tenant, &command.result)?;
        self.admit_early(&verified)?;
        let entry = self.node.accept(&verified, now())?;
        drop(self.fetches.send(entry.key()));
        Ok((self.status(&entry), true))
    }

    /// Whether a result may go there.
    fn may_be_sent(&self, tenant: &Tenant, destination: &Destination) -> Result<(), Refused> {
        match destination {
            Destination::Node | Destination::File => Ok(()),
            Destination::Http { url } => {
                let uri = url.parse::<hyper::Uri>().ok();
                let scheme = uri.as_ref().and_then(hyper::Uri::scheme_str).unwrap_or_default();
                let host = uri.as_ref().and_then(|uri| uri.authority()).map_or("", |authority| authority.as_str());
                if !["http", "https"].contains(&scheme) {
                    let problem = format!("\"{}\" is no URL of http or https", url.escape_debug());
                    return Err(Refused::new(422, problem, "write https://host/path"));
                }
                let is_it = |receiver: &String| match receiver.split_once("://") {
                    Some((only, named)) => only == scheme && named == host,
                    None => receiver == host,
                };
                if self.facts.receivers.iter().any(is_it) {
                    return Ok(());
                }
                let host = host.escape_debug();
                let problem = format!("results may not be sent to \"{host}\" by {scheme} from this node");
                Err(Refused::new(422, problem, "have the operator name the host in the node's config: receivers"))
            }
            Destination::Mqtt { .. } if !self.facts.has_broker => {
                let remedy = "have the operator name a broker in the node's config";
                Err(Refused::new(422, "this node sends no results by MQTT", remedy))
            }
            // The broker cannot tell one tenant from another: the node is one client to it.
            Destination::Mqtt { topic } if !is_topic_of(tenant, topic) => {
                let problem = format!("the topic \"{}\" is not one of tenant \"{tenant}\"", topic.escape_debug());
                Err(Refused::new(422, problem, &format!("begin it with \"{tenant}/\", without + and #")))
            }
            Destination::Mqtt { .. } => Ok(()),
        }
    }

    /// What can be said against a command before its task was fetched; all, when that is here already.
    fn admit_early(&self, verified: &Verified) -> Result<(), Refused> {
        let command = verified.command();
        let refused = |refusal: Refusal| {
            let (status, remedy) = remedy(&refusal);
            Refused::new(status, refusal, remedy)
        };
        let Some(known) = self.tenants.get(&command.tenant) else { return Ok(()) };
        admission::accept(command, &known.record.quota, &self.usage(&command.tenant), self.node.feeder())
            .map_err(refused)?;
        if let Some(kept) = kept_of(&self.kept, command) {
            let (description, needs) = (kept.config.description(), needs(kept));
            admission::admit(command, &description, needs, &known.record.quota, self.board()).map_err(refused)?;
        }
        Ok(())
    }

    /// Says that a command's task is here, or why it never will be.
    pub(in crate::daemon) fn prepare(&mut self, key: &Key, kept: Result<Kept, String>) -> Result<(), NodeError> {
        let prepared = match (kept, self.node.find(key)?) {
            (_, None) => return Ok(()),
            (Err(why), _) => Err(Failure::NoTask { why }),
            (Ok(kept), Some(entry)) => {
                let quota = quota(&self.tenants, &key.tenant);
                let admitted =
                    admission::admit(&entry.command, &kept.config.description(), needs(&kept), &quota, self.board());
                admitted
                    // What its log says need not be written with each state of the command.
                    .map(|memory_mib| {
                        let config = Config { log_strings: None, ..kept.config };
                        Prepared { config, image: kept.image, memory_mib }
                    })
                    .map_err(|refusal| Failure::Refused { why: refusal.to_string() })
            }
        };
        Ok(self.node.prepare(key, prepared, now())?)
    }

    /// A command of the caller's.
    pub(in crate::daemon) fn command(&self, caller: &Caller, key: &Key) -> Result<CommandStatus, Refused> {
        Ok(self.status(&self.seen(caller, key)?))
    }

    /// Commands of the caller's.
    pub(in crate::daemon) fn commands(&self, caller: &Caller, which: &Which) -> Result<CommandList, Refused> {
        let scope = scope(caller)?;
        let seen = |entry: &Entry| {
            let tenant = &entry.command.tenant;
            scope.is_none_or(|one| one == tenant) && which.tenant.as_ref().is_none_or(|one| one == tenant)
        };
        let active = self.node.entries().iter().filter(|entry| seen(entry)).map(|entry| self.status(entry));
        let mut commands: Vec<_> = active.collect();
        let ended = self.node.journal().last_ended(which.ended, |entry| seen(entry) && !entry.removed)?;
        commands.extend(ended.iter().map(|entry| self.status(entry)));
        Ok(CommandList { commands })
    }

    /// Takes a command back.
    pub(in crate::daemon) fn stop(&mut self, caller: &Caller, key: &Key) -> Result<CommandStatus, Refused> {
        self.seen(caller, key)?;
        manages(caller)?;
        self.node.cancel(key, now())?;
        Ok(self.status(&self.seen(caller, key)?))
    }

    /// Removes what an ended command has left.
    pub(in crate::daemon) fn remove(&mut self, caller: &Caller, key: &Key) -> Result<(), Refused> {
        let entry = self.seen(caller, key)?;
        manages(caller)?;
        if !entry.state.phase().is_end() {
            let problem = format!("command {key} has not ended");
            return Err(Refused::new(409, problem, "stop it first: `spore stop`"));
        }
        self.taken(key)?;
        self.node.journal_mut().strip(key)?;
        Ok(())
    }

    /// The report of a command that has ended. Whoever reads it has taken it.
    pub(in crate::daemon) fn result(&mut self, caller: &Caller, key: &Key) -> Result<Report, Refused> {
        let entry = self.seen(caller, key)?;
        let Some(report) = self.report(&entry) else {
            let problem = format!("command {key} has not ended: it is {:?}", entry.state.phase()).to_lowercase();
            return Err(Refused::new(409, problem, "wait for its end: `spore result --wait`"));
        };
        self.taken(key)?;
        Ok(report)
    }

    /// The report of a command that has ended, for who delivers it.
    pub(in crate::daemon) fn report_of(&self, key: &Key) -> Result<Option<(Report, Destination)>, NodeError> {
        let entry = self.node.find(key)?.filter(|entry| !entry.removed);
        let is_taken = self.node.journal().is_taken(key)?;
        let report = |entry: Entry| Some((self.report(&entry)?, entry.command.result));
        Ok(entry.filter(|_| !is_taken).and_then(report))
    }

    /// Says that a result was taken.
    pub(in crate::daemon) fn taken(&mut self, key: &Key) -> Result<(), NodeError> {
        let Some(entry) = self.node.find(key)? else { return Ok(()) };
        if self.node.journal_mut().take(key)?
            && let Some(bytes) = self.waiting.get_mut(&key.tenant)
        {
            *bytes = bytes.saturating_sub(weight(&entry));
        }
        Ok(())
    }

    /// A command's console.
    pub(in crate::daemon) fn console(&self, caller: &Caller, key: &Key) -> Result<Console, Refused> {
        let entry = self.seen(caller, key)?;
        Ok(match entry.state {
            State::Starting | State::Running => Console::Of(entry.guest()),
            State::Accepted | State::Queued => Console::NotYet,
            _ => Console::Ended(entry.console),
        })
    }

    /// What makes lines of what a command's guest prints.
    pub(in crate::daemon) fn log_stream(&self, caller: &Caller, key: &Key) -> Result<LogStream, Refused> {
        Ok(log_stream(&self.kept, &self.seen(caller, key)?.command))
    }

    /// The entry of a command that the caller may see. Another's is as unknown as one that never was.
    fn seen(&self, caller: &Caller, key: &Key) -> Result<Entry, Refused> {
        let is_theirs = scope(caller)?.is_none_or(|tenant| *tenant == key.tenant);
        let entry = if is_theirs { self.node.find(key)? } else { None };
        entry.filter(|entry| !entry.removed).ok_or_else(|| Refused::unknown(key))
    }

    fn status(&self, entry: &Entry) -> CommandStatus {
        let command = &entry.command;
        CommandStatus {
            tenant: command.tenant.clone(),
            command: command.id.clone(),
            state: entry.state.clone(),
            waits_for: self.waits_for(entry),
            task: entry.prepared.as_ref().map(|prepared| prepared.config.task.clone()),
            task_digest: command.task.digest,
            memory_mib: entry.prepared.as_ref().map(|prepared| prepared.memory_mib),
            priority: command.priority,
            attempts: entry.attempt,
            accepted: entry.accepted,
            started: entry.started,
            ended: entry.ended,
        }
    }

    fn report(&self, entry: &Entry) -> Option<Report> {
        let prepared = entry.prepared.as_ref();
        Some(Report {
            version: Version,
            node: self.facts.name.clone(),
            tenant: entry.command.tenant.clone(),
            command: entry.command.id.clone(),
            command_digest: entry.command_digest,
            task: prepared.map(|prepared| prepared.config.task.clone()),
            task_digest: entry.command.task.digest,
            image_digest: prepared.map(|prepared| prepared.image),
            input_digest: None,
            attempts: entry.attempt,
            accepted: entry.accepted,
            started: entry.started,
            ended: entry.ended?,
            outcome: outcome(entry)?,
        })
    }
}

/// How a command ended; nothing for one that has not.
fn outcome(entry: &Entry) -> Option<Outcome> {
    match &entry.state {
        State::Finished => {
            let postcard = entry.result.clone().unwrap_or_default();
            Some(match fields(entry, &postcard) {
                Ok(fields) => Outcome::Finished { postcard, fields },
                Err(why) => Outcome::Failed(Failure::NoResult { why }),
            })
        }
        State::Failed(failure) => Some(Outcome::Failed(failure.clone())),
        State::Cancelled => Some(Outcome::Cancelled),
        State::Expired => Some(Outcome::Expired),
        State::Accepted | State::Queued | State::Starting | State::Running => None,
    }
}

/// A result's fields by their paths, by the schema of the task that has made it.
fn fields(entry: &Entry, postcard: &str) -> Result<std::collections::BTreeMap<String, String>, String> {
    let prepared = entry.prepared.as_ref().ok_or("the task is not known any more")?;
    let bytes = Base64::decode_vec(postcard).map_err(|error| error.to_string())?;
    let fields = prepared.config.description().report_fields(&bytes).map_err(|error| format!("{error:#}"))?;
    Ok(fields.into_iter().collect())
}

/// Whether a tenant may publish to a topic.
fn is_topic_of(tenant: &Tenant, topic: &str) -> bool {
    let rest = topic.strip_prefix(tenant.as_str()).and_then(|rest| rest.strip_prefix('/'));
    rest.is_some_and(|rest| !rest.is_empty() && topic.len() <= 1000 && !topic.contains(['+', '#', '\0']))
}

fn needs(kept: &Kept) -> Needs {
    Needs { memory_mib: kept.config.memory_mib, network: kept.config.needs(Feature::Network) }
}

/// Whether a caller may change what it sees.
fn manages(caller: &Caller) -> Result<(), Refused> {
    match caller {
        Caller::Tenant(_, Purpose::Read) => {
            Err(Refused::new(403, "this access is good for reading only", "sign one for the purpose \"manage\""))
        }
        _ => Ok(()),
    }
}

/// Why a command is not its tenant's. Who is known here is the operator's business only.
fn not_opened(refusal: CommandRefusal, caller: &Caller) -> Refused {
    match (refusal, caller) {
        (error @ (CommandRefusal::Document(_) | CommandRefusal::Envelope(_)), _) => {
            Refused::new(400, error, "send a command as `spore run` makes it")
        }
        (error, Caller::Operator) => {
            Refused::new(403, error, "sign it with a key of the tenant: see `spore tenant ls`")
        }
        (
            CommandRefusal::UnknownTenant { tenant, command }
            | CommandRefusal::NotSignedByTenant { tenant, command, .. },
            _,
        ) => Refused::not_allowed(format!(
            "command \"{command}\": tenant \"{tenant}\" is not known here with the key that has signed it"
        )),
    }
}

/// The status of HTTP for a refusal, and what to do.
fn remedy(refusal: &Refusal) -> (u16, &'static str) {
    match refusal {
        Refusal::Parameters(_) => (422, "give the parameters that the task takes"),
        Refusal::TooLittleMemory { .. } => (422, "give it as much as it needs"),
        Refusal::MoreThanQuota { .. } => (422, "ask for less, or the operator for more: `spore tenant add`"),
        Refusal::MoreThanBoard { .. } => (422, "ask for less, or choose a larger board"),
        Refusal::QueueFull { .. } => (429, "send it again when some of them have started"),
        Refusal::ResultsNotTaken { .. } => (429, "take results: `spore result`, or remove them: `spore rm`"),
        Refusal::NoFeeder => (422, "have the operator name the broker's command in the node's config: feeder"),
        Refusal::FedFeeder => (422, "leave its contract out"),
        Refusal::Contract(_) => (422, "write a contract that the board's broker can be told"),
        Refusal::NoNetwork => (422, "name a bridge in the node's config"),
    }
}
