//! Builds a domain: the hypercalls in their order, for each CPU.

use privcmd::Xen;
use xen_sys::domctl::{CDF_HAP, CDF_HVM, CONFIG_GIC_NATIVE, Create, CreateArm, CreateX86, GRANT_VERSION_1};
use xen_sys::grant_table::{EntryV1, GTF_PERMIT_ACCESS, RESERVED_CONSOLE, RESERVED_XENSTORE};
use xen_sys::hvm;
use xen_sys::types::{Domid, PAGE_SIZE, Port};

use super::shape::{Ring, Rings};
use super::{armv7, x86_64};
use crate::GuestSpec;
use crate::toolstack::Error;

/// Memory that a domain may have beyond its own: pages of its rings, as with xl.
const SLACK_KIB: u64 = 1024;
/// The highest port of event channels, as with xl.
const PORT_MAX: u32 = 1023;

/// Whether domains of this CPU can be built.
///
/// # Errors
/// It was never tried.
pub(super) fn supported() -> Result<(), Error> {
    match std::env::consts::ARCH {
        "x86_64" | "arm" => Ok(()),
        other => Err(Error::Unsuitable(format!("no domain was ever built by hypercalls on {other}"))),
    }
}

/// A guest's image that was judged: what the builder makes of it.
#[derive(Debug)]
pub(super) enum Plan<'f> {
    X86(x86_64::Image<'f>, x86_64::Layout),
    Arm(&'f [u8]),
}

impl<'f> Plan<'f> {
    /// Judges an image's file, for the CPU that this runs on.
    ///
    /// # Errors
    /// This is not for this builder.
    pub(super) fn new(file: &'f [u8], pages: usize) -> Result<Self, Error> {
        let unsuitable = |why| Error::Unsuitable(format!("the image: {why}"));
        match std::env::consts::ARCH {
            "x86_64" => {
                let image = x86_64::Image::read(file).map_err(|why| unsuitable(why.into()))?;
                let layout = x86_64::Layout::new(&image, pages).map_err(unsuitable)?;
                Ok(Self::X86(image, layout))
            }
            _ => armv7::judge(file, pages).map(|()| Self::Arm(file)).map_err(unsuitable),
        }
    }

    /// What libxl calls such a domain.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::X86(..) => "pv",
            Self::Arm(_) => "pvh",
        }
    }

    /// Makes the domain, without memory. With it comes the rate of ARM's timer.
    pub(super) fn create(&self, xen: &mut Xen, guest: &GuestSpec) -> Result<(Domid, u32), Error> {
        let common = Create {
            ssidref: 0,
            handle: *guest.id.as_bytes(),
            flags: 0,
            iommu_opts: 0,
            max_vcpus: 1,
            max_evtchn_port: PORT_MAX,
            max_grant_frames: -1,
            max_maptrack_frames: -1,
            grant_opts: GRANT_VERSION_1,
            vmtrace_size: 0,
            cpupool_id: 0,
        };
        match self {
            Self::X86(..) => {
                let domain = xen.create_x86(&mut CreateX86 { common, emulation_flags: 0, misc_flags: 0 })?;
                Ok((domain, 0))
            }
            Self::Arm(_) => {
                let common = Create { flags: CDF_HVM | CDF_HAP, ..common };
                let gic_version = CONFIG_GIC_NATIVE;
                let mut create = CreateArm { common, gic_version, pad: 0, tee_type: 0, nr_spis: 0, clock_frequency: 0 };
                let domain = xen.create_arm(&mut create)?;
                Ok((domain, create.clock_frequency))
            }
        }
    }

    /// Gives the domain its CPU, its memory and what is in it, all but xenstore's side.
    pub(super) fn build(
        &self,
        xen: &mut Xen,
        domain: Domid,
        timer_hz: u32,
        guest: &GuestSpec,
        command_line: &str,
    ) -> Result<Rings<Ring>, Error> {
        let pages = pages(guest);
        xen.set_vcpus(domain, 1)?;
        xen.set_max_memory(domain, u64::from(guest.memory_mib) * 1024 + SLACK_KIB)?;
        let ports = Rings { xenstore: xen.open_port(domain)?, console: xen.open_port(domain)? };
        let frames = match self {
            Self::X86(image, layout) => build_x86(xen, domain, pages, image, layout, ports, command_line)?,
            Self::Arm(file) => {
                let seed = seed().map_err(|error| Error::Unsuitable(format!("random numbers: {error}")))?;
                let facts = armv7::Facts { pages, command_line, timer_hz, seed };
                build_arm(xen, domain, file, &facts, guest.memory_mib, ports)?
            }
        };
        grant(xen, domain, frames)?;
        if guest.cpu.weight != 0 || guest.cpu.cap_percent != 0 {
            xen.set_share(domain, guest.cpu.weight.max(1), guest.cpu.cap_percent)?;
        }
        Ok(Rings {
            console: Ring { frame: frames.console, port: ports.console },
            xenstore: Ring { frame: frames.xenstore, port: ports.xenstore },
        })
    }
}

/// Pages of a guest's memory.
pub(super) fn pages(guest: &GuestSpec) -> usize {
    (guest.memory_mib as usize) << 20 >> PAGE_SIZE.trailing_zeros()
}

fn build_x86(
    xen: &mut Xen,
    domain: Domid,
    pages: usize,
    image: &x86_64::Image<'_>,
    layout: &x86_64::Layout,
    ports: Rings<Port>,
    command_line: &str,
) -> Result<Rings<u64>, Error> {
    let frames = populate(xen, domain, 0, pages)?;
    let info = xen.info(domain)?.ok_or_else(|| Error::Unsuitable("the domain is gone".into()))?;
    let shared_info = info.shared_info_frame;
    let memory = layout.memory(image, &frames, shared_info, ports, command_line);
    xen.write(domain, &frames[..memory.len() / PAGE_SIZE], &memory)?;
    xen.write(domain, &[shared_info], &x86_64::shared_info())?;
    // Nobody has the tables mapped any more: Xen refuses those that somebody could write.
    xen.pin(domain, frames[layout.root()])?;
    xen.begin_x86(domain, &layout.registers(image, &frames))?;
    Ok(Rings { console: frames[layout.console], xenstore: frames[layout.xenstore] })
}

fn build_arm(
    xen: &mut Xen,
    domain: Domid,
    file: &[u8],
    facts: &armv7::Facts<'_>,
    memory_mib: u32,
    ports: Rings<Port>,
) -> Result<Rings<u64>, Error> {
    let tree = armv7::tree(facts).map_err(Error::Unsuitable)?;
    xen.set_paging_pool(domain, paging_pool_bytes(memory_mib))?;
    xen.set_address_size(domain, 32)?;
    let frames = populate(xen, domain, (armv7::MEMORY_BASE / PAGE_SIZE) as u64, facts.pages)?;
    let rings = populate(xen, domain, armv7::RING_FRAMES[0], armv7::RING_FRAMES.len())?;
    let empty = vec![0; rings.len() * PAGE_SIZE];
    let [image_page, tree_page] = [armv7::image_page(), armv7::tree_page(facts.pages)];
    for (frames, bytes) in [(&frames[image_page..], file), (&frames[tree_page..], &tree), (&rings, &empty)] {
        let frames = &frames[..bytes.len().div_ceil(PAGE_SIZE)];
        xen.write(domain, frames, bytes)?;
        // The guest begins with its caches off.
        xen.flush(domain, frames[0], frames.len() as u64)?;
    }
    for (parameter, value) in [
        (hvm::PARAM_CONSOLE_PFN, rings[0]),
        (hvm::PARAM_STORE_PFN, rings[1]),
        (hvm::PARAM_CONSOLE_EVTCHN, ports.console.0.into()),
        (hvm::PARAM_STORE_EVTCHN, ports.xenstore.0.into()),
    ] {
        xen.set_parameter(domain, parameter, value)?;
    }
    xen.begin_arm(domain, &armv7::registers(facts.pages))?;
    Ok(Rings { console: rings[0], xenstore: rings[1] })
}

/// Memory of Xen's for the page tables of a guest, in bytes: what xl gives, a MiB for a CPU and 8 KiB for each MiB.
fn paging_pool_bytes(memory_mib: u32) -> u64 {
    (256 + 2 * u64::from(memory_mib)) * PAGE_SIZE as u64
}

/// Gives a domain memory from one of its frames on: in runs of 2 MiB, and in single pages where there are no such runs.
/// The frames of all pages.
fn populate(xen: &mut Xen, domain: Domid, first: u64, pages: usize) -> Result<Vec<u64>, Error> {
    const ORDER: u32 = 9;
    let run_pages = 1 << ORDER;
    let mut runs: Vec<u64> = (0..pages / run_pages).map(|run| first + (run * run_pages) as u64).collect();
    let given = xen.populate(domain, ORDER, &mut runs)?;
    let mut frames: Vec<u64> = runs[..given].iter().flat_map(|run| *run..*run + run_pages as u64).collect();
    let mut rest: Vec<u64> = (frames.len()..pages).map(|page| first + page as u64).collect();
    let given = xen.populate(domain, 0, &mut rest)?;
    if given < rest.len() {
        let have = frames.len() + given;
        return Err(Error::Unsuitable(format!("Xen has memory for {have} of {pages} pages")));
    }
    frames.extend(rest);
    Ok(frames)
}

/// Lets dom0 map the two pages by which guest and dom0 talk, at the places that are set aside for it.
fn grant(xen: &mut Xen, domain: Domid, frames: Rings<u64>) -> Result<(), Error> {
    let entry = |frame: u64| {
        let frame = u32::try_from(frame).map_err(|_| Error::Unsuitable("memory beyond 16 TiB".into()))?;
        Ok::<_, Error>(EntryV1 { flags: GTF_PERMIT_ACCESS, domid: Domid(0), frame })
    };
    let mut entries = [entry(0)?; 2];
    entries[RESERVED_CONSOLE] = entry(frames.console)?;
    entries[RESERVED_XENSTORE] = entry(frames.xenstore)?;
    Ok(xen.write_grants(domain, &entries)?)
}

/// Random bytes of the kernel's, for which nobody waits.
fn seed() -> std::io::Result<[u8; 32]> {
    use std::io::Read;
    let mut seed = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
    Ok(seed)
}
