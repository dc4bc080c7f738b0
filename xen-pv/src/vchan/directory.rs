//! Where a client finds its server: a directory in xenstore with two numbers.
//!
//! The server owns it and lets the client read. The usual place is `data/vchan/<client>/<name>` below the server's own
//! directory. Both numbers appear at once, and neither is ever 0: libxenvchan relies on that.

use xen_sys::types::{Domid, GrantRef, Port};

use super::Address;
use crate::decimal;
use crate::hypervisor::Hypervisor;
use crate::xenstore::{Client, Error, ErrorKind, Permission, Request, Rights};

/// The longest path, from the root on, that libxenvchan can look into: its buffers hold 63 characters, 14 of which are
/// the longer name's.
pub const PATH_MAX: usize = 49;

const PAGE: &str = "ring-ref";
const PORT: &str = "event-channel";

/// Shows domain `peer`, and no other, where the server is.
///
/// # Errors
/// The store's.
pub async fn publish<H: Hypervisor>(
    store: &Client<H>,
    directory: &str,
    peer: Domid,
    address: Address,
) -> Result<(), Error> {
    store.make_directory(directory).await?;
    // What is made in the directory has its permissions from the beginning. It stays its owner's.
    let owner = store.permissions(directory).await?.first().map(|owner| owner.domain);
    let domain = owner.ok_or_else(|| Error::new(ErrorKind::Malformed, directory))?;
    let permissions = [Permission { domain, rights: Rights::None }, Permission { domain: peer, rights: Rights::Read }];
    store.set_permissions(directory, &permissions).await?;
    let (page, port) = (node(directory, PAGE), node(directory, PORT));
    store
        .transact(async |transaction| {
            transaction.write(&page, decimal::text(address.page.0).as_bytes()).await?;
            transaction.write(&port, decimal::text(address.port.0).as_bytes()).await?;
            Ok(())
        })
        .await
}

/// Takes the directory of a client away that will not come, or is gone: nobody else does.
///
/// # Errors
/// The store's.
pub async fn withdraw<H: Hypervisor>(store: &Client<H>, directory: &str) -> Result<(), Error> {
    match store.remove(directory).await {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
        outcome => outcome.map(|_| ()),
    }
}

/// Where the server is, if it shows that already. Who waits for it watches the directory.
///
/// # Errors
/// The store's.
pub async fn find<H: Hypervisor>(store: &Client<H>, directory: &str) -> Result<Option<Address>, Error> {
    let (page, port) = (node(directory, PAGE), node(directory, PORT));
    let numbers = store
        .transact(async |transaction| {
            Ok((number(transaction.read(&page)).await?, number(transaction.read(&port)).await?))
        })
        .await?;
    Ok(match numbers {
        (Some(page), Some(port)) => Some(Address { page: GrantRef(page), port: Port(port) }),
        _ => None,
    })
}

/// A node's number. None where the node is not there, not for us yet, or says nothing of use.
async fn number<H: Hypervisor>(request: Request<'_, H>) -> Result<Option<u32>, Error> {
    match request.await {
        Ok(value) => Ok(decimal::parse(&value).filter(|number| *number != 0)),
        Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Denied) => Ok(None),
        Err(error) => Err(error),
    }
}

fn node(directory: &str, name: &str) -> alloc::string::String {
    [directory, "/", name].concat()
}
