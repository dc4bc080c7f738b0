//! A guest's network card: both ends in xenstore, and the interface in dom0 on its bridge.
//!
//! Source: `xen/include/public/io/netif.h`, `xen/include/public/io/xenbus.h`; docs/misc/xenstore-paths.pandoc of Xen.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use xen_sys::io::xenbus::XenbusState;
use xenstore::{Change, Client};

use crate::toolstack::{Error, HOTPLUG, bridge};

/// How long the backend may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// The pause between two looks for the interface, which comes when the backend's state has.
const PAUSE: Duration = Duration::from_millis(2);

/// Attaches a card.
pub(super) fn attach(store: &mut Client, domain: u16, mac: &str, bridge_name: &str) -> Result<(), Error> {
    let front = format!("/local/domain/{domain}/device/vif/0");
    let back = format!("/local/domain/0/backend/vif/{domain}/0");
    let libxl = format!("/libxl/{domain}/device/vif/0");
    let number = domain.to_string();
    let initialising = (XenbusState::Initialising as u8).to_string();
    let nodes = [
        (&front, "backend", &*back),
        (&front, "backend-id", "0"),
        (&front, "handle", "0"),
        (&front, "mac", mac),
        (&front, "state", &initialising),
        // By these a person's xl finds the card.
        (&libxl, "frontend", &front),
        (&libxl, "backend", &back),
        (&libxl, "frontend-id", &number),
        (&libxl, "handle", "0"),
        (&libxl, "mac", mac),
        (&libxl, "bridge", bridge_name),
        (&back, "frontend", &front),
        (&back, "frontend-id", &number),
        (&back, "online", "1"),
        (&back, "handle", "0"),
        (&back, "mac", mac),
        (&back, "bridge", bridge_name),
        (&back, "script", HOTPLUG),
        // Linux looks at a backend that has this state, so it is the last.
        (&back, "state", &initialising),
    ];
    let paths: Vec<_> = nodes.iter().map(|(top, name, value)| (format!("{top}/{name}"), *value)).collect();
    let mut changes = Vec::new();
    for (path, owner, reader) in [(&front, domain, 0), (&back, 0, domain)] {
        changes.push(Change::Write { path, value: b"" });
        changes.push(Change::Permit { path, owner, reader: Some(reader) });
    }
    changes.extend(paths.iter().map(|(path, value)| Change::Write { path, value: value.as_bytes() }));
    store.change(&changes)?;
    let waiting = (XenbusState::InitWait as u8).to_string();
    let state = store.wait_for(&format!("{back}/state"), Some(waiting.as_bytes()), PATIENCE)?.unwrap_or_default();
    if state != waiting.as_bytes() {
        let state = String::from_utf8_lossy(&state).into_owned();
        return Err(Error::Card(format!("its backend has state {state:?} after {PATIENCE:?}; is xen-netback loaded?")));
    }
    let interface = format!("vif{domain}.0");
    appears(&interface)?;
    bridge::connect(&interface, bridge_name).map_err(|error| Error::Card(error.to_string()))?;
    Ok(store.write(&format!("{back}/hotplug-status"), b"connected")?)
}

/// Waits for an interface.
fn appears(interface: &str) -> Result<(), Error> {
    let deadline = Instant::now() + PATIENCE;
    let path = Path::new("/sys/class/net").join(interface);
    while !path.exists() {
        if Instant::now() >= deadline {
            return Err(Error::Card(format!("there is no interface {interface} after {PATIENCE:?}")));
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}
