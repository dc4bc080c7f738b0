//! Where a client finds its server, in xenstore.

use xenstore::Change;

use crate::Error;

const PAGE: &str = "ring-ref";
const PORT: &str = "event-channel";

/// A server that is shown. Dropping it takes it away.
#[derive(Debug)]
pub(crate) struct Shown(String);

/// Shows a domain, and no other guest, where the server is.
pub(crate) fn publish(domain: u16, directory: &str, page: u32, port: u32) -> Result<Shown, Error> {
    let shown = Shown(directory.to_owned());
    let (page_path, port_path) = (format!("{directory}/{PAGE}"), format!("{directory}/{PORT}"));
    let (page, port) = (page.to_string(), port.to_string());
    xenstore::Client::new().change(&[
        Change::Write { path: directory, value: b"" },
        // What is made in the directory has its permissions from the beginning.
        Change::Permit { path: directory, owner: 0, reader: Some(domain) },
        // The page comes last: who finds it, and looks for the port then as libxenvchan does, finds both.
        Change::Write { path: &port_path, value: port.as_bytes() },
        Change::Write { path: &page_path, value: page.as_bytes() },
    ])?;
    Ok(shown)
}

/// The server's page and port.
pub(crate) fn find(directory: &str) -> Result<(u32, u32), Error> {
    let mut store = xenstore::Client::new();
    let mut number = |name| {
        let value = store.read(&format!("{directory}/{name}"))?;
        let number = value.and_then(|value| String::from_utf8(value).ok()?.parse().ok());
        number.filter(|number| *number != 0).ok_or_else(|| Error::NotFound(directory.to_owned()))
    };
    Ok((number(PAGE)?, number(PORT)?))
}

impl Drop for Shown {
    fn drop(&mut self) {
        // Without xenstore nobody finds it any more either.
        let mut store = xenstore::Client::new();
        let _ = store.remove(&self.0);
        // The client's own directory goes with its last channel: else they would pile up.
        if let Some((clients, _)) = self.0.rsplit_once('/')
            && store.list(clients).is_ok_and(|left| left.is_some_and(|names| names.is_empty()))
        {
            let _ = store.remove(clients);
        }
    }
}
