//! Where a client finds its server: a directory in xenstore with two numbers.
//!
//! The server owns it and lets the client read. The usual place is `data/vchan/<client>/<name>` below the server's own
//! directory. Both numbers appear at once, and neither is ever 0: libxenvchan relies on that.

use alloc::string::String;

use xen_sys::types::{Domid, GrantRef, Port};

use super::Address;
use crate::decimal;
use crate::hypervisor::Hypervisor;
use crate::xenstore::{Client, Error, ErrorKind, Permission, Request, Rights};

/// The longest path, from the root on, that libxenvchan can look into: its buffers hold 63 characters, 14 of which are
/// the longer name's.
pub const PATH_MAX: usize = 49;

/// What a guest's own directory, to which paths are relative, adds to one at most.
const HOME: &str = "/local/domain/32751/";

const PAGE: &str = "ring-ref";
const PORT: &str = "event-channel";

/// Shows domain `peer`, and no other, where the server is.
///
/// # Errors
/// [`ErrorKind::TooLong`] when a client with libxenvchan could not look there: beyond [`PATH_MAX`] from the root on. The
/// store's.
pub async fn publish<H: Hypervisor>(
    store: &Client<H>,
    directory: &str,
    peer: Domid,
    address: Address,
) -> Result<(), Error> {
    let from_the_root = if directory.starts_with('/') { 0 } else { HOME.len() };
    if from_the_root + directory.len() > PATH_MAX {
        return Err(Error::new(ErrorKind::TooLong, directory));
    }
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

/// Waits until the server shows where it is. `wait` is called before a wait.
///
/// # Errors
/// The store's.
pub async fn wait_for<H: Hypervisor>(
    store: &Client<H>,
    directory: &str,
    wait: impl FnOnce(),
) -> Result<Address, Error> {
    wait_until(store, directory, wait, async || find(store, directory).await).await
}

/// Waits until a node has a text. `wait` is called before a wait.
///
/// # Errors
/// The store's.
pub async fn wait_for_text<H: Hypervisor>(store: &Client<H>, path: &str, wait: impl FnOnce()) -> Result<String, Error> {
    let look = async || match store.read_text(path).await {
        Ok(text) => Ok(Some(text).filter(|text| !text.is_empty())),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    wait_until(store, path, wait, look).await
}

/// Looks whenever something changes at a path or below it. `wait` is called before a wait.
///
/// # Errors
/// The store's.
pub async fn wait_until<H: Hypervisor, T>(
    store: &Client<H>,
    path: &str,
    wait: impl FnOnce(),
    look: impl AsyncFn() -> Result<Option<T>, Error>,
) -> Result<T, Error> {
    let watch = store.watch(path).await?;
    let mut wait = Some(wait);
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if let Some(wait) = wait.take() {
            wait();
        }
        watch.changed().await;
    }
}

/// The domain to which a path from the root on belongs: who may write there, and so the server of a directory there.
#[must_use]
pub fn owner(path: &str) -> Option<Domid> {
    let (number, _) = path.strip_prefix("/local/domain/")?.split_once('/')?;
    u16::try_from(decimal::parse(number.as_bytes())?).ok().map(Domid)
}

/// A node's number. None where the node is not there, not for us yet, or says nothing of use.
async fn number<H: Hypervisor>(request: Request<'_, H>) -> Result<Option<u32>, Error> {
    match request.await {
        Ok(value) => Ok(decimal::parse(&value).filter(|number| *number != 0)),
        Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Denied) => Ok(None),
        Err(error) => Err(error),
    }
}

fn node(directory: &str, name: &str) -> String {
    [directory, "/", name].concat()
}
