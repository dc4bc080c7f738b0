//! Connects a guest's network card to its bridge: what libxl runs for each card, as `spore-vif online`.
//!
//! Xen's own script does it with bash and a dozen processes, in a second on a small board. The card and its place in
//! xenstore come in the environment, as for any script of this kind. What Xen's script does beyond that is not done:
//! rules of a firewall, which a bridge does not need; the interface's name and address, which the kernel gives it; and
//! everything when the card goes, because the bridge lets go of an interface that is no more.
//!
//! Source: docs/man/xl-network-configuration.5.pod of Xen.

#![forbid(unsafe_code)]

use std::env;
use std::process::ExitCode;

use node::toolstack::bridge::{self, Failure};
use xenstore::Client;

fn main() -> ExitCode {
    match env::args().nth(1).as_deref() {
        Some("online" | "add") => {}
        Some("offline" | "remove") => return ExitCode::SUCCESS,
        _ => {
            eprintln!("spore-vif online|offline: libxl runs it for a guest's network card");
            return ExitCode::FAILURE;
        }
    }
    let mut store = Client::new();
    let Ok(place) = env::var("XENBUS_PATH") else {
        eprintln!("spore-vif: XENBUS_PATH is not set: libxl says by it which card is meant");
        return ExitCode::FAILURE;
    };
    match connect(&mut store, &place) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("spore-vif: {error}");
            // libxl shows it to who made the guest.
            let _ = store.write(&format!("{place}/hotplug-error"), error.to_string().as_bytes());
            ExitCode::FAILURE
        }
    }
}

fn connect(store: &mut Client, place: &str) -> Result<(), Failure> {
    let interface = env::var("vif").map_err(|_| "the card's interface is not in the environment")?;
    let bridge = store.read(&format!("{place}/bridge"))?.ok_or("the card has no bridge: name one in its vif")?;
    let bridge = String::from_utf8(bridge)?;
    bridge::connect(&interface, &bridge)?;
    // The backend waits for it.
    store.write(&format!("{place}/hotplug-status"), b"connected")?;
    Ok(())
}
