//! Who may do what with a node.

use alloc::string::String;

use xen_sys::types::Domid;

use crate::decimal;

/// What a domain may do with a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// Nothing.
    None,
    /// Read it.
    Read,
    /// Write it.
    Write,
    /// Read and write it.
    Both,
}

/// One entry of a node's permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permission {
    /// Which domain.
    pub domain: Domid,
    /// What it may do.
    pub rights: Rights,
}

impl Permission {
    /// Reads an entry such as `r5`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let rights = match text.as_bytes().first()? {
            b'n' => Rights::None,
            b'r' => Rights::Read,
            b'w' => Rights::Write,
            b'b' => Rights::Both,
            _ => return None,
        };
        let domain = decimal::parse(text.as_bytes().get(1..)?)?;
        Some(Self { domain: Domid(u16::try_from(domain).ok()?), rights })
    }

    /// Writes an entry such as `r5`.
    pub(super) fn append(self, text: &mut String) {
        text.push(match self.rights {
            Rights::None => 'n',
            Rights::Read => 'r',
            Rights::Write => 'w',
            Rights::Both => 'b',
        });
        text.push_str(&decimal::text(u32::from(self.domain.0)));
    }
}
