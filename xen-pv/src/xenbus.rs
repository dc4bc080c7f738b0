//! The handshake between frontend and backend, as a table.
//!
//! Each end shows its state in xenstore (`xen/include/public/io/xenbus.h`). What a frontend does depends on nothing but
//! how far it has come itself and what the backend shows: [`step`] has no other input, so that all cases can be tested.
//!
//! ```text
//!               InitWait            Connected
//! Initialising ----------> Offered ----------> Connected
//!   ^      |                  |                   |
//!   |      | Closing          | Closing, Closed,  |
//!   |      v                  v Unknown, broken   |
//!   |    Closed <-------------+-------------------+
//!   |      | Closed
//!   +------+
//! ```
//!
//! What was offered is taken back in one way only: the frontend shows `Closed`, and the backend shows `Closed` when it
//! is looked at after that, or has gone. No other state says that it has let go. A state is read when there is time,
//! and a quick change back and forth looks like none: a frontend that went from `Connected` to `Initialising` to
//! `Connected` with new rings may have been seen as `Connected` all along, and then the backend stays on rings that are
//! gone. For the same reason `InitWait` connects only in `Initialising`, which only a new device has and one that both
//! ends have closed.
//!
//! So a backend that starts over in front of a frontend that shows `Connected` is left alone. Linux's netback does that
//! when its driver is taken from the device and given back: it keeps `Connected`, has every request answered, then
//! passes through `Initialising` and `InitWait`, finds `Connected` at the other end and takes up the rings where they
//! are. It may have done so long before it shows it, because it shows nothing new until a script has put its interface
//! on a bridge. A frontend that let go on `InitWait` would race with that. (Before Linux 5.6 it shows `Closed` when the
//! driver is taken.)
//!
//! A *new* device, after detach and attach, a restart of the backend's domain or a migration, begins with nodes that
//! the toolstack writes, the frontend's state among them: `Initialising`. Who finds that instead of what it wrote
//! itself begins in [`Ours::Initialising`], whatever it had before.

use xen_sys::io::xenbus::XenbusState;

mod driver;
mod error;
mod exchange;
pub mod frontend;
mod session;
mod values;

pub use driver::{Driver, Offer};
pub use error::Error;
pub use values::Values;

/// How far the frontend has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ours {
    /// Shows `Initialising`; shares nothing.
    Initialising,
    /// Shows `Connected` and has published its rings; the backend has not taken them yet.
    Offered,
    /// Shows `Connected`, and so did the backend.
    Connected,
    /// Shows `Closed` because the backend stopped or broke the protocol; what was shared may still be in use.
    Closed,
}

impl Ours {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Initialising, Self::Offered, Self::Connected, Self::Closed];

    /// What the frontend shows in xenstore.
    #[must_use]
    pub fn shown(self) -> XenbusState {
        match self {
            Self::Initialising => XenbusState::Initialising,
            Self::Offered | Self::Connected => XenbusState::Connected,
            Self::Closed => XenbusState::Closed,
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
            Self::Restart => Ours::Initialising,
        }
    }
}

/// What a frontend that has come to `ours` does when the backend shows `theirs`.
///
/// `broken` says that the backend has broken the protocol since the last connection, `online` that the toolstack wants
/// the device to stay (the backend's node of this name is not 0): then a backend that has closed is waited for.
#[must_use]
pub fn step(ours: Ours, theirs: XenbusState, broken: bool, online: bool) -> Action {
    use XenbusState as Theirs;
    match (ours, theirs) {
        (Ours::Initialising, Theirs::InitWait) => Action::Offer,
        // A detach that began before the connection: the backend waits for this to end it.
        (Ours::Initialising, Theirs::Closing) => Action::Stop,
        // The backend comes to InitWait by itself once it sees Initialising.
        (Ours::Initialising, _) => Action::Wait,

        (Ours::Offered | Ours::Connected, Theirs::Closing | Theirs::Closed | Theirs::Unknown) => Action::Stop,
        (Ours::Offered | Ours::Connected, _) if broken => Action::Stop,
        (Ours::Offered, Theirs::Connected) => Action::Up,
        // Also when it starts over: it finds Connected and the rings, and goes on with them.
        (Ours::Offered | Ours::Connected, _) => Action::Wait,

        // The backend has let go. One that is to stay waits to see Initialising.
        (Ours::Closed, Theirs::Closed) if online => Action::Restart,
        (Ours::Closed, Theirs::Closed | Theirs::Unknown) => Action::Release,
        // Whatever else it shows, it may have the rings, and has yet to see Closed.
        (Ours::Closed, _) => Action::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::{Action, Ours, step};
    use XenbusState::{Closed, Closing, Connected, InitWait, Initialising, Unknown};
    use xen_sys::io::xenbus::XenbusState;

    /// The whole table for an unbroken device that is to stay; columns in the order of `XenbusState::ALL`.
    const TABLE: [(Ours, [Action; 9]); 4] = {
        use Action::{Offer, Release, Restart, Stop, Up, Wait};
        [
            (Ours::Initialising, [Wait, Wait, Offer, Wait, Wait, Stop, Wait, Wait, Wait]),
            (Ours::Offered, [Stop, Wait, Wait, Wait, Up, Stop, Stop, Wait, Wait]),
            (Ours::Connected, [Stop, Wait, Wait, Wait, Wait, Stop, Stop, Wait, Wait]),
            (Ours::Closed, [Release, Wait, Wait, Wait, Wait, Wait, Restart, Wait, Wait]),
        ]
    };

    #[test]
    fn every_pair_of_states_has_the_action_of_the_table() {
        for (ours, actions) in TABLE {
            for (theirs, action) in XenbusState::ALL.into_iter().zip(actions) {
                assert_eq!(step(ours, theirs, false, true), action, "{ours:?} {theirs:?}");
            }
        }
    }

    #[test]
    fn a_device_that_is_to_go_differs_only_in_staying_closed() {
        for (ours, actions) in TABLE {
            for (theirs, action) in XenbusState::ALL.into_iter().zip(actions) {
                let expected = if (ours, theirs) == (Ours::Closed, Closed) { Action::Release } else { action };
                assert_eq!(step(ours, theirs, false, false), expected, "{ours:?} {theirs:?}");
            }
        }
    }

    #[test]
    fn a_broken_device_differs_only_in_stopping_a_connection() {
        for (ours, actions) in TABLE {
            for (theirs, action) in XenbusState::ALL.into_iter().zip(actions) {
                let connection = matches!(ours, Ours::Offered | Ours::Connected);
                let expected = if connection { Action::Stop } else { action };
                assert_eq!(step(ours, theirs, true, true), expected, "{ours:?} {theirs:?}");
            }
        }
    }

    #[test]
    fn only_initialising_connects_and_only_on_init_wait() {
        for ours in Ours::ALL {
            for theirs in XenbusState::ALL {
                for (broken, online) in [(false, false), (false, true), (true, false), (true, true)] {
                    let offers = step(ours, theirs, broken, online) == Action::Offer;
                    assert_eq!(offers, ours == Ours::Initialising && theirs == InitWait);
                }
            }
        }
    }

    #[test]
    fn closing_and_closed_without_closing_stop_a_connection() {
        for ours in [Ours::Offered, Ours::Connected] {
            for theirs in [Closing, Closed, Unknown] {
                assert_eq!(step(ours, theirs, false, true), Action::Stop);
            }
        }
    }

    /// Follows the backend through its states and returns where that leads.
    fn follow(mut ours: Ours, online: bool, story: &[(XenbusState, bool, Action)]) -> Ours {
        for &(theirs, broken, expected) in story {
            let action = step(ours, theirs, broken, online);
            assert_eq!(action, expected, "{ours:?} {theirs:?}");
            ours = action.leads_to(ours);
        }
        ours
    }

    #[test]
    fn a_broken_device_is_left_and_started_again() {
        let story = [
            (Connected, true, Action::Stop),
            (Connected, true, Action::Wait),
            (Closing, true, Action::Wait),
            (Closed, true, Action::Restart),
            (Closed, true, Action::Wait),
            (InitWait, true, Action::Offer),
            (Connected, false, Action::Up),
        ];
        assert_eq!(follow(Ours::Connected, true, &story), Ours::Connected);
    }

    #[test]
    fn a_backend_that_starts_over_keeps_the_connection() {
        let story =
            [(Initialising, false, Action::Wait), (InitWait, false, Action::Wait), (Connected, false, Action::Wait)];
        assert_eq!(follow(Ours::Connected, true, &story), Ours::Connected);
    }

    #[test]
    fn a_backend_that_starts_over_with_a_broken_device_has_to_close_first() {
        let story = [
            (InitWait, true, Action::Stop),
            (InitWait, true, Action::Wait),
            (Connected, true, Action::Wait),
            (Closing, true, Action::Wait),
            (Closed, true, Action::Restart),
            (InitWait, true, Action::Offer),
            (Connected, false, Action::Up),
        ];
        assert_eq!(follow(Ours::Connected, true, &story), Ours::Connected);
    }

    #[test]
    fn nothing_but_closed_on_both_ends_leads_back_to_initialising() {
        for ours in Ours::ALL {
            for theirs in XenbusState::ALL {
                for (broken, online) in [(false, false), (false, true), (true, false), (true, true)] {
                    let restarts = step(ours, theirs, broken, online) == Action::Restart;
                    assert_eq!(restarts, ours == Ours::Closed && theirs == Closed && online);
                }
            }
        }
    }

    #[test]
    fn a_detached_device_stays_closed() {
        let story = [
            (Closing, false, Action::Stop),
            (Closing, false, Action::Wait),
            (Closed, false, Action::Release),
            (Unknown, false, Action::Release),
        ];
        assert_eq!(follow(Ours::Connected, false, &story), Ours::Closed);
    }

    #[test]
    fn a_backend_that_repeats_itself_causes_no_endless_loop() {
        for start in Ours::ALL {
            for theirs in XenbusState::ALL {
                for online in [false, true] {
                    let mut ours = start;
                    let settled = (0..4).any(|_| {
                        let action = step(ours, theirs, false, online);
                        ours = action.leads_to(ours);
                        matches!(action, Action::Wait | Action::Release)
                    });
                    assert!(settled, "{start:?} {theirs:?}");
                }
            }
        }
    }

    #[test]
    fn each_state_shows_what_linux_expects() {
        let shown = Ours::ALL.map(Ours::shown);
        assert_eq!(shown, [Initialising, Connected, Connected, Closed]);
    }
}
