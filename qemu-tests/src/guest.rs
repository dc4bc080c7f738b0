//! A guest: started by `xl` from a configuration as a user writes it, watched through its console and the toolstack's
//! log.

mod end;
mod launch;
mod spec;

pub use end::ShutdownReason;
pub use spec::GuestSpec;

use crate::dom0::Dom0;
use crate::link::Logs;
use crate::verdict::Failure;
use anyhow::{Context, Result};
use bed_agent::protocol::LogSource;
use end::{daemon_in, domain_in, ends_in};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Longest wait for the toolstack to say what it did.
const TOOLSTACK_PATIENCE: Duration = Duration::from_secs(30);
/// Time in which the console daemon brings the last bytes of a guest that has ended.
const LAST_BYTES_PATIENCE: Duration = Duration::from_millis(500);

/// A domain that `xl` made, destroyed on drop.
#[derive(Debug)]
pub struct Guest {
    dom0: Dom0,
    spec: GuestSpec,
    /// How much of the console's text has been waited for.
    seen_text: usize,
    /// How many of its ends have been waited for: a guest that is restarted has several.
    seen_ends: usize,
    destroyed: bool,
}

impl Guest {
    /// Makes the domain, follows its console, then lets it run.
    pub(crate) fn create(dom0: Dom0, spec: &GuestSpec) -> Result<Self> {
        let guest = Self::create_paused(dom0, spec)?;
        guest.unpause()?;
        Ok(guest)
    }

    /// Makes the domain and follows its console, but does not let it run yet.
    pub(crate) fn create_paused(dom0: Dom0, spec: &GuestSpec) -> Result<Self> {
        let mut guest = Self::prepare(dom0, spec)?;
        guest.dom0.must(&format!("xl create -p '{}'", guest.configuration()))?;
        guest.destroyed = false;
        for (key, value) in &spec.data {
            let path = guest.xenstore_path(&format!("data/{key}"))?;
            guest.dom0.xenstore_write(&path, value)?;
        }
        Ok(guest)
    }

    /// Puts what `xl` reads into dom0 and forgets earlier guests of the name.
    fn prepare(dom0: Dom0, spec: &GuestSpec) -> Result<Self> {
        let guest = Self { dom0, spec: spec.clone(), seen_text: 0, seen_ends: 0, destroyed: true };
        let (dom0, name) = (&guest.dom0, &spec.name);
        dom0.forget_logs(name)?;
        dom0.link().forget(&guest.console());
        dom0.link().forget(&guest.toolstack());
        dom0.put(&spec.image_path(), &spec.image)?;
        if let Some(ramdisk) = &spec.ramdisk {
            dom0.put(&spec.ramdisk_path(), ramdisk)?;
        }
        dom0.put(&guest.configuration(), spec.xl_configuration()?.as_bytes())?;
        Ok(guest)
    }

    fn configuration(&self) -> String {
        format!("/var/lib/spore/{}.cfg", self.spec.name)
    }

    /// What it was made from.
    #[must_use]
    pub fn spec(&self) -> &GuestSpec {
        &self.spec
    }

    /// The number of its domain; after a restart by the toolstack, of the newest one.
    ///
    /// # Errors
    /// The toolstack has not said it, or dom0 is gone.
    pub fn domain(&self) -> Result<u32> {
        let deadline = Instant::now() + TOOLSTACK_PATIENCE;
        let source = self.toolstack();
        let domain = self
            .dom0
            .link()
            .watch(deadline, |logs| domain_in(&String::from_utf8_lossy(logs.of(&source)), &self.spec.name))?;
        domain.with_context(|| format!("xl did not say the number of domain {}", self.spec.name))
    }

    /// All bytes that it has printed.
    #[must_use]
    pub fn console_bytes(&self) -> Vec<u8> {
        self.dom0.link().log(&self.console(), 0)
    }

    /// All text that it has printed, without binary log frames.
    #[must_use]
    pub fn console_text(&self) -> String {
        plain_text(&self.console_bytes())
    }

    /// The next bytes after the first `from`, as soon as there are any; `None` when none came in time or, once the
    /// guest has ended, when there are no more.
    ///
    /// # Errors
    /// dom0 is gone.
    pub fn console_after(&self, from: usize, patience: Duration) -> Result<Option<Vec<u8>>> {
        let more = |console: &[u8]| console.get(from..).filter(|more| !more.is_empty()).map(<[u8]>::to_vec);
        self.watch_console(patience, more)
    }

    /// Waits until `look`, shown all bytes printed so far, finds something; `None` when it did not in time or the guest
    /// ended before.
    ///
    /// # Errors
    /// dom0 is gone.
    pub fn watch_console<T>(&self, patience: Duration, mut look: impl FnMut(&[u8]) -> Option<T>) -> Result<Option<T>> {
        let (console, toolstack) = (self.console(), self.toolstack());
        let deadline = Instant::now() + patience;
        let link = self.dom0.link();
        let ended = |logs: &Logs| ends_in(&String::from_utf8_lossy(logs.of(&toolstack))).len() > self.seen_ends;
        let found = link.watch(deadline, |logs| match look(logs.of(&console)) {
            Some(found) => Some(Some(found)),
            None => ended(logs).then_some(None),
        })?;
        match found {
            Some(Some(found)) => Ok(Some(found)),
            Some(None) => {
                link.watch(deadline.min(Instant::now() + LAST_BYTES_PATIENCE), |logs| look(logs.of(&console)))
            }
            None => Ok(None),
        }
    }

    /// Waits for a line with this text, after the line that the last call found; returns the line.
    ///
    /// # Errors
    /// A [`Failure`] when it does not come in time, or the guest ends before; the console's last lines are in the
    /// message.
    pub fn wait_for(&mut self, text: &str, patience: Duration) -> Result<String> {
        let seen = self.seen_text;
        let found = self.watch_console(patience, |bytes| {
            let console = plain_text(bytes);
            let at = seen + console.get(seen..)?.find(text)?;
            let start = console[..at].rfind('\n').map_or(0, |newline| newline + 1);
            let end = at + console[at..].find('\n')?;
            Some((console[start..end].to_owned(), end + 1))
        })?;
        let Some((line, end)) = found else {
            return Err(self.complaint(&format!("no line with {text:?} within {patience:?}")));
        };
        self.seen_text = end;
        Ok(line)
    }

    /// Waits for the domain's end; a second call waits for the end of the domain that took its place.
    ///
    /// # Errors
    /// A [`Failure`] when it does not end in time; the console's last lines are in the message.
    pub fn wait_shutdown(&mut self, patience: Duration) -> Result<ShutdownReason> {
        let source = self.toolstack();
        let seen = self.seen_ends;
        let end = |logs: &Logs| ends_in(&String::from_utf8_lossy(logs.of(&source))).get(seen).copied();
        let Some(reason) = self.dom0.link().watch(Instant::now() + patience, end)? else {
            return Err(self.complaint(&format!("did not end within {patience:?}")));
        };
        self.seen_ends += 1;
        Ok(reason)
    }

    /// A failure of the subject, with the last of what it printed.
    #[must_use]
    pub fn complaint(&self, what: &str) -> anyhow::Error {
        let text = self.console_text();
        let last: Vec<_> = text.lines().rev().take(8).collect();
        let last: Vec<_> = last.into_iter().rev().collect();
        let ends = ends_in(&String::from_utf8_lossy(&self.dom0.link().log(&self.toolstack(), 0)));
        let ended = ends.last().map_or(String::new(), |reason| format!(" (it ended: {reason})"));
        Failure(format!("{}: {what}{ended}; its console's last lines:\n{}", self.spec.name, last.join("\n"))).into()
    }

    /// The path of a xenstore node of this domain.
    ///
    /// # Errors
    /// As [`Guest::domain`].
    pub fn xenstore_path(&self, node: &str) -> Result<String> {
        Ok(format!("/local/domain/{}/{node}", self.domain()?))
    }

    /// The value of a node of this domain, such as `data/status`.
    ///
    /// # Errors
    /// As [`Dom0::xenstore_read`].
    pub fn xenstore_read(&self, node: &str) -> Result<Option<Vec<u8>>> {
        self.dom0.xenstore_read(&self.xenstore_path(node)?)
    }

    /// The report that its task left, as postcard; none when there is none or it is not whole.
    ///
    /// # Errors
    /// As [`Dom0::xenstore_read`].
    pub fn report(&self) -> Result<Option<Vec<u8>>> {
        kernel::nodes::join(kernel::nodes::RESULT, |node| self.xenstore_read(node))
    }

    /// Removes the files that it was made from, for one that is not started again: dom0's file system is dom0's memory.
    ///
    /// # Errors
    /// dom0 is gone.
    pub fn forget_image(&self) -> Result<()> {
        let (image, ramdisk) = (self.spec.image_path(), self.spec.ramdisk_path());
        self.dom0.must(&format!("rm -f '{image}' '{ramdisk}'")).map(drop)
    }

    /// Lets a paused domain run.
    ///
    /// # Errors
    /// `xl` refuses.
    pub fn unpause(&self) -> Result<()> {
        self.xl("unpause", "")
    }

    /// Stops the domain's CPU until it is unpaused.
    ///
    /// # Errors
    /// `xl` refuses.
    pub fn pause(&self) -> Result<()> {
        self.xl("pause", "")
    }

    /// Asks the guest to end, and returns at once.
    ///
    /// # Errors
    /// `xl` refuses.
    pub fn shutdown(&self) -> Result<()> {
        self.xl("shutdown", "")
    }

    /// Asks the guest to end and to be started again, and returns at once.
    ///
    /// # Errors
    /// `xl` refuses.
    pub fn reboot(&self) -> Result<()> {
        self.xl("reboot", "")
    }

    /// What the guest has counted up to now, by name.
    ///
    /// # Errors
    /// `xl` refuses, or the guest does not answer in time.
    pub fn counters(&self, patience: Duration) -> Result<BTreeMap<String, u64>> {
        self.xl("sysrq", "c")?;
        // The guest takes the request back once the counters are there.
        let request = self.dom0.xenstore_wait(&self.xenstore_path("control/sysrq")?, Some(b""), patience)?;
        if request.is_none_or(|request| !request.is_empty()) {
            return Err(self.complaint("it does not answer xl sysrq"));
        }
        let text = String::from_utf8(self.xenstore_read("data/counters")?.unwrap_or_default())?;
        let counter = |word: &str| {
            let (name, count) = word.split_once('=')?;
            Some((name.to_owned(), count.parse().ok()?))
        };
        let counters: Option<BTreeMap<_, _>> = text.split(' ').map(counter).collect();
        counters.ok_or_else(|| self.complaint(&format!("its counters are {text:?}")))
    }

    /// Takes the network interface with this number away.
    ///
    /// # Errors
    /// `xl` refuses.
    pub fn network_detach(&self, number: u32) -> Result<()> {
        self.xl("network-detach", &number.to_string())
    }

    /// Gives the guest a network interface like the first one.
    ///
    /// # Errors
    /// `xl` refuses.
    pub fn network_attach(&self) -> Result<()> {
        let specification = self.spec.vif_specification().replace(',', " ");
        self.xl("network-attach", &specification)
    }

    /// Ends the domain without asking it.
    ///
    /// # Errors
    /// `xl` refuses.
    pub fn destroy(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.destroyed, true) {
            return Ok(());
        }
        if self.spec.on_reboot == "preserve" && self.spec.on_crash == "preserve" {
            return self.xl("destroy", "");
        }
        // The toolstack's daemon may be starting the guest again at this moment: it has to go first.
        let log = self.dom0.link().log(&self.toolstack(), 0);
        let daemon = daemon_in(&String::from_utf8_lossy(&log)).unwrap_or_default();
        let name = &self.spec.name;
        self.dom0.must(&format!("kill {daemon}; ! xl domid '{name}' || xl destroy '{name}'")).map(drop)
    }

    fn xl(&self, command: &str, arguments: &str) -> Result<()> {
        self.dom0.must(&format!("xl {command} '{}' {arguments}", self.spec.name)).map(drop)
    }

    fn console(&self) -> LogSource {
        LogSource::Console(self.spec.name.clone())
    }

    fn toolstack(&self) -> LogSource {
        LogSource::Toolstack(self.spec.name.clone())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // The bed may be gone already; a scenario that cares calls destroy().
        let _ = self.end();
    }
}

/// A console's text: binary log frames (0xFE to 0x00) and carriage returns are left out; an unfinished frame too.
#[must_use]
pub fn plain_text(console: &[u8]) -> String {
    let mut text = Vec::with_capacity(console.len());
    let mut bytes = console.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            0xfe => drop(bytes.by_ref().find(|byte| *byte == 0)),
            b'\r' => {}
            byte => text.push(byte),
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_separated_from_frames() {
        assert_eq!(plain_text(b"a\r\n\xfe\x01\n\x00b\xfe\x05"), "a\nb");
    }
}
