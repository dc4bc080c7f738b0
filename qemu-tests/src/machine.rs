//! The emulated machines that the bed runs on, one file for each board, and the QEMU process.

mod virt;
mod x86_64;

use crate::capture::{Capture, LONGEST_PACKET_BYTES};
use crate::packages::Set;
use crate::progress::Progress;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A machine of the bed, by its CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arch {
    /// 64-bit x86; guests are paravirtualised.
    X86_64,
    /// 32-bit ARM with hardware virtualisation.
    Armv7,
    /// 64-bit ARM, where guests made for ARMv7 run as 32-bit guests.
    Aarch64,
}

impl Arch {
    /// All of them.
    pub const ALL: [Arch; 3] = [Arch::X86_64, Arch::Armv7, Arch::Aarch64];

    /// The name on command lines and in paths.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
            Arch::Armv7 => "armv7",
            Arch::Aarch64 => "aarch64",
        }
    }

    /// The CPU that guests are built for; their images lie in a folder of its name.
    #[must_use]
    pub const fn guests(self) -> Self {
        match self {
            Arch::X86_64 => Arch::X86_64,
            Arch::Armv7 | Arch::Aarch64 => Arch::Armv7,
        }
    }

    /// The machine that emulates this CPU.
    #[must_use]
    pub fn machine(self) -> &'static dyn Machine {
        match self {
            Arch::X86_64 => &x86_64::X86_64,
            Arch::Armv7 => &virt::ARMV7,
            Arch::Aarch64 => &virt::AARCH64,
        }
    }
}

impl std::str::FromStr for Arch {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        let all = Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|arch| arch.name() == name)
            .with_context(|| format!("no machine for {name}; there is: {all}"))
    }
}

/// What differs from one emulated machine to the next.
pub trait Machine: Sync {
    /// dom0's packages.
    fn packages(&self) -> Set;
    /// Tools for experiments in dom0.
    fn tools(&self) -> Set;
    /// What a Linux guest for comparison is made of.
    fn linux_guest(&self) -> Set;
    /// QEMU's program and the Debian package that has it.
    fn qemu(&self) -> (&'static str, &'static str);
    /// Rust's name of the target that dom0's agent is built for.
    fn agent_target(&self) -> &'static str;
    /// Debian's name for the folder of this CPU's libraries.
    fn triplet(&self) -> &'static str;
    /// Kernel modules of the bus that the virtio devices sit on.
    fn modules(&self) -> &'static [&'static str];
    /// Makes what QEMU takes beside dom0's file system, which is there already, of what the packages hold.
    ///
    /// # Errors
    /// The packages are missing or hold something else.
    fn prepare(&self, initramfs: &Path, progress: &mut dyn Progress) -> Result<()>;
    /// QEMU's arguments that name the machine and what it boots; those for devices that all machines have come after
    /// them.
    ///
    /// # Errors
    /// [`Machine::prepare`] has not been called.
    fn arguments(&self, initramfs: &Path) -> Result<Vec<String>>;
    /// The suffix of virtio devices on this machine's bus: "pci", as in `virtio-net-pci`, or "device" for memory-mapped
    /// ones.
    fn virtio_bus(&self) -> &'static str;
}

/// How many virtio devices a machine has: the line to the agent, the network card, the source of random numbers, and
/// the shared folder and the disk, which not each bed has.
const VIRTIO_DEVICES: usize = 5;
/// The shared folder's name, by which dom0 mounts it.
pub(crate) const SHARE_TAG: &str = "share";

/// A port of the host's loopback interface that leads to a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    /// Port on 127.0.0.1.
    pub host_port: u16,
    /// Where it leads.
    pub guest: SocketAddrV4,
    /// UDP instead of TCP.
    pub udp: bool,
}

/// What makes a machine's time pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The host's clock: what the host does beside it slows the machine.
    Host,
    /// The machine's own instructions, eight nanoseconds each, and nothing while it waits: what is timed in it does not
    /// depend on the host, and the whole takes two to three times as long.
    Instructions,
}

impl Clock {
    /// Instructions in a second of [`Clock::Instructions`].
    pub const INSTRUCTIONS_PER_SECOND: u32 = 125_000_000;

    const fn arguments(self) -> &'static [&'static str] {
        match self {
            Clock::Host => &["-accel", "tcg,thread=multi"],
            Clock::Instructions => {
                &["-accel", "tcg,thread=single", "-icount", "shift=3,sleep=off", "-rtc", "base=2026-01-01,clock=vm"]
            }
        }
    }
}

/// How to boot a bed.
#[derive(Debug, Clone)]
pub struct BedOptions {
    /// Which machine.
    pub arch: Arch,
    /// Ports of the host's loopback interface that lead to guests.
    pub forwards: Vec<Forward>,
    /// The machine's memory, where it is not the usual one.
    pub memory_mib: Option<u32>,
    /// Which clock the machine has.
    pub clock: Clock,
    /// A folder of the host that dom0 can mount, for reading and writing.
    pub share: Option<PathBuf>,
    /// A file that is the machine's disk, see [`crate::disk`].
    pub disk: Option<PathBuf>,
    /// A port of the host's loopback interface at which QEMU waits for a debugger.
    pub gdb_port: Option<u16>,
    /// Keeps the last packets between the machine and the host, of so many bytes in all.
    pub capture_bytes: Option<usize>,
    /// Names the serial log, `target/bed/logs/<name>.serial.log`.
    pub name: String,
}

impl BedOptions {
    /// A bed without forwarded ports.
    #[must_use]
    pub fn new(arch: Arch) -> Self {
        Self {
            arch,
            forwards: Vec::new(),
            memory_mib: None,
            clock: Clock::Host,
            share: None,
            disk: None,
            gdb_port: None,
            capture_bytes: None,
            name: "bed".into(),
        }
    }
}

/// A running QEMU, killed on drop.
#[derive(Debug)]
pub struct Qemu {
    process: Child,
    capture: Option<Capture>,
}

impl Qemu {
    /// Starts a machine; its serial console goes to the file `serial`. The stream leads to the agent's port.
    ///
    /// # Errors
    /// QEMU cannot be started.
    pub fn start(options: &BedOptions, initramfs: &Path, serial: &Path) -> Result<(Qemu, UnixStream)> {
        let machine = options.arch.machine();
        let (program, package) = machine.qemu();
        let (agent, theirs) = UnixStream::pair().context("make a pair of sockets")?;
        // Another bed may still write to a file of this name: it keeps its own.
        let _ = fs::remove_file(serial);
        let mut command = Command::new(program);
        command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        command.args(options.clock.arguments());
        command.args(machine.arguments(initramfs)?);
        if let Some(memory_mib) = options.memory_mib {
            ensure!(options.arch == Arch::X86_64, "a device tree says how much memory the board has, and where");
            // The last one counts.
            command.args(["-m", &memory_mib.to_string()]);
        }
        command.arg("-serial").arg(format!("file:{}", comma(serial)?));
        let bus = machine.virtio_bus();
        // QEMU's standard input is the socket, so nothing needs a name in a file system.
        command.args(["-chardev", "socket,id=agent,fd=0", "-device", &format!("virtio-serial-{bus}")]);
        command.args(["-device", &format!("virtserialport,chardev=agent,name={}", bed_agent::protocol::PORT_NAME)]);
        command.args(["-netdev", &network(&options.forwards), "-device", &format!("virtio-net-{bus},netdev=net")]);
        // Without it xl waits two seconds for each guest's UUID, until the kernel has gathered enough after some 40
        // seconds.
        command.args(["-device", &format!("virtio-rng-{bus}")]);
        if let Some(folder) = &options.share {
            // With the rights of who runs QEMU, and no others: files keep that owner whatever dom0's root asks for.
            command.args(["-fsdev", &format!("local,id=share,security_model=none,path={}", comma(folder)?)]);
            command.args(["-device", &format!("virtio-9p-{bus},fsdev=share,mount_tag={SHARE_TAG}")]);
        }
        if let Some(file) = &options.disk {
            // What dom0's kernel has written is in the file when QEMU is killed, because the host goes on: nothing has
            // to be synced to the host's own disk.
            command.args(["-drive", &format!("if=none,id=disk,format=raw,cache=unsafe,file={}", comma(file)?)]);
            command.args(["-device", &format!("virtio-blk-{bus},drive=disk")]);
        }
        if let Some(port) = options.gdb_port {
            command.args(["-gdb", &format!("tcp:{}:{port}", Ipv4Addr::LOCALHOST)]);
        }
        if options.capture_bytes.is_some() {
            // Into QEMU's standard output, which is for nothing else.
            let dump = format!("filter-dump,id=capture,netdev=net,file=/dev/stdout,maxlen={LONGEST_PACKET_BYTES}");
            command.args(["-object", &dump]);
        }
        let errors = serial.with_extension("qemu");
        let error_file = fs::File::create(&errors).with_context(|| format!("create {}", errors.display()))?;
        // Ctrl-C in the terminal is for whoever owns the bed, to end guests in order.
        command.process_group(0);
        let output = if options.capture_bytes.is_some() { Stdio::piped() } else { Stdio::null() };
        command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(output).stderr(error_file);
        let mut process = match command.spawn() {
            Ok(process) => process,
            Err(error) => bail!("{program}: {error}; it is in the Debian package {package}"),
        };
        let capture = process.stdout.take().zip(options.capture_bytes);
        let capture = capture.map(|(output, most_bytes)| Capture::read(output, most_bytes));
        Ok((Qemu { process, capture }, agent))
    }

    /// The packets between the machine and the host, where they are kept.
    #[must_use]
    pub fn capture(&self) -> Option<&Capture> {
        self.capture.as_ref()
    }

    /// Ends it at once, in the middle of whatever it does.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Whether it has ended, and how.
    #[must_use]
    pub fn ended(&mut self) -> Option<String> {
        self.process.try_wait().ok().flatten().map(|status| status.to_string())
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        self.kill();
    }
}

/// QEMU's user network: DHCP and the host's loopback interface at 10.0.2.2, and the forwarded ports.
fn network(forwards: &[Forward]) -> String {
    let mut network = "user,id=net".to_owned();
    for Forward { host_port, guest, udp } in forwards {
        let protocol = if *udp { "udp" } else { "tcp" };
        network += &format!(",hostfwd={protocol}:{}:{host_port}-{}:{}", Ipv4Addr::LOCALHOST, guest.ip(), guest.port());
    }
    network
}

/// A path as part of a QEMU option, where a comma is written twice.
fn comma(path: &Path) -> Result<String> {
    let path = path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?;
    Ok(path.replace(',', ",,"))
}

/// Writes a file so that others see the old one or the new one, whole.
///
/// # Errors
/// What the file system reports.
pub fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    let new: PathBuf = path.with_extension(format!("new-{}", std::process::id()));
    fs::write(&new, content).with_context(|| format!("write {}", new.display()))?;
    fs::rename(&new, path).with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwards_become_options_of_the_network() {
        let guest = SocketAddrV4::new(Ipv4Addr::new(10, 0, 2, 50), 7);
        let forwards = [Forward { host_port: 8007, guest, udp: false }, Forward { host_port: 8008, guest, udp: true }];
        assert_eq!(
            network(&forwards),
            "user,id=net,hostfwd=tcp:127.0.0.1:8007-10.0.2.50:7,hostfwd=udp:127.0.0.1:8008-10.0.2.50:7"
        );
    }
}
