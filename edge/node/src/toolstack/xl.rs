//! Xen's own `xl`, as a process: it survives upgrades of Xen, which neither libraries nor hypercalls do.
//!
//! A process costs ten times what a question to xenstored does, so `xl` is started only for what xenstored does not
//! know: to make, start and destroy a guest, to list them after something has changed, and for Xen's free memory.

mod output;
mod process;

use std::path::{Path, PathBuf};

use protocol::Cpu;
use xenstore::Client;

use super::domains::{Domain, Domains};
use super::{Error, Options, leftovers};
use crate::{GuestId, GuestSpec};
use process::Runner;

/// The `xl` of the Xen that runs: Debian's /usr/sbin/xl is a script that finds it, at the cost of a shell.
pub(super) fn installed() -> PathBuf {
    let version = privcmd::running_version();
    let direct = version.map(|version| PathBuf::from(format!("/usr/lib/xen-{version}/bin/xl")));
    direct.ok().filter(|path| path.exists()).unwrap_or_else(|| "xl".into())
}

/// `xl`, and the lock that says that one node makes guests here.
pub(super) struct Xl {
    options: Options,
    runner: Runner,
}

impl Xl {
    /// Takes the lock.
    ///
    /// # Errors
    /// Another node has it.
    pub(super) fn new(options: Options) -> Result<Self, Error> {
        let runner = Runner::new(options.program.clone(), &options.lock, options.patience)?;
        Ok(Self { options, runner })
    }

    /// What `xl create` is told.
    fn configuration(&self, guest: &GuestSpec, image: &Path) -> Result<Vec<String>, Error> {
        let id = guest.id.to_string();
        let file = image.to_str().ok_or_else(|| Error::Unsuitable(format!("{} is not UTF-8", image.display())))?;
        // A uuid that is not given is made of random numbers, for which a young board waits for seconds. No type: xl's
        // own choice is right on each CPU.
        let mut lines = vec![
            format!("name={}", quoted(&id)?),
            format!("uuid={}", quoted(&id)?),
            format!("kernel={}", quoted(file)?),
            format!("extra={}", quoted(&guest.command_line()?)?),
            format!("memory={}", guest.memory_mib),
            "vcpus=1".to_owned(),
        ];
        if guest.cpu.weight != 0 {
            lines.push(format!("cpu_weight={}", guest.cpu.weight));
        }
        if guest.cpu.cap_percent != 0 {
            lines.push(format!("cap={}", guest.cpu.cap_percent));
        }
        if guest.network {
            let mut card = format!("mac={},bridge={}", guest.mac(), self.options.bridge);
            if let Some(hotplug) = &self.options.hotplug {
                card += &format!(",script={}", hotplug.display());
            }
            lines.push(format!("vif=[{}]", quoted(&card)?));
        }
        // Without a monitor of its own, which would be 2.5 MB for each guest, an ended guest stays as it is.
        let options = ["create", "-q", "-p", "-e", "/dev/null"].map(str::to_owned);
        Ok(options.into_iter().chain(lines).collect())
    }
}

impl Domains for Xl {
    fn list(&mut self) -> Result<Vec<Domain>, Error> {
        output::domains(&self.runner.run(&["list", "-v"])?)
    }

    fn memory_free_kib(&mut self) -> Result<u64, Error> {
        output::free_memory_kib(&self.runner.run(&["info"])?)
    }

    fn make(&mut self, guest: &GuestSpec, image: &Path, store: &mut Client) -> Result<u16, Error> {
        let configuration = self.configuration(guest, image)?;
        self.runner.run(&configuration)?;
        leftovers::domain_of(store, guest.id)?.ok_or(Error::NoGuest(guest.id))
    }

    fn unpause(&mut self, domain: u16) -> Result<(), Error> {
        self.runner.run(&["unpause", &domain.to_string()]).map(drop)
    }

    fn set_cpu(&mut self, domain: u16, cpu: Cpu) -> Result<(), Error> {
        let [domain, weight, cap] = [domain, cpu.weight, cpu.cap_percent].map(|number| number.to_string());
        self.runner.run(&["sched-credit2", "-d", &domain, "-w", &weight, "-c", &cap]).map(drop)
    }

    fn destroy(&mut self, domain: u16, _: GuestId) -> Result<(), Error> {
        self.runner.run(&["destroy", &domain.to_string()]).map(drop)
    }
}

/// The quote between which `xl`'s configuration can have a text; none where it has no way to write it.
pub(crate) fn quote_for(text: &str) -> Option<char> {
    let quote = if text.contains('"') { '\'' } else { '"' };
    (!text.contains([quote, '\n', '\\'])).then_some(quote)
}

/// A text as a string of `xl`'s configuration.
fn quoted(text: &str) -> Result<String, Error> {
    let quote = quote_for(text).ok_or_else(|| {
        Error::Unsuitable(format!("xl cannot be told {text:?}: it has both kinds of quotes, or a line end"))
    })?;
    Ok(format!("{quote}{text}{quote}"))
}
