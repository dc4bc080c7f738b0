//! A guest: started by `xl` from a configuration as a user writes it, watched through its console and the toolstack's log.

use crate::dom0::Dom0;
use crate::verdict::Failure;
use anyhow::{Context, Result, bail};
use bed_agent::protocol::{BRIDGE, LogSource};
use std::fmt::{self, Write as _};
use std::time::{Duration, Instant};

/// Longest wait for the toolstack to say what it did.
const TOOLSTACK_PATIENCE: Duration = Duration::from_secs(30);
/// Time in which the console daemon brings the last bytes of a guest that has ended.
const LAST_BYTES_PATIENCE: Duration = Duration::from_millis(500);

/// What a guest is made of.
#[derive(Debug, Clone)]
pub struct GuestSpec {
    /// Its name, also in the names of its logs.
    pub name: String,
    /// The image that `xl` boots.
    pub image: Vec<u8>,
    /// A Linux guest's first file system.
    pub ramdisk: Option<Vec<u8>>,
    /// Memory.
    pub memory_mib: u32,
    /// Whether it has a network interface on the bridge.
    pub vif: bool,
    /// Its hardware address; one made of its name when there is none.
    pub mac: Option<String>,
    /// The guest's command line.
    pub extra: String,
    /// Nodes written below the domain's `data/` before it runs.
    pub data: Vec<(String, Vec<u8>)>,
    /// What the toolstack does when the guest asks for a reboot: "preserve" keeps the dead domain so that its reason can be read.
    pub on_reboot: String,
    /// Further lines of the configuration.
    pub configuration: Vec<String>,
}

impl GuestSpec {
    /// A guest of 4 MiB without network.
    #[must_use]
    pub fn new(name: &str, image: Vec<u8>) -> Self {
        Self {
            name: name.to_owned(),
            image,
            ramdisk: None,
            memory_mib: 4,
            vif: false,
            mac: None,
            extra: String::new(),
            data: Vec::new(),
            on_reboot: "preserve".to_owned(),
            configuration: Vec::new(),
        }
    }

    /// The hardware address: the one given, or one in Xen's range that depends on nothing but the name.
    #[must_use]
    pub fn mac(&self) -> String {
        let hash = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        let [_, a, b, c] = self.name.bytes().fold(0x811c_9dc5, hash).to_be_bytes();
        self.mac.clone().unwrap_or_else(|| format!("00:16:3e:{:02x}:{b:02x}:{c:02x}", a & 0x7f))
    }

    fn image_path(&self) -> String {
        format!("/var/lib/spore/{}.img", self.name)
    }

    fn ramdisk_path(&self) -> String {
        format!("/var/lib/spore/{}.ramdisk", self.name)
    }

    /// The configuration that `xl` gets.
    ///
    /// # Errors
    /// The command line has both kinds of quotes, which `xl` cannot express.
    pub fn xl_configuration(&self) -> Result<String> {
        let mut text = String::new();
        let preserve = "preserve".to_owned();
        let lines =
            [("name", &self.name), ("type", &"pv".to_owned()), ("kernel", &self.image_path()), ("extra", &self.extra)];
        let ends = [("on_poweroff", &preserve), ("on_reboot", &self.on_reboot), ("on_crash", &preserve)];
        for (key, value) in lines.into_iter().chain(ends) {
            let quote = if value.contains('"') { '\'' } else { '"' };
            if value.contains(quote) {
                bail!("xl cannot quote {key}: {value}");
            }
            writeln!(text, "{key} = {quote}{value}{quote}")?;
        }
        writeln!(text, "memory = {}\nvcpus = 1", self.memory_mib)?;
        if self.ramdisk.is_some() {
            writeln!(text, "ramdisk = \"{}\"", self.ramdisk_path())?;
        }
        if self.vif {
            writeln!(text, "vif = [ \"{}\" ]", self.vif_specification())?;
        }
        for line in &self.configuration {
            writeln!(text, "{line}")?;
        }
        Ok(text)
    }

    fn vif_specification(&self) -> String {
        format!("mac={},bridge={BRIDGE}", self.mac())
    }
}

/// Why a domain ended. Source: xen/include/public/sched.h, `SHUTDOWN_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShutdownReason {
    /// It ended in order.
    PowerOff,
    /// It asks to be started again.
    Reboot,
    /// It was saved.
    Suspend,
    /// It failed.
    Crash,
    /// Its watchdog ran out.
    Watchdog,
    /// It asks for a reset without a new domain.
    SoftReset,
    /// A reason that this list does not know.
    Unknown(u32),
}

impl From<u32> for ShutdownReason {
    fn from(code: u32) -> Self {
        match code {
            0 => Self::PowerOff,
            1 => Self::Reboot,
            2 => Self::Suspend,
            3 => Self::Crash,
            4 => Self::Watchdog,
            5 => Self::SoftReset,
            code => Self::Unknown(code),
        }
    }
}

impl fmt::Display for ShutdownReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::PowerOff => "poweroff",
            Self::Reboot => "reboot",
            Self::Suspend => "suspend",
            Self::Crash => "crash",
            Self::Watchdog => "watchdog",
            Self::SoftReset => "soft reset",
            Self::Unknown(code) => return write!(formatter, "reason {code}"),
        };
        formatter.write_str(name)
    }
}

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
        let mut guest = Self { dom0, spec: spec.clone(), seen_text: 0, seen_ends: 0, destroyed: true };
        let (dom0, name) = (&guest.dom0, &spec.name);
        dom0.forget_logs(name)?;
        dom0.link().forget(&guest.console());
        dom0.link().forget(&guest.toolstack());
        dom0.put(&spec.image_path(), &spec.image)?;
        if let Some(ramdisk) = &spec.ramdisk {
            dom0.put(&spec.ramdisk_path(), ramdisk)?;
        }
        let configuration = format!("/var/lib/spore/{name}.cfg");
        dom0.put(&configuration, spec.xl_configuration()?.as_bytes())?;
        dom0.must(&format!("xl create -p '{configuration}'"))?;
        guest.destroyed = false;
        for (key, value) in &spec.data {
            let path = guest.xenstore_path(&format!("data/{key}"))?;
            guest.dom0.xenstore_write(&path, value)?;
        }
        Ok(guest)
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
            .watch(deadline, |log| domain_in(&String::from_utf8_lossy(&log(&source)), &self.spec.name))?;
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

    /// The next bytes after the first `from`, as soon as there are any; `None` when none came in time or, once the guest has ended,
    /// when there are no more.
    ///
    /// # Errors
    /// dom0 is gone.
    pub fn console_after(&self, from: usize, patience: Duration) -> Result<Option<Vec<u8>>> {
        let more = |console: &[u8]| console.get(from..).filter(|more| !more.is_empty()).map(<[u8]>::to_vec);
        self.watch_console(patience, more)
    }

    /// Waits until `look`, shown all bytes printed so far, finds something; `None` when it did not in time or the guest ended before.
    ///
    /// # Errors
    /// dom0 is gone.
    pub fn watch_console<T>(&self, patience: Duration, mut look: impl FnMut(&[u8]) -> Option<T>) -> Result<Option<T>> {
        let (console, toolstack) = (self.console(), self.toolstack());
        let deadline = Instant::now() + patience;
        let link = self.dom0.link();
        let ended = |log: &dyn Fn(&LogSource) -> Vec<u8>| {
            ends_in(&String::from_utf8_lossy(&log(&toolstack))).len() > self.seen_ends
        };
        let found = link.watch(deadline, |log| match look(&log(&console)) {
            Some(found) => Some(Some(found)),
            None => ended(log).then_some(None),
        })?;
        match found {
            Some(Some(found)) => Ok(Some(found)),
            Some(None) => link.watch(deadline.min(Instant::now() + LAST_BYTES_PATIENCE), |log| look(&log(&console))),
            None => Ok(None),
        }
    }

    /// Waits for a line with this text, after the line that the last call found; returns the line.
    ///
    /// # Errors
    /// A [`Failure`] when it does not come in time, or the guest ends before; the console's last lines are in the message.
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
        let end =
            |log: &dyn Fn(&LogSource) -> Vec<u8>| ends_in(&String::from_utf8_lossy(&log(&source))).get(seen).copied();
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

    /// The value of a node of this domain, such as `data/result`.
    ///
    /// # Errors
    /// As [`Dom0::xenstore_read`].
    pub fn xenstore_read(&self, node: &str) -> Result<Option<Vec<u8>>> {
        self.dom0.xenstore_read(&self.xenstore_path(node)?)
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
        self.destroyed = true;
        self.xl("destroy", "")
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
        if !self.destroyed {
            // The bed may be gone already; a scenario that cares calls destroy().
            let _ = self.xl("destroy", "");
        }
    }
}

/// The number of the newest domain of this name, from the log of `xl`: "Waiting for domain hello (domid 3) to die [pid 42]".
fn domain_in(log: &str, name: &str) -> Option<u32> {
    let start = format!("Waiting for domain {name} (domid ");
    log.lines().rev().find_map(|line| line.strip_prefix(&start)?.split(')').next()?.parse().ok())
}

/// The reasons of all ends, from the log of `xl`: "Domain 3 has shut down, reason code 3 0x3".
fn ends_in(log: &str) -> Vec<ShutdownReason> {
    let code = |line: &str| line.split_once("has shut down, reason code ")?.1.split(' ').next()?.parse::<u32>().ok();
    log.split_inclusive('\n').filter(|line| line.ends_with('\n')).filter_map(code).map(ShutdownReason::from).collect()
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

    const LOG: &str = "Waiting for domain hello (domid 3) to die [pid 42]\nDomain 3 has shut down, reason code 1 0x1\n\
        Action for shutdown reason code 1 is restart\nDone. Rebooting now\nWaiting for domain hello (domid 4) to die [pid 42]\n\
        Domain 4 has shut down, reason code 3 0x3\nDomain 4 has shut d";

    #[test]
    fn the_toolstacks_log_tells_numbers_and_reasons() {
        assert_eq!(domain_in(LOG, "hello"), Some(4));
        assert_eq!(domain_in(LOG, "other"), None);
        assert_eq!(ends_in(LOG), [ShutdownReason::Reboot, ShutdownReason::Crash]);
    }

    #[test]
    fn text_is_separated_from_frames() {
        assert_eq!(plain_text(b"a\r\n\xfe\x01\n\x00b\xfe\x05"), "a\nb");
    }

    #[test]
    fn the_configuration_quotes_what_it_is_given() {
        let mut spec = GuestSpec::new("hello", Vec::new());
        spec.extra = "text=\"a b\"".into();
        spec.vif = true;
        let text = spec.xl_configuration().unwrap();
        assert!(text.contains("extra = 'text=\"a b\"'\n") && text.contains("memory = 4\n"), "{text}");
        assert!(text.contains(&format!("vif = [ \"mac={},bridge=xenbr0\" ]", spec.mac())), "{text}");
        spec.extra = "'\"".into();
        assert!(spec.xl_configuration().is_err());
    }
}
