//! The state that each end of a device shows to the other in xenstore.
//!
//! Source: `xen/include/public/io/xenbus.h`.

/// How far one end has come. Source: `enum xenbus_state`.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XenbusState {
    /// Nothing is known, or the directory has gone.
    Unknown = 0,
    /// Has started.
    Initialising = 1,
    /// Has started and waits for the other end's details.
    InitWait = 2,
    /// Has published its details and waits for the connection.
    Initialised = 3,
    /// Data may flow.
    Connected = 4,
    /// Is stopping.
    Closing = 5,
    /// Has stopped.
    Closed = 6,
    /// Is changing its configuration.
    Reconfiguring = 7,
    /// Has changed its configuration.
    Reconfigured = 8,
}

impl XenbusState {
    /// All states, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Unknown,
        Self::Initialising,
        Self::InitWait,
        Self::Initialised,
        Self::Connected,
        Self::Closing,
        Self::Closed,
        Self::Reconfiguring,
        Self::Reconfigured,
    ];

    /// The state of a number, if it is one.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }
}
