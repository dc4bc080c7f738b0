//! The processor architectures that images are built for.

use std::fmt;

/// A processor architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Arch {
    /// 64-bit x86, as a paravirtualised (PV) guest.
    #[value(name = "x86_64")]
    X86_64,
    /// 32-bit ARM with hardware virtualisation.
    #[value(name = "armv7")]
    Armv7,
}

impl Arch {
    /// All of them.
    pub const ALL: &[Arch] = &[Arch::X86_64, Arch::Armv7];

    /// The one that the command line names; all of them when it names none.
    pub fn chosen(arch: Option<Arch>) -> Vec<Arch> {
        arch.map_or_else(|| Self::ALL.to_vec(), |arch| vec![arch])
    }

    /// The name as users write it; it is also the stem of the linker script's name.
    pub const fn name(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
            Arch::Armv7 => "armv7",
        }
    }

    /// The stem of the target specification's file name.
    pub const fn target(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64-spore",
            Arch::Armv7 => "armv7-spore",
        }
    }

    /// The bed's name of the architecture.
    pub const fn machine(self) -> qemu_tests::Arch {
        match self {
            Arch::X86_64 => qemu_tests::Arch::X86_64,
            Arch::Armv7 => qemu_tests::Arch::Armv7,
        }
    }

    /// All machines of the bed that guests for this architecture run on.
    pub fn machines(self) -> impl Iterator<Item = qemu_tests::Arch> {
        qemu_tests::Arch::ALL.into_iter().filter(move |machine| machine.guests() == self.machine())
    }

    /// What xl calls a guest of this kind.
    pub const fn guest_type(self) -> &'static str {
        match self {
            Arch::X86_64 => "pv",
            Arch::Armv7 => "pvh",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
