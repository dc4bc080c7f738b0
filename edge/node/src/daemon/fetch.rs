//! The thread that brings tasks: from the store, from the folder with tasks, from a registry that the operator names.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use artifact::{Access, Architecture, Error, Kept, Layout, Registry, Source, Store, verify};

use super::books::ToFetch;
use super::clerk::Clerk;
use super::steps::{Step, Steps};
use crate::log::{self, Level};
use crate::{Config, Key};

/// How often a registry is tried that does not answer as one.
const MOST_TRIES: u32 = 5;
/// The pause after the first try that failed; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Brings tasks.
pub(super) struct Fetcher {
    store: Store,
    clerk: Clerk,
    tasks: PathBuf,
    registries: Vec<String>,
    steps: Steps,
    /// How registries are reached of which nothing else is said.
    access: Access,
}

/// A fetch that failed and is tried again.
struct Again {
    key: Key,
    tries: u32,
    at: Instant,
}

impl Fetcher {
    pub(super) fn new(store: Store, clerk: Clerk, config: &Config, steps: Steps) -> Self {
        let access = Access { plain_http: None, tls: config.tls(), credentials: config.credentials.clone() };
        Self { store, clerk, tasks: config.tasks.clone(), registries: config.registries.clone(), steps, access }
    }

    /// Brings what commands want, for ever.
    pub(super) fn run(mut self, keys: &Receiver<Key>) {
        self.tell_kept();
        let mut waiting: Vec<Again> = Vec::new();
        loop {
            let now = Instant::now();
            let wait = waiting.iter().map(|again| again.at.saturating_duration_since(now)).min();
            match keys.recv_timeout(wait.unwrap_or(Duration::from_secs(3600))) {
                Ok(key) => waiting.extend(self.bring(key, 1)),
                Err(RecvTimeoutError::Timeout) => {
                    let now = Instant::now();
                    let (due, later) = waiting.into_iter().partition(|again: &Again| again.at <= now);
                    waiting = later;
                    for Again { key, tries, .. } in due {
                        waiting.extend(self.bring(key, tries + 1));
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn tell_kept(&self) {
        let kept = self.store.kept().to_vec();
        self.clerk.ask_now(move |books| books.set_kept(kept));
    }

    /// Brings the task of a command and says so; what to try again, if it may yet work.
    fn bring(&mut self, key: Key, tries: u32) -> Option<Again> {
        let asked = key.clone();
        let wanted = self.clerk.ask_now(move |books| books.to_fetch(&asked))?;
        let brought = self.steps.clone().time(Step::Fetch, || self.fetch(&wanted));
        if let Err(error) = &brought
            && error.is_temporary()
            && tries < MOST_TRIES
        {
            log::say(Level::Warning, &format!("the task of command {key}: {error}; it is tried again"));
            return Some(Again { key, tries, at: Instant::now() + FIRST_PAUSE * 2u32.pow(tries - 1) });
        }
        let kept = brought.map_err(|error| error.to_string());
        self.tell_kept();
        if let Err(error) = self.clerk.ask_now({
            let key = key.clone();
            move |books| books.prepare(&key, kept)
        }) {
            log::say(Level::Warning, &format!("command {key}: {error}; it is tried again"));
            return Some(Again { key, tries, at: Instant::now() + FIRST_PAUSE });
        }
        None
    }

    fn fetch(&mut self, wanted: &ToFetch) -> Result<Kept, Error> {
        let digest = wanted.task.digest;
        if let Some(kept) = self.store.find(&wanted.tenant, digest, &wanted.keys).cloned()
            && self.store.image(digest).is_ok()
        {
            self.store.use_from_now_on(&kept.tenant, &kept.task, digest)?;
            return Ok(kept);
        }
        let source = self.source(wanted)?;
        let trusted = verify(&*source, digest, &wanted.tenant, &wanted.keys)?;
        self.store.hold(wanted.held.clone());
        let kept = self.store.fetch(&*source, &trusted, Architecture::here())?;
        self.store.use_from_now_on(&kept.tenant, &kept.task, digest)?;
        Ok(kept)
    }

    /// Where a task is to be had: the folder when it is there, else the registry that the command names.
    fn source(&self, wanted: &ToFetch) -> Result<Box<dyn Source>, Error> {
        let digest = wanted.task.digest;
        let folder = self.tasks.join("oci-layout").exists().then(|| Layout::open(&self.tasks)).transpose()?;
        if let Some(folder) = folder
            && folder.manifest(&artifact::Reference::Digest(digest))?.is_some()
        {
            return Ok(Box::new(folder));
        }
        let Some(repository) = &wanted.task.repository else {
            let what = format!("{digest}: copy it there with `spore pull`, or name its repository in the command");
            return Err(Error::Missing { place: self.tasks.display().to_string(), what });
        };
        let host = repository.as_str().split('/').next().unwrap_or_default();
        let Some(plain_http) = self.registries.iter().find_map(|registry| plain_http(registry, host)) else {
            let what = format!("registry \"{host}\" among those that the operator allows: {:?}", self.registries);
            return Err(Error::Missing { place: "the node's config".to_owned(), what });
        };
        Ok(Box::new(Registry::new(repository.clone(), &Access { plain_http, ..self.access.clone() })?))
    }
}

/// What an entry of the config says about a host, if it is about that one: whether it is asked without TLS.
fn plain_http(entry: &str, host: &str) -> Option<Option<bool>> {
    let (plain_http, named) = match entry.split_once("://") {
        Some(("http", named)) => (Some(true), named),
        Some(("https", named)) => (Some(false), named),
        _ => (None, entry),
    };
    (named == host).then_some(plain_http)
}

#[cfg(test)]
mod tests {
    use super::plain_http;

    #[test]
    fn a_registrys_entry_may_say_how_it_is_asked() {
        let host = "registry.example:5000";
        assert_eq!(plain_http(host, host), Some(None));
        assert_eq!(plain_http("http://registry.example:5000", host), Some(Some(true)));
        assert_eq!(plain_http("https://registry.example:5000", host), Some(Some(false)));
        for other in ["registry.example", "ftp://registry.example:5000", "http://other.example:5000"] {
            assert_eq!(plain_http(other, host), None, "{other}");
        }
    }
}
