//! What the toolstack asks Xen, one method each.

use std::{fs, io};

use xen_sys::context;
use xen_sys::domctl::{
    AddressSize, CacheFlush, CreateArm, CreateX86, DomainInfo, MaxMem, MaxVcpus, PagingMempool, SCHEDOP_PUTINFO,
    SchedulerOp, VcpuContext,
};
use xen_sys::event_channel::AllocUnbound;
use xen_sys::grant_table::EntryV1;
use xen_sys::memory::{RESOURCE_GRANT_TABLE, RESOURCE_GRANT_TABLE_SHARED, Reservation};
use xen_sys::mmuext::{MMUEXT_PIN_L4_TABLE, MmuextOp};
use xen_sys::sysctl::{DomainInfoList, PhysInfo, SchedId};
use xen_sys::types::{Domid, PAGE_SIZE, Port};
use xen_sys::{domctl, hvm};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use crate::gate::{ATTACHED_MAX, Argument, CONTEXT_BYTES, DOMAIN_INFO_STRIDE, Destroy, Gate, Unpause};
use crate::{Error, VERSION};

/// Domains that are listed at once.
const LIST_AT_ONCE: usize = 64;
/// Runs of memory that are asked for at once.
const RUNS_AT_ONCE: usize = ATTACHED_MAX / size_of::<u64>();

/// There is no such domain: `ESRCH`.
const GONE: i32 = 3;

/// Xen.
#[derive(Debug)]
pub struct Xen {
    gate: Gate,
}

impl Xen {
    /// Opens the way to Xen.
    ///
    /// # Errors
    /// It is another release of Xen, or this is no program of root's in dom0.
    pub fn open() -> Result<Self, Error> {
        let named = |what| move |source| Error { what, source };
        let version = running_version().map_err(named("Xen's version"))?;
        if version != VERSION {
            let source = io::Error::other(format!("it is {version}, and hypercalls were tried on {VERSION} alone"));
            return Err(Error { what: "Xen's version", source });
        }
        let gate = Gate::open().map_err(named("/dev/xen/privcmd and /dev/xen/hypercall"))?;
        Ok(Self { gate })
    }

    fn ask<A: Argument>(&mut self, domain: Domid, argument: &mut A) -> Result<u64, Error> {
        self.ask_with(domain, argument, &mut [])
    }

    fn ask_with<A: Argument>(&mut self, domain: Domid, argument: &mut A, attached: &mut [u8]) -> Result<u64, Error> {
        self.gate.ask(domain, argument, attached).map_err(|source| Error { what: A::NAME, source })
    }

    /// All domains, dom0 among them, in the order of their numbers.
    ///
    /// # Errors
    /// Xen refuses.
    pub fn domains(&mut self) -> Result<Vec<DomainInfo>, Error> {
        let mut domains: Vec<DomainInfo> = Vec::new();
        loop {
            let mut list = DomainInfoList::new_zeroed();
            list.first_domain = Domid(domains.last().map_or(0, |last| last.domain.0.saturating_add(1)));
            list.max_domains = LIST_AT_ONCE as u32;
            let mut infos = vec![0; LIST_AT_ONCE * DOMAIN_INFO_STRIDE];
            self.ask_with(Domid::default(), &mut list, &mut infos)?;
            let count = list.num_domains as usize;
            let infos = infos.chunks_exact(DOMAIN_INFO_STRIDE).take(count);
            domains.extend(infos.filter_map(|info| DomainInfo::read_from_prefix(info).ok()).map(|(info, _)| info));
            if count < LIST_AT_ONCE {
                return Ok(domains);
            }
        }
    }

    /// Memory that can be given to domains, in KiB.
    ///
    /// # Errors
    /// Xen refuses.
    pub fn free_kib(&mut self) -> Result<u64, Error> {
        let mut info = PhysInfo::new_zeroed();
        self.ask(Domid::default(), &mut info)?;
        Ok(info.free_pages.saturating_sub(info.outstanding_pages) * (PAGE_SIZE as u64 / 1024))
    }

    /// Makes a paravirtualised domain, paused and without memory; its number.
    ///
    /// # Errors
    /// Xen refuses.
    pub fn create_x86(&mut self, create: &mut CreateX86) -> Result<Domid, Error> {
        self.ask(Domid::default(), create).map(domid)
    }

    /// Makes a domain of ARM, likewise.
    ///
    /// # Errors
    /// Xen refuses.
    pub fn create_arm(&mut self, create: &mut CreateArm) -> Result<Domid, Error> {
        self.ask(Domid::default(), create).map(domid)
    }

    /// Lets a domain run.
    ///
    /// # Errors
    /// Xen refuses.
    pub fn unpause(&mut self, domain: Domid) -> Result<(), Error> {
        self.ask(domain, &mut Unpause).map(drop)
    }

    /// Takes a domain apart. One that is gone is no error.
    ///
    /// # Errors
    /// Xen refuses.
    pub fn destroy(&mut self, domain: Domid) -> Result<(), Error> {
        /// It has not taken it apart wholly and wants to be asked again: `ERESTART` of Xen, `EAGAIN`.
        const AGAIN: [i32; 2] = [85, 11];
        loop {
            match self.ask(domain, &mut Destroy) {
                Err(error) if error.source.raw_os_error().is_some_and(|code| AGAIN.contains(&code)) => {}
                Err(error) if error.source.raw_os_error() == Some(GONE) => return Ok(()),
                other => return other.map(drop),
            }
        }
    }

    /// What there is of a domain; none when there is no such domain.
    ///
    /// # Errors
    /// Xen refuses.
    pub fn info(&mut self, domain: Domid) -> Result<Option<DomainInfo>, Error> {
        let mut info = DomainInfo::new_zeroed();
        match self.ask(domain, &mut info) {
            Err(error) if error.source.raw_os_error() == Some(GONE) => Ok(None),
            // Asked for one that there is not, Xen tells of the next.
            asked => asked.map(|_| (info.domain == domain).then_some(info)),
        }
    }

    /// Sets how many CPUs a domain has, as when it was made.
    ///
    /// # Errors
    /// Xen refuses.
    pub fn set_vcpus(&mut self, domain: Domid, count: u32) -> Result<(), Error> {
        self.ask(domain, &mut MaxVcpus { max: count }).map(drop)
    }

    /// Sets the most memory of a domain.
    ///
    /// # Errors
    /// Xen refuses.
    pub fn set_max_memory(&mut self, domain: Domid, kib: u64) -> Result<(), Error> {
        self.ask(domain, &mut MaxMem { max_memkb: kib }).map(drop)
    }

    /// Sets how wide a domain's addresses are, before it has memory.
    ///
    /// # Errors
    /// Xen refuses.
    pub fn set_address_size(&mut self, domain: Domid, bits: u32) -> Result<(), Error> {
        self.ask(domain, &mut AddressSize { size: bits }).map(drop)
    }

    /// Sets how many bytes Xen has for a domain's page tables, where memory is translated.
    ///
    /// # Errors
    /// Xen refuses, or has not so much.
    pub fn set_paging_pool(&mut self, domain: Domid, bytes: u64) -> Result<(), Error> {
        self.ask(domain, &mut PagingMempool { size: bytes }).map(drop)
    }

    /// Sets a domain's share of the CPUs, and the most that it may use in percent of one, 0 for all. It may run.
    ///
    /// # Errors
    /// The scheduler has no such shares.
    pub fn set_share(&mut self, domain: Domid, weight: u16, cap_percent: u16) -> Result<(), Error> {
        let mut scheduler = SchedId { sched_id: 0 };
        self.ask(Domid::default(), &mut scheduler)?;
        let sched_id = scheduler.sched_id;
        if ![domctl::SCHEDULER_CREDIT, domctl::SCHEDULER_CREDIT2].contains(&sched_id) {
            let source = io::Error::other("it shares by no weights; boot Xen with sched=credit2");
            return Err(Error { what: "Xen's scheduler", source });
        }
        let mut share = SchedulerOp { sched_id, cmd: SCHEDOP_PUTINFO, weight, cap: cap_percent, pad: [0; 3] };
        self.ask(domain, &mut share).map(drop)
    }

    /// Opens a port of a domain for dom0 to bind to.
    ///
    /// # Errors
    /// Xen refuses.
    pub fn open_port(&mut self, domain: Domid) -> Result<Port, Error> {
        let mut port = AllocUnbound { dom: domain, remote_dom: Domid(0), port: Port(0) };
        self.ask(domain, &mut port)?;
        Ok(port.port)
    }

    /// Sets a parameter of a domain whose memory is translated.
    ///
    /// # Errors
    /// Xen refuses.
    pub fn set_parameter(&mut self, domain: Domid, index: u32, value: u64) -> Result<(), Error> {
        self.ask(domain, &mut hvm::Param { domid: domain, pad: 0, index, value }).map(drop)
    }

    /// Gives a domain memory: runs of two to the power of `order` pages, which begin at these frames of its own. Of a
    /// paravirtualised domain each is replaced by the run's first machine frame. How many there was memory for.
    ///
    /// # Errors
    /// Xen refuses.
    pub fn populate(&mut self, domain: Domid, order: u32, frames: &mut [u64]) -> Result<usize, Error> {
        let mut done = 0;
        for runs in frames.chunks_mut(RUNS_AT_ONCE) {
            let mut reservation = Reservation::new_zeroed();
            reservation.nr_extents = runs.len() as u64;
            reservation.extent_order = order;
            reservation.domid = domain;
            let given = self.ask_with(domain, &mut reservation, runs.as_mut_bytes())?;
            let given = usize::try_from(given).unwrap_or(0);
            done += given;
            if given < runs.len() {
                break;
            }
        }
        Ok(done)
    }

    /// Writes into a domain's pages, from the beginning of the first one on. Frames are machine frames of a
    /// paravirtualised domain, else the domain's own.
    ///
    /// # Errors
    /// One of the pages is not the domain's.
    pub fn write(&mut self, domain: Domid, frames: &[u64], bytes: &[u8]) -> Result<(), Error> {
        let written = self.gate.write_frames(domain, frames, bytes);
        written.map_err(|source| Error { what: "mapping a domain's memory", source })
    }

    /// Writes what has been written to a domain's memory through to where it is seen without caches.
    ///
    /// # Errors
    /// Xen refuses.
    pub fn flush(&mut self, domain: Domid, first: u64, count: u64) -> Result<(), Error> {
        self.ask(domain, &mut CacheFlush { start_pfn: first, nr_pfns: count }).map(drop)
    }

    /// Writes the first entries of a domain's grant table.
    ///
    /// # Errors
    /// There is no such table.
    pub fn write_grants(&mut self, domain: Domid, entries: &[EntryV1]) -> Result<(), Error> {
        let (kind, id) = (RESOURCE_GRANT_TABLE, RESOURCE_GRANT_TABLE_SHARED);
        let written = self.gate.write_resource(domain, kind, id, entries.as_bytes());
        written.map_err(|source| Error { what: "mapping a domain's grant table", source })
    }

    /// Has Xen check a paravirtualised domain's page tables, and keep them as what they are. Nobody may have them mapped
    /// writable.
    ///
    /// # Errors
    /// They are no page tables.
    pub fn pin(&mut self, domain: Domid, root: u64) -> Result<(), Error> {
        self.ask(domain, &mut MmuextOp { cmd: MMUEXT_PIN_L4_TABLE, pad: 0, mfn: root, second: 0 }).map(drop)
    }

    /// Sets the registers that a paravirtualised domain begins with.
    ///
    /// # Errors
    /// Xen refuses them.
    pub fn begin_x86(&mut self, domain: Domid, registers: &context::X86) -> Result<(), Error> {
        self.begin(domain, registers.as_bytes())
    }

    /// Sets the registers that a domain of ARM begins with.
    ///
    /// # Errors
    /// Xen refuses them.
    pub fn begin_arm(&mut self, domain: Domid, registers: &context::Arm) -> Result<(), Error> {
        self.begin(domain, registers.as_bytes())
    }

    fn begin(&mut self, domain: Domid, registers: &[u8]) -> Result<(), Error> {
        let mut context = [registers, &[0; CONTEXT_BYTES][registers.len()..]].concat();
        self.ask_with(domain, &mut VcpuContext::new_zeroed(), &mut context).map(drop)
    }
}

/// A domain's number, as the gate has it.
fn domid(number: u64) -> Domid {
    Domid(u16::try_from(number).unwrap_or(0))
}

/// The release of the Xen that runs, such as `4.17`.
///
/// # Errors
/// There is no Xen.
pub fn running_version() -> io::Result<String> {
    let part = |name| fs::read_to_string(format!("/sys/hypervisor/version/{name}"));
    Ok(format!("{}.{}", part("major")?.trim(), part("minor")?.trim()))
}
