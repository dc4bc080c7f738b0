//! The end of a domain, as the toolstack's log tells it.

use std::fmt;

/// Why a domain ended. Source: xen/include/public/sched.h, `SHUTDOWN_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShutdownReason {
    /// It ended in order.
    PowerOff,
    /// It asks to be started again.
    Reboot,
    /// It was saved.
    Suspend,
    /// It failed.
    Crash,
    /// Its watchdog ran out.
    Watchdog,
    /// It asks for a reset without a new domain.
    SoftReset,
    /// A reason that this list does not know.
    Unknown(u32),
}

impl ShutdownReason {
    /// Xen's number for it.
    #[must_use]
    pub fn code(self) -> u32 {
        match self {
            Self::PowerOff => 0,
            Self::Reboot => 1,
            Self::Suspend => 2,
            Self::Crash => 3,
            Self::Watchdog => 4,
            Self::SoftReset => 5,
            Self::Unknown(code) => code,
        }
    }
}

impl From<u32> for ShutdownReason {
    fn from(code: u32) -> Self {
        let known = [Self::PowerOff, Self::Reboot, Self::Suspend, Self::Crash, Self::Watchdog, Self::SoftReset];
        known.into_iter().find(|reason| reason.code() == code).unwrap_or(Self::Unknown(code))
    }
}

impl fmt::Display for ShutdownReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::PowerOff => "poweroff",
            Self::Reboot => "reboot",
            Self::Suspend => "suspend",
            Self::Crash => "crash",
            Self::Watchdog => "watchdog",
            Self::SoftReset => "soft reset",
            Self::Unknown(code) => return write!(formatter, "reason {code}"),
        };
        formatter.write_str(name)
    }
}

/// The number of the newest domain of this name, from the log of `xl`: "Waiting for domain hello (domid 3) to die [pid
/// 42]".
pub(super) fn domain_in(log: &str, name: &str) -> Option<u32> {
    let start = format!("Waiting for domain {name} (domid ");
    log.lines().rev().find_map(|line| line.strip_prefix(&start)?.split(')').next()?.parse().ok())
}

/// The process that watches the domain, from the log of `xl`.
pub(super) fn daemon_in(log: &str) -> Option<String> {
    let number = log.rsplit_once(" to die [pid ")?.1.split(']').next()?;
    number.parse::<u32>().ok().map(|number| number.to_string())
}

/// The reasons of all ends, from the log of `xl`: "Domain 3 has shut down, reason code 3 0x3".
pub(super) fn ends_in(log: &str) -> Vec<ShutdownReason> {
    let code = |line: &str| line.split_once("has shut down, reason code ")?.1.split(' ').next()?.parse::<u32>().ok();
    log.split_inclusive('\n').filter(|line| line.ends_with('\n')).filter_map(code).map(ShutdownReason::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "Waiting for domain hello (domid 3) to die [pid 42]\nDomain 3 has shut down, reason code 1 0x1\n\
        Action for shutdown reason code 1 is restart\nDone. Rebooting now\n\
        Waiting for domain hello (domid 4) to die [pid 42]\n\
        Domain 4 has shut down, reason code 3 0x3\nDomain 4 has shut d";

    #[test]
    fn the_toolstacks_log_tells_numbers_and_reasons() {
        assert_eq!(domain_in(LOG, "hello"), Some(4));
        assert_eq!(domain_in(LOG, "other"), None);
        assert_eq!(daemon_in(LOG).as_deref(), Some("42"));
        assert_eq!(ends_in(LOG), [ShutdownReason::Reboot, ShutdownReason::Crash]);
    }
}
