//! What there is of a guest beside its domain, and what is left of it when that is gone: also when `xl` or the node was
//! killed, or the board lost its power.

use std::fs;
use std::path::Path;

use xenstore::Client;

use super::Error;
use crate::GuestId;

/// Where libxl keeps what it knows of domains, as `userdata-d.<domain>.<uuid>.<what>`.
const USERDATA: &str = "/var/lib/xen";
/// Where xenconsoled writes what guests print, when it was told to, as `guest-<name>.log`.
const CONSOLE_LOGS: &str = "/var/log/xen/console";

/// The domain of a guest, as xenstore has it. The youngest ones are asked first.
pub(super) fn domain_of(store: &mut Client, id: GuestId) -> Result<Option<u16>, Error> {
    let wanted = format!("/vm/{id}");
    let names = store.list("/local/domain")?.unwrap_or_default();
    let mut numbers: Vec<u16> = names.iter().filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable();
    for number in numbers.into_iter().rev() {
        let vm = store.read(&format!("/local/domain/{number}/vm"))?.unwrap_or_default();
        if vm == wanted.as_bytes() {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

/// The guests that xenstore knows, with their domains, whether these are there or not.
pub(super) fn known(store: &mut Client) -> Result<Vec<(GuestId, u16)>, Error> {
    let mut known = Vec::new();
    for name in store.list("/local/domain")?.unwrap_or_default() {
        let vm = store.read(&format!("/local/domain/{name}/vm"))?.unwrap_or_default();
        let id = std::str::from_utf8(&vm).ok().and_then(|vm| vm.strip_prefix("/vm/")?.parse().ok());
        known.extend(id.zip(name.parse().ok()));
    }
    Ok(known)
}

/// Removes all that is left of a guest whose domain is gone.
pub(super) fn remove(store: &mut Client, guest: GuestId, domain: Option<u16>) -> Result<(), Error> {
    store.remove(&format!("/vm/{guest}"))?;
    if let Some(domain) = domain {
        // libxl removes the domain's own paths, unless it is killed before; the domain has no more use for them, and
        // its number comes again only after all others.
        let backends = store.list("/local/domain/0/backend")?.unwrap_or_default();
        for kind in backends {
            store.remove(&format!("/local/domain/0/backend/{kind}/{domain}"))?;
        }
        store.remove(&format!("/libxl/{domain}"))?;
        store.remove(&format!("/local/domain/{domain}"))?;
    }
    let id = guest.to_string();
    remove_files(USERDATA, |name| name.starts_with("userdata-") && name.contains(&id));
    remove_files(CONSOLE_LOGS, |name| name == format!("guest-{id}.log"));
    Ok(())
}

/// Removes the files of guests that an earlier boot of the board had, or whose removal was cut off.
pub(super) fn remove_files_of_dead_guests(is_alive: impl Fn(GuestId) -> bool) {
    let dead = |id: &str| id.parse().is_ok_and(|id| !is_alive(id));
    remove_files(USERDATA, |name| {
        name.strip_prefix("userdata-").and_then(|rest| rest.split('.').nth(2)).is_some_and(dead)
    });
    remove_files(CONSOLE_LOGS, |name| {
        name.strip_prefix("guest-").and_then(|rest| rest.strip_suffix(".log")).is_some_and(dead)
    });
}

/// Removes the files of a folder that are meant. One that cannot be removed does no harm and is tried again later.
fn remove_files(folder: &str, meant: impl Fn(&str) -> bool) {
    let Ok(entries) = fs::read_dir(Path::new(folder)) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(&meant)) {
        let _ = fs::remove_file(entry.path());
    }
}
