//! The 64-bit PC: Xen is booted by QEMU's multiboot loader, dom0's kernel and file system are its modules.
//!
//! One emulated CPU, because a second one makes the bed slower.

use super::{Machine, comma, write_whole};
use crate::kernel_image::x86_64 as kernel_image;
use crate::packages::{DOM0, LINUX_GUEST, Set, TOOLS};
use crate::place;
use crate::progress::Progress;
use crate::root::Root;
use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Xen's own arguments. A crash of Xen or dom0 reboots, which ends QEMU: then the bed knows.
const XEN_ARGUMENTS: &str = "com1=115200,8n1 console=com1 dom0_mem=320M,max:320M";
/// dom0's kernel arguments: everything off that costs emulated time and that no test looks at.
const DOM0_ARGUMENTS: &str = "console=hvc0 quiet mitigations=off tsc=reliable init_on_alloc=0 audit=0 apparmor=0 \
    lsm= rodata=off cryptomgr.notests";
/// Memory of the whole machine: dom0's, Xen's, and more than 512 MiB for guests.
const MEMORY_MIB: u32 = 1024;

/// See the module.
pub struct X86_64;

impl X86_64 {
    fn xen(&self) -> Result<PathBuf> {
        Ok(place::bed().join(format!("x86_64/xen-{}", self.packages().version_in_name("xen-utils-")?)))
    }

    fn kernel(&self) -> Result<PathBuf> {
        Ok(place::bed().join(format!("x86_64/vmlinux-{}", self.packages().version_in_name("linux-image-")?)))
    }
}

impl Machine for X86_64 {
    fn packages(&self) -> Set {
        Set {
            name: "x86_64",
            architecture: "amd64",
            release: None,
            wanted: DOM0,
            newest: &[
                ("linux-image-amd64", "linux-image-"),
                ("xen-system-amd64", "xen-hypervisor-"),
                ("xen-system-amd64", "xen-utils-"),
            ],
        }
    }

    fn tools(&self) -> Set {
        Set { name: "x86_64-tools", architecture: "amd64", wanted: TOOLS, newest: &[], release: None }
    }

    fn linux_guest(&self) -> Set {
        Set {
            name: "x86_64-linux",
            architecture: "amd64",
            release: None,
            wanted: LINUX_GUEST,
            newest: &[("linux-image-cloud-amd64", "linux-image-")],
        }
    }

    fn qemu(&self) -> (&'static str, &'static str) {
        ("qemu-system-x86_64", "qemu-system-x86")
    }

    fn agent_target(&self) -> &'static str {
        "x86_64-unknown-linux-gnu"
    }

    fn triplet(&self) -> &'static str {
        "x86_64-linux-gnu"
    }

    fn modules(&self) -> &'static [&'static str] {
        &["virtio_pci"]
    }

    fn prepare(&self, _initramfs: &Path, progress: &mut dyn Progress) -> Result<()> {
        let root = Root(self.packages().root());
        let (xen, kernel) = (self.xen()?, self.kernel()?);
        if !xen.exists() {
            let version = self.packages().version_in_name("xen-utils-")?;
            let packed = root.read(&format!("/boot/xen-{version}-amd64.gz"))?;
            let mut unpacked = Vec::new();
            GzDecoder::new(packed.as_slice()).read_to_end(&mut unpacked).context("unpack Xen")?;
            write_whole(&xen, &unpacked)?;
        }
        if !kernel.exists() {
            let version = self.packages().version_in_name("linux-image-")?;
            progress.say(&format!("unpacking the kernel of dom0, Linux {version}"));
            let image = root.read(&format!("/boot/vmlinuz-{version}"))?;
            write_whole(&kernel, &kernel_image::trim(&kernel_image::vmlinux(&image)?)?)?;
        }
        Ok(())
    }

    fn arguments(&self, initramfs: &Path) -> Result<Vec<String>> {
        let (xen, kernel) = (self.xen()?, self.kernel()?);
        ensure!(xen.exists() && kernel.exists(), "the bed for x86_64 is not set up: run setup");
        // A module's name ends at the first space; its arguments follow, up to a comma that is not doubled.
        ensure!(
            !kernel.to_string_lossy().contains(' '),
            "QEMU cannot load a kernel from a path with a space: {}",
            kernel.display()
        );
        let modules = format!("{} {},{}", comma(&kernel)?, DOM0_ARGUMENTS.replace(',', ",,"), comma(initramfs)?);
        let xen = xen.to_str().context("a path that is not UTF-8")?.to_owned();
        let arguments = ["-M", "q35", "-cpu", "qemu64,+svm,+npt", "-smp", "1"].map(str::to_owned);
        let boot = [
            "-m".to_owned(),
            MEMORY_MIB.to_string(),
            "-kernel".to_owned(),
            xen,
            "-append".to_owned(),
            XEN_ARGUMENTS.to_owned(),
        ];
        Ok([arguments.as_slice(), &boot, &["-initrd".to_owned(), modules]].concat())
    }

    fn virtio_bus(&self) -> &'static str {
        "pci"
    }
}
