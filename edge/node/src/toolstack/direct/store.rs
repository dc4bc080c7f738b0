//! What xenstore is told of a new domain: what the guest, xenconsoled, and a person's `xl` look for.
//!
//! Source: docs/misc/xenstore-paths.pandoc of Xen.

use xenstore::{Change, Client};

use super::shape::{Ring, Rings};
use crate::GuestSpec;
use crate::toolstack::Error;

/// What xenconsoled keeps of a console that nobody reads, in bytes, as with xl.
const CONSOLE_LIMIT: &str = "1048576";

/// Writes all of it, and tells xenstored of the domain last: then it may be used by the guest, and xenconsoled looks.
pub(super) fn introduce(
    store: &mut Client,
    domain: u16,
    guest: &GuestSpec,
    rings: Rings<Ring>,
    kind: &str,
) -> Result<(), Error> {
    let (home, vm) = (format!("/local/domain/{domain}"), format!("/vm/{}", guest.id));
    let libxl = format!("/libxl/{domain}");
    let memory_kib = (u64::from(guest.memory_mib) * 1024).to_string();
    let number = domain.to_string();
    let ring = |ring: Ring| (ring.frame.to_string(), ring.port.0.to_string());
    let ((console_frame, console_port), (store_frame, store_port)) = (ring(rings.console), ring(rings.xenstore));
    let id = guest.id.to_string();
    // A node has the permissions of the one above it: all that is below is dom0's, for the guest to read.
    let tops = [(&home, Some(domain)), (&vm, Some(domain)), (&libxl, None)];
    let nodes = [
        (&home, "vm", &*vm),
        (&home, "name", &id),
        (&home, "domid", &number),
        (&home, "cpu/0/availability", "online"),
        (&home, "memory/static-max", &memory_kib),
        (&home, "memory/target", &memory_kib),
        (&home, "device", ""),
        (&home, "control/shutdown", ""),
        (&home, "control/sysrq", ""),
        (&home, "data", ""),
        (&home, "store/ring-ref", &store_frame),
        (&home, "store/port", &store_port),
        (&home, "console/ring-ref", &console_frame),
        (&home, "console/port", &console_port),
        (&home, "console/type", "xenconsoled"),
        (&home, "console/output", "pty"),
        (&home, "console/limit", CONSOLE_LIMIT),
        (&home, "console/tty", ""),
        (&vm, "uuid", &id),
        (&vm, "name", &id),
        (&libxl, "type", kind),
    ];
    let paths: Vec<_> = nodes.iter().map(|(top, name, value)| (format!("{top}/{name}"), *value)).collect();
    let guests_own = ["data", "control/shutdown", "control/sysrq"].map(|name| format!("{home}/{name}"));
    let mut changes = Vec::new();
    for (path, reader) in tops {
        changes.push(Change::Write { path, value: b"" });
        changes.push(Change::Permit { path, owner: 0, reader });
    }
    changes.extend(paths.iter().map(|(path, value)| Change::Write { path, value: value.as_bytes() }));
    changes.extend(guests_own.iter().map(|path| Change::Permit { path, owner: domain, reader: None }));
    let Ring { frame, port } = rings.xenstore;
    changes.push(Change::Introduce { domain, frame, port: port.0 });
    Ok(store.change(&changes)?)
}
