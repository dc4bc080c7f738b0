//! Which version of MQTT a broker is spoken to in.
//!
//! MQTT 5 first. Brokers that know MQTT 3.1.1 alone say so, or close the connection; but so do brokers, and what stands
//! in front of them, that are about to start. So where 3.1.1 is answered after 5 was not, 5 is tried once more.

use crate::Fault;
use crate::packet::Version;
use crate::reason::Reason;

/// The version, and how sure it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Dialect {
    version: Version,
    known: Known,
}

/// What is known of a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// It has not understood us yet.
    Nothing,
    /// It has understood 3.1.1; 5 is tried once more.
    Older,
    /// It is spoken to in the best version that it knows.
    Best,
}

impl Dialect {
    pub(super) fn new() -> Self {
        Self { version: Version::V5, known: Known::Nothing }
    }

    pub(super) fn version(&self) -> Version {
        self.version
    }

    /// Whether the broker has understood us before.
    pub(super) fn is_known(&self) -> bool {
        self.known != Known::Nothing
    }

    /// Notes that there is no connection because of this fault.
    pub(super) fn failed(&mut self, fault: Fault) {
        let other = if self.version == Version::V5 { Version::V311 } else { Version::V5 };
        match (fault, self.known) {
            (Fault::Refused(Reason::VERSION), _) => (self.version, self.known) = (other, Known::Best),
            (Fault::Unanswered | Fault::Protocol, Known::Nothing) => self.version = other,
            (Fault::Unanswered | Fault::Protocol, Known::Older) => {
                (self.version, self.known) = (Version::V311, Known::Best);
            }
            _ => {}
        }
    }

    /// Notes that the broker has let us in; whether to stay. Otherwise the next connection tries another version.
    pub(super) fn answered(&mut self) -> bool {
        let stays = self.version == Version::V5 || self.known == Known::Best;
        (self.version, self.known) = if stays { (self.version, Known::Best) } else { (Version::V5, Known::Older) };
        stays
    }
}

#[cfg(test)]
mod tests {
    use kernel::net::ConnectError;

    use super::*;

    const VERSION: Fault = Fault::Refused(Reason::VERSION);

    /// A broker that does not answer in this version has it.
    fn speaks(dialect: &Dialect, version: Version) {
        assert_eq!(dialect.version(), version, "{dialect:?}");
    }

    #[test]
    fn a_broker_that_says_that_it_knows_the_other_version_is_believed() {
        let mut dialect = Dialect::new();
        for version in [Version::V5, Version::V311, Version::V5] {
            speaks(&dialect, version);
            dialect.failed(VERSION);
        }
        assert!(dialect.answered());
    }

    #[test]
    fn the_older_version_is_spoken_where_the_newer_is_not_answered_twice() {
        for fault in [Fault::Unanswered, Fault::Protocol] {
            let mut dialect = Dialect::new();
            dialect.failed(fault);
            speaks(&dialect, Version::V311);
            assert!(!dialect.answered());
            speaks(&dialect, Version::V5);
            dialect.failed(fault);
            speaks(&dialect, Version::V311);
            assert!(dialect.answered());
            // From now on it is about to go, or to come.
            dialect.failed(fault);
            speaks(&dialect, Version::V311);
        }
    }

    #[test]
    fn a_broker_that_was_about_to_start_is_spoken_to_in_the_newer_version() {
        for unanswered in 0..5 {
            let mut dialect = Dialect::new();
            (0..unanswered).for_each(|_| dialect.failed(Fault::Unanswered));
            while !dialect.answered() {}
            speaks(&dialect, Version::V5);
            dialect.failed(Fault::Unanswered);
            speaks(&dialect, Version::V5);
        }
    }

    #[test]
    fn other_faults_say_nothing_about_the_version() {
        let nobody = Fault::NotConnected(ConnectError::Refused);
        let mut dialect = Dialect::new();
        for fault in [nobody, Fault::Silent, Fault::Closed, Fault::Tls, Fault::Refused(Reason(0x87))] {
            dialect.failed(fault);
            assert_eq!(dialect, Dialect::new(), "{fault}");
        }
    }
}
