//! A ring that the domain builder has set up before the guest starts: the console's, xenstore's.

use xen_sys::types::Port;

use crate::shared_page::SharedPage;

/// A page that the guest shares with a domain, and its event channel.
pub(crate) struct SharedRing {
    /// The page.
    pub(crate) page: SharedPage<'static>,
    /// This end's port.
    pub(crate) port: Port,
}
