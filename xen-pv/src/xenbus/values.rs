//! What the toolstack and the backend have written into a directory, read strictly.

use alloc::string::String;
use alloc::vec::Vec;

use xen_sys::io::xenbus::XenbusState;
use xen_sys::types::Domid;

use super::Error;
use crate::decimal;

/// The values of some leaves of one directory, as one look found them.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    leaves: &'a [&'static str],
    /// In the order of the leaves; `None` for what is not there, or not for us.
    values: &'a [Option<Vec<u8>>],
}

impl<'a> Values<'a> {
    /// The values that were read of these leaves, in their order.
    #[must_use]
    pub fn new(leaves: &'a [&'static str], values: &'a [Option<Vec<u8>>]) -> Self {
        Self { leaves, values }
    }

    /// The value of a leaf, if there is one.
    #[must_use]
    pub fn get(&self, leaf: &str) -> Option<&'a [u8]> {
        let index = self.leaves.iter().position(|known| *known == leaf)?;
        self.values.get(index)?.as_deref()
    }

    /// Whether a feature is there: a leaf whose value is `1`. Without the leaf it is not.
    ///
    /// # Errors
    /// [`Error::BadValue`] for anything but `0` and `1`.
    pub fn flag(&self, leaf: &'static str) -> Result<bool, Error> {
        match self.get(leaf) {
            None | Some(b"0") => Ok(false),
            Some(b"1") => Ok(true),
            Some(_) => Err(Error::BadValue(leaf)),
        }
    }

    /// The state that an end shows; what makes no sense, or is not there, is unknown.
    #[must_use]
    pub fn state(&self) -> XenbusState {
        let number = self.get("state").and_then(decimal::parse);
        number.and_then(XenbusState::from_number).unwrap_or(XenbusState::Unknown)
    }
}

/// Where a device's backend is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// Its directory.
    pub directory: String,
    /// Its domain.
    pub domain: Domid,
}

impl Backend {
    /// What is read of it in the frontend's directory.
    pub(super) const LEAVES: [&'static str; 2] = ["backend", "backend-id"];

    /// Judges what the toolstack has written; `None` when there is no device, or not all of it yet.
    pub(super) fn parse(values: &Values<'_>) -> Result<Option<Self>, Error> {
        let [directory_leaf, domain_leaf] = Self::LEAVES;
        let (Some(directory), Some(domain)) = (values.get(directory_leaf), values.get(domain_leaf)) else {
            return Ok(None);
        };
        let directory = core::str::from_utf8(directory).ok().filter(|path| path.starts_with('/'));
        Ok(Some(Self {
            directory: String::from(directory.ok_or(Error::BadValue(directory_leaf))?),
            domain: domain_id(domain).ok_or(Error::BadValue(domain_leaf))?,
        }))
    }
}

/// The number of an ordinary domain.
fn domain_id(text: &[u8]) -> Option<Domid> {
    let domain = decimal::parse(text)?;
    u16::try_from(domain).ok().filter(|domain| *domain < Domid::FIRST_RESERVED.0).map(Domid)
}

/// `directory/leaf`.
pub(super) fn join(directory: &str, leaf: &str) -> String {
    let mut path = String::with_capacity(directory.len() + 1 + leaf.len());
    for part in &[directory, "/", leaf] {
        path.push_str(part);
    }
    path
}
