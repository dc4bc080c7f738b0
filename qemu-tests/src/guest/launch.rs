//! A guest's start, timed.

use super::{Guest, GuestSpec};
use crate::dom0::Dom0;
use anyhow::{Result, bail, ensure};
use bed_agent::protocol::{Launch, LaunchResult};
use std::net::Ipv4Addr;
use std::time::Duration;

impl Guest {
    /// See [`crate::Bed::create_timed`].
    pub(crate) fn launch(
        dom0: Dom0,
        spec: &GuestSpec,
        address: Ipv4Addr,
        patience: Duration,
    ) -> Result<(Self, LaunchResult)> {
        ensure!(spec.data.is_empty(), "nothing can be written for a guest that runs at once");
        let mut guest = Self::prepare(dom0, spec)?;
        // Or dom0 would ask once a second who has the address, and the answer would wait for the next time.
        guest.dom0.must(&format!("arp -s {address} {}", spec.mac()))?;
        let wanted = Launch {
            script: format!("xl create '{}'", guest.configuration()),
            guest: spec.name.clone(),
            address,
            patience_ms: u32::try_from(patience.as_millis()).unwrap_or(u32::MAX),
        };
        let result = guest.dom0.launch(wanted, patience)?;
        guest.destroyed = false;
        match &result.script {
            Some(output) if output.status == 0 => Ok((guest, result)),
            output => bail!("in dom0: xl create: {output:?}"),
        }
    }
}
