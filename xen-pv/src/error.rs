//! What the hypervisor answers when it refuses.
//!
//! Source: `xen/include/public/errno.h`.

use crate::words::line;

/// An error of the hypervisor, by its name there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(target_os = "none", derive(defmt::Format))]
pub enum Error {
    /// `EPERM`: the domain may not do this.
    NotPermitted,
    /// `ENOENT`: there is no such thing.
    NotFound,
    /// `ESRCH`: there is no such domain.
    NoSuchDomain,
    /// `ENOMEM`: the hypervisor or the domain has no memory left.
    NoMemory,
    /// `EACCES`: access is denied.
    Denied,
    /// `EFAULT`: an argument's address is not readable or writable.
    Fault,
    /// `EBUSY`: in use.
    Busy,
    /// `EEXIST`: it exists already.
    Exists,
    /// `EINVAL`: an argument is wrong.
    Invalid,
    /// `ENOSPC`: no room left.
    NoSpace,
    /// `ENOSYS`: this hypervisor does not know the call.
    NotImplemented,
    /// `EOPNOTSUPP`: the hypervisor knows the call but does not support it here.
    NotSupported,
    /// Any other number.
    Unknown(i32),
}

/// The errors with a number, their numbers, and all names, in one order.
const KNOWN: [Error; 12] = [
    Error::NotPermitted,
    Error::NotFound,
    Error::NoSuchDomain,
    Error::NoMemory,
    Error::Denied,
    Error::Fault,
    Error::Busy,
    Error::Exists,
    Error::Invalid,
    Error::NoSpace,
    Error::NotImplemented,
    Error::NotSupported,
];
const NUMBERS: [u8; 12] = [1, 2, 3, 12, 13, 14, 16, 17, 22, 28, 38, 95];
const NAMES: &str = "\
    EPERM\nENOENT\nESRCH\nENOMEM\nEACCES\nEFAULT\nEBUSY\nEEXIST\nEINVAL\nENOSPC\nENOSYS\nEOPNOTSUPP\nunknown error";

impl Error {
    /// Reads a hypercall's result: zero or more is a value, less is a negated error number.
    ///
    /// # Errors
    /// The error that the number names.
    pub fn check(result: isize) -> Result<usize, Self> {
        usize::try_from(result).map_err(|_| Self::from_errno(result.unsigned_abs()))
    }

    /// The error that a positive error number names.
    #[must_use]
    pub fn from_errno(errno: usize) -> Self {
        let known = NUMBERS.iter().position(|number| usize::from(*number) == errno);
        known.map_or(Self::Unknown(i32::try_from(errno).unwrap_or(i32::MAX)), |index| KNOWN[index])
    }

    /// The error's name, or `unknown error`.
    #[must_use]
    pub fn name(self) -> &'static str {
        line(NAMES, KNOWN.iter().position(|known| *known == self).unwrap_or(KNOWN.len()))
    }
}

impl core::fmt::Display for Error {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str(self.name())?;
        match self {
            Self::Unknown(number) => write!(formatter, " {number}"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Error;

    #[test]
    fn a_negative_result_is_the_error_of_that_number() {
        assert_eq!(Error::check(7), Ok(7));
        assert_eq!(Error::check(-22), Err(Error::Invalid));
        assert_eq!(Error::check(-1234), Err(Error::Unknown(1234)));
    }
}
