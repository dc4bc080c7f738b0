//! Domains by hypercalls: a tenth of the time that `xl` takes, for our own images on the release of Xen that this was
//! tried on.
//!
//! [`build`] makes the domain, [`store`] tells xenstored, [`card`] connects its network card; [`x86_64`] and [`armv7`]
//! are what lies in its memory, as functions of bytes.

mod armv7;
mod build;
mod card;
mod shape;
mod store;
mod x86_64;

use std::fs;
use std::path::Path;
use std::time::Duration;

use privcmd::Xen;
use protocol::Cpu;
use xen_sys::domctl::{DOMINF_DYING, DOMINF_PAUSED, DOMINF_SHUTDOWN, DOMINF_SHUTDOWN_SHIFT, DomainInfo};
use xen_sys::types::{Domid, PAGE_SIZE};
use xenstore::Client;

use super::domains::{Condition, Domain, Domains};
use super::{Error, leftovers};
use crate::{GuestId, GuestSpec};
use build::Plan;

/// Hypercalls.
pub(super) struct Direct {
    xen: Xen,
    /// The bridge for network cards.
    bridge: String,
}

impl Direct {
    /// Opens the way to Xen.
    ///
    /// # Errors
    /// This is another Xen, or another CPU, than it was tried on.
    pub(super) fn open(bridge: &str) -> Result<Self, Error> {
        build::supported()?;
        let mut xen = Xen::open()?;
        // What Xen calls its interface is asked by the first hypercall.
        xen.free_kib()?;
        Ok(Self { xen, bridge: bridge.to_owned() })
    }

    /// Gives a new domain all that it needs.
    fn finish(
        &mut self,
        plan: &Plan<'_>,
        (domain, timer_hz): (Domid, u32),
        guest: &GuestSpec,
        command_line: &str,
        store: &mut Client,
    ) -> Result<(), Error> {
        let rings = plan.build(&mut self.xen, domain, timer_hz, guest, command_line)?;
        store::introduce(store, domain.0, guest, rings, plan.kind())?;
        if guest.network {
            card::attach(store, domain.0, &guest.mac(), &self.bridge)?;
        }
        Ok(())
    }
}

impl Domains for Direct {
    fn list(&mut self) -> Result<Vec<Domain>, Error> {
        Ok(self.xen.domains()?.iter().filter_map(domain).collect())
    }

    fn memory_free_kib(&mut self) -> Result<u64, Error> {
        Ok(self.xen.free_kib()?)
    }

    fn make(&mut self, guest: &GuestSpec, image: &Path, store: &mut Client) -> Result<u16, Error> {
        let file = read(image)?;
        let plan = Plan::new(&file, build::pages(guest))?;
        let command_line = guest.command_line()?;
        let created = plan.create(&mut self.xen, guest)?;
        let domain = created.0;
        let finished = self.finish(&plan, created, guest, &command_line, store);
        if finished.is_err() {
            // What cannot be removed now is found by the next look, because it is not whole.
            let _ = self.xen.destroy(domain);
            let _ = leftovers::remove(store, guest.id, Some(domain.0));
        }
        finished.map(|()| domain.0)
    }

    fn unpause(&mut self, domain: u16) -> Result<(), Error> {
        Ok(self.xen.unpause(Domid(domain))?)
    }

    fn set_cpu(&mut self, domain: u16, cpu: Cpu) -> Result<(), Error> {
        Ok(self.xen.set_share(Domid(domain), cpu.weight, cpu.cap_percent)?)
    }

    fn destroy(&mut self, domain: u16, guest: GuestId) -> Result<(), Error> {
        // Numbers come again: the domain may be another's by now.
        match self.xen.info(Domid(domain))? {
            Some(info) if info.handle == *guest.as_bytes() => Ok(self.xen.destroy(Domid(domain))?),
            _ => Ok(()),
        }
    }
}

/// An image's file.
fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let named = |error: std::io::Error| Error::Unsuitable(format!("{}: {error}", path.display()));
    let bytes = fs::metadata(path).map_err(named)?.len();
    if bytes > shape::IMAGE_MAX as u64 {
        return Err(Error::Unsuitable(format!("the image: it has {bytes} bytes, more than 16 MiB")));
    }
    fs::read(path).map_err(named)
}

/// A domain of a node's.
fn domain(info: &DomainInfo) -> Option<Domain> {
    let id = GuestId::from_bytes(info.handle)?;
    let is = |flag: u32| info.flags & flag != 0;
    let condition = match (is(DOMINF_DYING), is(DOMINF_SHUTDOWN), is(DOMINF_PAUSED)) {
        (true, ..) => Condition::Dying,
        (_, true, _) => Condition::ShutDown(info.flags >> DOMINF_SHUTDOWN_SHIFT & 0xff),
        (_, _, true) => Condition::Paused,
        _ => Condition::Running,
    };
    let memory_kib = info.tot_pages * (PAGE_SIZE as u64 / 1024);
    Some(Domain { number: info.domain.0, id, condition, memory_kib, cpu_time: Duration::from_nanos(info.cpu_time_ns) })
}
