//! A board's CPU.

use std::fmt::{self, Display, Formatter};

use crate::oci::Platform;

/// The CPU that an image is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Architecture {
    /// 64-bit x86.
    X86_64,
    /// 32-bit ARM, version 7.
    Armv7,
    /// 64-bit ARM.
    Aarch64,
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::X86_64, Self::Armv7, Self::Aarch64];

    /// That of this program.
    #[must_use]
    pub fn here() -> Self {
        match std::env::consts::ARCH {
            "arm" => Self::Armv7,
            "aarch64" => Self::Aarch64,
            _ => Self::X86_64,
        }
    }

    /// Rust's name of it, which is that of the folder with its images.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Armv7 => "armv7",
            Self::Aarch64 => "aarch64",
        }
    }

    /// As OCI writes it.
    #[must_use]
    pub fn platform(self) -> Platform {
        let (architecture, variant) = match self {
            Self::X86_64 => ("amd64", None),
            Self::Armv7 => ("arm", Some("v7")),
            Self::Aarch64 => ("arm64", None),
        };
        Platform { architecture: architecture.to_owned(), os: "spore".to_owned(), variant: variant.map(str::to_owned) }
    }
}

impl Display for Architecture {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}
