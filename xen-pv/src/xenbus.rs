//! The handshake between frontend and backend, as a table.
//!
//! Each end shows its state in xenstore (`xen/include/public/io/xenbus.h`). What a frontend does depends on nothing but
//! how far it has come itself and what the backend shows: [`step`] has no other input, so that all cases can be tested.
//! Detach and attach, a restart of the backend and of its domain, and resume after a migration are all the same path.
//!
//! ```text
//!            InitWait            Connected
//! Initialising ----> Offered ---------------> Connected
//!   ^   ^               |  Closing, Closed,      |   |
//!   |   |               v  Unknown               |   | the device is broken
//!   |   |            Closed <--------------------+   v
//!   |   | InitWait,     |                       Recovering
//!   |   | Initialising  |                            | Closed, InitWait, Initialising
//!   |   +---------------+                            |
//!   +------------------------------------------------+
//! ```

use xen_sys::io::xenbus::XenbusState;

/// How far the frontend has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ours {
    /// Shows `Initialising`; shares nothing.
    Initialising,
    /// Shows `Connected` and has published its rings; the backend has not taken them yet.
    Offered,
    /// Shows `Connected`, and so did the backend.
    Connected,
    /// Shows `Closed` because the backend stopped; what was shared may still be in use.
    Closed,
    /// Shows `Closed` because the device was broken, and will start again.
    Recovering,
}

impl Ours {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Initialising, Self::Offered, Self::Connected, Self::Closed, Self::Recovering];

    /// What the frontend shows in xenstore.
    #[must_use]
    pub fn shown(self) -> XenbusState {
        match self {
            Self::Initialising => XenbusState::Initialising,
            Self::Offered | Self::Connected => XenbusState::Connected,
            Self::Closed | Self::Recovering => XenbusState::Closed,
        }
    }
}

/// What the frontend does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing until something changes.
    Wait,
    /// Make the rings, publish them, show `Connected`.
    Offer,
    /// Let data flow.
    Up,
    /// Stop the flow of data and show `Closed`, but keep what is shared: the backend lets go of it only then.
    Stop,
    /// The same, because the device is broken.
    Recover,
    /// End what is shared.
    Release,
    /// End what is shared and show `Initialising`; then look again.
    Restart,
}

impl Action {
    /// How far the frontend has come after it has done this.
    #[must_use]
    pub fn leads_to(self, ours: Ours) -> Ours {
        match self {
            Self::Wait | Self::Release => ours,
            Self::Offer => Ours::Offered,
            Self::Up => Ours::Connected,
            Self::Stop => Ours::Closed,
            Self::Recover => Ours::Recovering,
            Self::Restart => Ours::Initialising,
        }
    }
}

/// What a frontend that has come to `ours` does when the backend shows `theirs`.
///
/// `broken` says that the backend has broken the protocol since the last connection.
#[must_use]
pub fn step(ours: Ours, theirs: XenbusState, broken: bool) -> Action {
    use XenbusState as Theirs;
    match (ours, theirs) {
        (Ours::Initialising, Theirs::InitWait) => Action::Offer,
        // A detach that began before the connection: the backend waits for this to end it.
        (Ours::Initialising, Theirs::Closing) => Action::Stop,
        // The backend closes as well and comes back with InitWait once it sees Initialising.
        (Ours::Initialising, _) => Action::Wait,

        (Ours::Offered | Ours::Connected, Theirs::Closing | Theirs::Closed | Theirs::Unknown) => Action::Stop,
        // A new backend in the place of the one that was connected.
        (Ours::Connected, Theirs::Initialising | Theirs::InitWait) => Action::Restart,
        (Ours::Offered | Ours::Connected, _) if broken => Action::Recover,
        (Ours::Offered, Theirs::Connected) => Action::Up,
        (Ours::Offered | Ours::Connected, _) => Action::Wait,

        // The backend has let go, and for now there is no other.
        (Ours::Closed, Theirs::Closed | Theirs::Unknown) | (Ours::Recovering, Theirs::Unknown) => Action::Release,
        (Ours::Closed | Ours::Recovering, Theirs::Initialising | Theirs::InitWait)
        | (Ours::Recovering, Theirs::Closed) => Action::Restart,
        (Ours::Closed | Ours::Recovering, _) => Action::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::{Action, Ours, step};
    use XenbusState::{
        Closed, Closing, Connected, InitWait, Initialised, Initialising, Reconfigured, Reconfiguring, Unknown,
    };
    use xen_sys::io::xenbus::XenbusState;

    /// The whole table for an unbroken device; columns in the order of `XenbusState::ALL`.
    const TABLE: [(Ours, [Action; 9]); 5] = {
        use Action::{Offer, Release, Restart, Stop, Up, Wait};
        [
            (Ours::Initialising, [Wait, Wait, Offer, Wait, Wait, Stop, Wait, Wait, Wait]),
            (Ours::Offered, [Stop, Wait, Wait, Wait, Up, Stop, Stop, Wait, Wait]),
            (Ours::Connected, [Stop, Restart, Restart, Wait, Wait, Stop, Stop, Wait, Wait]),
            (Ours::Closed, [Release, Restart, Restart, Wait, Wait, Wait, Release, Wait, Wait]),
            (Ours::Recovering, [Release, Restart, Restart, Wait, Wait, Wait, Restart, Wait, Wait]),
        ]
    };

    #[test]
    fn every_pair_of_states_has_the_action_of_the_table() {
        for (ours, actions) in TABLE {
            for (theirs, action) in XenbusState::ALL.into_iter().zip(actions) {
                assert_eq!(step(ours, theirs, false), action, "{ours:?} {theirs:?}");
            }
        }
    }

    #[test]
    fn only_initialising_connects_and_only_on_init_wait() {
        for ours in Ours::ALL {
            for theirs in XenbusState::ALL {
                for broken in [false, true] {
                    let offers = step(ours, theirs, broken) == Action::Offer;
                    assert_eq!(offers, ours == Ours::Initialising && theirs == InitWait);
                }
            }
        }
    }

    #[test]
    fn closing_and_closed_without_closing_stop_a_connection() {
        for ours in [Ours::Offered, Ours::Connected] {
            for theirs in [Closing, Closed, Unknown] {
                assert_eq!(step(ours, theirs, false), Action::Stop);
                assert_eq!(step(ours, theirs, true), Action::Stop);
            }
        }
    }

    #[test]
    fn a_broken_device_is_left_and_started_again() {
        let mut ours = Ours::Connected;
        for (theirs, broken, expected) in [
            (Connected, true, Action::Recover),
            (Connected, true, Action::Wait),
            (Closing, true, Action::Wait),
            (Closed, true, Action::Restart),
            (Closed, false, Action::Wait),
            (InitWait, false, Action::Offer),
            (Connected, false, Action::Up),
        ] {
            let action = step(ours, theirs, broken);
            assert_eq!(action, expected, "{ours:?} {theirs:?}");
            ours = action.leads_to(ours);
        }
        assert_eq!(ours, Ours::Connected);
    }

    #[test]
    fn broken_changes_nothing_but_a_connection() {
        for theirs in XenbusState::ALL {
            for ours in [Ours::Initialising, Ours::Closed, Ours::Recovering] {
                assert_eq!(step(ours, theirs, true), step(ours, theirs, false));
            }
            for ours in [Ours::Offered, Ours::Connected] {
                let usable =
                    [InitWait, Initialising, Initialised, Connected, Reconfiguring, Reconfigured].contains(&theirs);
                let restarts = ours == Ours::Connected && [InitWait, Initialising].contains(&theirs);
                assert_eq!(step(ours, theirs, true) == Action::Recover, usable && !restarts);
            }
        }
    }

    #[test]
    fn a_backend_that_repeats_itself_causes_no_endless_loop() {
        for start in Ours::ALL {
            for theirs in XenbusState::ALL {
                let mut ours = start;
                let settled = (0..4).any(|_| {
                    let action = step(ours, theirs, false);
                    ours = action.leads_to(ours);
                    matches!(action, Action::Wait | Action::Release)
                });
                assert!(settled, "{start:?} {theirs:?}");
            }
        }
    }
}
