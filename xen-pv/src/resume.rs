//! Being suspended, and going on: `xl save` and `xl restore`, or a migration.
//!
//! All memory is saved and comes back. What lay outside does not: connections to other domains. In the new domain the
//! console and xenstore have other ports, watches are registered anew, and what xenstore then says makes each frontend
//! find its new backend, as if the device had been attached anew.

use crate::event_channel::Events;
use crate::xen::Xen;
use crate::xenstore::Client;
use crate::{arch, console};

/// Suspends the guest and returns when it goes on. To be called while no message to or from xenstore is under way.
pub(crate) fn suspend(events: &Events<Xen>, store: &Client<Xen>) {
    kernel::println!("suspended");
    console::flush();
    #[cfg(feature = "vchan")]
    {
        events.say_farewell();
        crate::foreign::let_go();
    }
    match arch::suspend() {
        Some(ports) => {
            events.forget_all();
            console::rebind(ports.console);
            store.resume(ports.xenstore);
            kernel::println!("resumed");
        }
        None => kernel::println!("not suspended: the toolstack has taken it back"),
    }
}
