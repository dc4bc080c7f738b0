//! What the hypervisor answers when it refuses.
//!
//! Source: `xen/include/public/errno.h`.

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

/// The errors that have a number, with their numbers and names.
const KNOWN: [(Error, usize, &str); 12] = [
    (Error::NotPermitted, 1, "EPERM"),
    (Error::NotFound, 2, "ENOENT"),
    (Error::NoSuchDomain, 3, "ESRCH"),
    (Error::NoMemory, 12, "ENOMEM"),
    (Error::Denied, 13, "EACCES"),
    (Error::Fault, 14, "EFAULT"),
    (Error::Busy, 16, "EBUSY"),
    (Error::Exists, 17, "EEXIST"),
    (Error::Invalid, 22, "EINVAL"),
    (Error::NoSpace, 28, "ENOSPC"),
    (Error::NotImplemented, 38, "ENOSYS"),
    (Error::NotSupported, 95, "EOPNOTSUPP"),
];

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
        let known = KNOWN.iter().find(|(_, number, _)| *number == errno);
        known.map_or(Self::Unknown(i32::try_from(errno).unwrap_or(i32::MAX)), |(error, ..)| *error)
    }

    /// The error's name, or `unknown error`.
    #[must_use]
    pub fn name(self) -> &'static str {
        KNOWN.iter().find(|(error, ..)| *error == self).map_or("unknown error", |(.., name)| *name)
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
    use alloc::string::ToString;

    use super::Error;

    #[test]
    fn a_negative_result_is_the_error_of_that_number() {
        assert_eq!(Error::check(7), Ok(7));
        assert_eq!(Error::check(-22), Err(Error::Invalid));
        assert_eq!(Error::check(-1234), Err(Error::Unknown(1234)));
        assert_eq!([Error::Invalid, Error::Unknown(1234)].map(Error::name), ["EINVAL", "unknown error"]);
        let words = [Error::Invalid, Error::Unknown(1234)].map(|error| error.to_string());
        assert_eq!(words, ["EINVAL", "unknown error 1234"]);
    }
}
