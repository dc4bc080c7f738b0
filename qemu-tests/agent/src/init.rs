//! dom0's first process: file systems, modules, network, the Xen toolstack, then the agent.
//!
//! Written as a program and not as a script because every process that a script starts costs 10 ms or more on the
//! emulated CPU. The order follows what each step needs: xenstored needs the event channel device, `xl` needs xenstored
//! and the bridge.

use crate::protocol::{BRIDGE, CONSOLE_DIRECTORY, DOM0_ADDRESS, MODULE_LIST};
use crate::xenstore::SOCKET;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::mount::{MountFlags, mount};
use rustix::process::{Pid, WaitOptions, wait};
use rustix::system::{RebootCommand, finit_module, reboot};
use std::fs::{self, File};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

/// Where programs are found; the kernel starts the first process without a PATH.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs dom0 until the agent ends, then switches the machine off.
///
/// # Errors
/// A step of the set-up failed; its name is in the error. The kernel panics when this process ends, which ends the bed.
pub fn run() -> io::Result<()> {
    step("file systems", file_systems)?;
    step("modules", modules)?;
    step("xenfs", || Ok(mount("xenfs", "/proc/xen", "xenfs", MountFlags::empty(), None)?))?;
    step("network", network)?;
    step("toolstack", toolstack)?;
    let agent = step("agent", || Command::new("/proc/self/exe").arg("serve").env("PATH", PATH).spawn())?;
    let agent = Pid::from_child(&agent);
    // Daemons' orphans come to this process; it only reaps, so that the agent can wait for its own children
    // undisturbed.
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((ended, status))) if ended == agent => {
                println!("bed-agent: the agent ended: {status:?}");
                return Ok(reboot(RebootCommand::PowerOff)?);
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Says on the serial console which step runs and when, and names it when it fails.
fn step<T>(name: &str, action: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let result = action().map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")));
    println!("bed-agent: {:>6} ms {name}", uptime_ms());
    result
}

/// dom0's uptime in milliseconds, 0 while /proc is not there.
#[must_use]
pub fn uptime_ms() -> u64 {
    let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds = uptime.split(' ').next().and_then(|seconds| seconds.parse::<f64>().ok()).unwrap_or(0.0);
    (seconds * 1000.0) as u64
}

fn file_systems() -> io::Result<()> {
    for (kind, target) in [("devtmpfs", "/dev"), ("proc", "/proc"), ("sysfs", "/sys"), ("devpts", "/dev/pts")] {
        fs::create_dir_all(target)?;
        mount(kind, target, kind, MountFlags::empty(), None)?;
    }
    for directory in [
        "/run/xen",
        "/run/xenstored",
        "/run/lock",
        "/run/xen-hotplug",
        "/tmp",
        "/root",
        "/var/lib/xen",
        CONSOLE_DIRECTORY,
    ] {
        fs::create_dir_all(directory)?;
    }
    Ok(())
}

fn modules() -> io::Result<()> {
    for path in fs::read_to_string(MODULE_LIST)?.lines() {
        let module = File::open(path)?;
        finit_module(&module, c"", 0).map_err(|error| io::Error::other(format!("{path}: {error}")))?;
    }
    Ok(())
}

/// The bridge with dom0's own interface on it. Without a forward delay a guest's first packet passes at once.
///
/// What is for a guest that is away stays on the bridge: QEMU's user network takes every TCP segment for its own,
/// whatever its destination, and would reset the connections of a guest whose card is about to come back.
fn network() -> io::Result<()> {
    let script = format!(
        "ip link set lo up && ip link add {BRIDGE} type bridge && \
         echo 0 >/sys/class/net/{BRIDGE}/bridge/forward_delay && \
         ip addr add {DOM0_ADDRESS}/24 dev {BRIDGE} && \
         ip link set eth0 up && ip link set eth0 master {BRIDGE} && ip link set {BRIDGE} up && \
         echo 0 >/sys/class/net/eth0/brport/unicast_flood && \
         ip route add default via 10.0.2.2"
    );
    // Opens the kernel's ICMP socket to root, for the ping client.
    fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0")?;
    command(Command::new("/bin/sh").arg("-c").arg(script))
}

fn toolstack() -> io::Result<()> {
    let watch = inotify::init(CreateFlags::CLOEXEC)?;
    let socket = Path::new(SOCKET);
    inotify::add_watch(&watch, socket.parent().unwrap_or(socket), WatchFlags::CREATE)?;
    command(&mut Command::new("xenstored"))?;
    let mut buffer = [MaybeUninit::uninit(); 1024];
    let mut events = inotify::Reader::new(&watch, &mut buffer);
    while !socket.exists() {
        events.next()?;
    }
    // The name appears a moment before xenstored listens.
    while UnixStream::connect(socket).is_err() {
        std::thread::yield_now();
    }
    command(&mut Command::new("xen-init-dom0"))?;
    command(Command::new("xenconsoled").arg("--log=guest").arg(format!("--log-dir={CONSOLE_DIRECTORY}")))
}

fn command(command: &mut Command) -> io::Result<()> {
    let status = command
        .env("PATH", PATH)
        .stdin(Stdio::null())
        .status()
        .map_err(|error| io::Error::other(format!("{command:?}: {error}")))?;
    match status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("{command:?}: {status}"))),
    }
}
