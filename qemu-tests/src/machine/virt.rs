//! QEMU's ARM board `virt`, with a 32-bit or a 64-bit CPU: Xen takes the place of Linux, dom0's kernel and file system
//! are put into memory, and the device tree says where.

mod device_tree;

use super::{Machine, VIRTIO_DEVICES, comma, write_whole};
use crate::kernel_image::armv7;
use crate::packages::{DOM0, LINUX_GUEST, Set, TOOLS};
use crate::place;
use crate::progress::Progress;
use crate::root::Root;
use anyhow::{Context, Result, bail, ensure};
use device_tree::Module;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Xen's own arguments. A crash of Xen or dom0 reboots, which ends QEMU: then the bed knows.
const XEN_ARGUMENTS: &str = "dom0_mem=256M bootscrub=0";
/// dom0's kernel arguments: everything off that costs emulated time and that no test looks at.
const DOM0_ARGUMENTS: &str = "console=hvc0 quiet panic=-1 mitigations=off init_on_alloc=0 audit=0 apparmor=0 \
    lsm= rodata=off cryptomgr.notests \
    initcall_blacklist=load_system_certificate_list,crypto_kdf108_init,init_kprobe_trace";
/// Memory of the whole machine: dom0's, Xen's, and enough for 16 Linux guests.
const MEMORY_MIB: u32 = 2048;
/// Where dom0's kernel and file system wait for Xen: away from Xen (0x40010000), the device tree (0x48000000) and
/// dom0's memory.
const KERNEL_AT: u32 = 0x4a00_0000;
const INITRAMFS_AT: u32 = 0x5000_0000;
/// The board: hardware virtualisation, the interrupt controller that a 32-bit Xen knows, all devices below 4 GiB.
const BOARD: &str = "virt,virtualization=on,gic-version=2,highmem=off";
/// Where Xen puts dom0's memory in a machine of this size: one aligned block at the addresses that the machine has it
/// at, because devices use them. So its size is a power of two. Where this is wrong, Xen says so on the serial console
/// and stops.
const DOM0_RAM: u32 = 0x7000_0000;
/// Where Debian's kernel for ARMv7 runs, from the start of memory on (arch/arm/Makefile in Linux's source: `textofs`).
const TEXT_OFFSET: u32 = 0x20_8000;

/// Makes a kernel that does not have to unpack itself of the one in the package.
type Unpack = fn(&[u8]) -> Result<Vec<u8>>;

/// See the module.
pub struct Virt {
    name: &'static str,
    cpu: &'static str,
    qemu: &'static str,
    agent_target: &'static str,
    triplet: &'static str,
    packages: Set,
    tools: Set,
    linux_guest: Set,
    /// For a kernel that unpacks itself.
    unpack: Option<Unpack>,
}

/// The Linux guest: the kernel that dom0 of the 32-bit board has too.
const ARMV7_LINUX: Set = Set {
    name: "armv7-linux",
    architecture: "armhf",
    release: None,
    wanted: LINUX_GUEST,
    newest: &[("linux-image-armmp-lpae", "linux-image-")],
};

/// A 32-bit CPU with the virtualisation extension, without which there is no Xen.
pub const ARMV7: Virt = Virt {
    name: "armv7",
    cpu: "cortex-a15",
    qemu: "qemu-system-arm",
    agent_target: "armv7-unknown-linux-gnueabihf",
    triplet: "arm-linux-gnueabihf",
    packages: Set {
        name: "armv7",
        architecture: "armhf",
        release: None,
        wanted: DOM0,
        newest: &[
            ("linux-image-armmp-lpae", "linux-image-"),
            ("xen-system-armhf", "xen-hypervisor-"),
            ("xen-system-armhf", "xen-utils-"),
        ],
    },
    tools: Set { name: "armv7-tools", architecture: "armhf", wanted: TOOLS, newest: &[], release: None },
    linux_guest: ARMV7_LINUX,
    unpack: Some(|image| armv7::unpacked(image, DOM0_RAM, TEXT_OFFSET)),
};

/// A CPU that runs 32-bit guests under a 64-bit Xen.
pub const AARCH64: Virt = Virt {
    name: "aarch64",
    cpu: "cortex-a57",
    qemu: "qemu-system-aarch64",
    agent_target: "aarch64-unknown-linux-gnu",
    triplet: "aarch64-linux-gnu",
    packages: Set {
        name: "aarch64",
        architecture: "arm64",
        release: None,
        wanted: DOM0,
        newest: &[
            ("linux-image-arm64", "linux-image-"),
            ("xen-system-arm64", "xen-hypervisor-"),
            ("xen-system-arm64", "xen-utils-"),
        ],
    },
    tools: Set { name: "aarch64-tools", architecture: "arm64", wanted: TOOLS, newest: &[], release: None },
    // The guests are the 32-bit ones.
    linux_guest: ARMV7_LINUX,
    unpack: None,
};

impl Virt {
    fn xen(&self) -> Result<PathBuf> {
        let version = self.packages.version_in_name("xen-utils-")?;
        Root(self.packages.root()).resolve(&format!("/boot/xen-{version}-{}", self.packages.architecture))
    }

    fn packaged_kernel(&self) -> Result<PathBuf> {
        let version = self.packages.version_in_name("linux-image-")?;
        Root(self.packages.root()).resolve(&format!("/boot/vmlinuz-{version}"))
    }

    /// The kernel that QEMU loads; the address in an unpacked one's name is the one that it is made for.
    fn kernel(&self) -> Result<PathBuf> {
        let packaged = self.packaged_kernel()?;
        let Some(name) = packaged.file_name().filter(|_| self.unpack.is_some()) else { return Ok(packaged) };
        Ok(place::bed().join(self.name).join(format!("{}-at-{DOM0_RAM:x}", name.display())))
    }

    /// The device tree that Xen gets.
    fn tree(&self) -> PathBuf {
        place::bed().join(self.name).join("xen.dtb")
    }

    /// CPU and memory: what the board's device tree depends on.
    fn processor(&self) -> Vec<String> {
        ["-cpu", self.cpu, "-smp", "1", "-m", &MEMORY_MIB.to_string()].map(str::to_owned).to_vec()
    }

    /// The device tree that QEMU makes for the board.
    fn board_tree(&self) -> Result<Vec<u8>> {
        let file = place::bed().join(self.name).join("board.dtb");
        let mut qemu = Command::new(self.qemu);
        qemu.args(["-nodefaults", "-display", "none", "-M", &format!("{BOARD},dumpdtb={}", comma(&file)?)]);
        let output = qemu.args(self.processor()).stdin(Stdio::null()).output().context(self.qemu)?;
        if !output.status.success() {
            bail!("{} made no device tree: {}", self.qemu, String::from_utf8_lossy(&output.stderr).trim());
        }
        fs::read(&file).with_context(|| format!("read {}", file.display()))
    }
}

impl Machine for Virt {
    fn packages(&self) -> Set {
        self.packages.clone()
    }

    fn tools(&self) -> Set {
        self.tools.clone()
    }

    fn linux_guest(&self) -> Set {
        self.linux_guest.clone()
    }

    fn qemu(&self) -> (&'static str, &'static str) {
        (self.qemu, "qemu-system-arm")
    }

    fn agent_target(&self) -> &'static str {
        self.agent_target
    }

    fn triplet(&self) -> &'static str {
        self.triplet
    }

    fn modules(&self) -> &'static [&'static str] {
        &["virtio_mmio"]
    }

    fn prepare(&self, initramfs: &Path, progress: &mut dyn Progress) -> Result<()> {
        let kernel = self.kernel()?;
        if let Some(unpack) = self.unpack.filter(|_| !kernel.exists()) {
            progress.say("unpacking the kernel of dom0");
            let packaged = self.packaged_kernel()?;
            let image = fs::read(&packaged).with_context(|| format!("read {}", packaged.display()))?;
            write_whole(&kernel, &unpack(&image)?)?;
        }
        let modules = [
            Module { kind: "xen,linux-zimage", address: KERNEL_AT, bytes: size(&kernel)? },
            Module { kind: "xen,linux-initrd", address: INITRAMFS_AT, bytes: size(initramfs)? },
        ];
        ensure!(modules[0].bytes <= u64::from(INITRAMFS_AT - KERNEL_AT), "{} has no place", kernel.display());
        let arguments = [("xen,xen-bootargs", XEN_ARGUMENTS), ("xen,dom0-bootargs", DOM0_ARGUMENTS)];
        let tree = device_tree::for_xen(&self.board_tree()?, VIRTIO_DEVICES, arguments, &modules)?;
        write_whole(&self.tree(), &tree)
    }

    fn arguments(&self, initramfs: &Path) -> Result<Vec<String>> {
        let tree = self.tree();
        ensure!(tree.exists(), "the bed for {} is not set up: run setup", self.name);
        let load = |path: &Path, address: u32| -> Result<[String; 2]> {
            Ok(["-device".into(), format!("loader,addr={address:#x},force-raw=on,file={}", comma(path)?)])
        };
        let files = [("-kernel", self.xen()?), ("-dtb", tree)]
            .map(|(option, path)| [option.to_owned(), path.to_string_lossy().into_owned()]);
        let modules = [load(&self.kernel()?, KERNEL_AT)?, load(initramfs, INITRAMFS_AT)?];
        let board = ["-M", BOARD].map(str::to_owned);
        Ok([board.to_vec(), self.processor(), [files, modules].concat().concat()].concat())
    }

    fn virtio_bus(&self) -> &'static str {
        "device"
    }
}

fn size(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path).with_context(|| format!("look at {}", path.display()))?.len())
}
