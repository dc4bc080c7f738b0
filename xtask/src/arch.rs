//! The processor architectures that images are built for.

use std::fmt;

/// A processor architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Arch {
    /// 64-bit x86, as a paravirtualised (PV) guest.
    #[value(name = "x86_64")]
    X86_64,
}

impl Arch {
    /// The name as users write it; it is also the stem of the linker script's name.
    pub const fn name(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
        }
    }

    /// The stem of the target specification's file name.
    pub const fn target(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64-spore",
        }
    }

    /// What xl calls a guest of this kind.
    pub const fn guest_type(self) -> &'static str {
        match self {
            Arch::X86_64 => "pv",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
