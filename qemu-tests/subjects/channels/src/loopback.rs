//! Both ends in one guest.

use alloc::format;
use alloc::string::{String, ToString};

use channel::Peer;
use channel::layout::Layout;
use embassy_futures::join::join;
use xen_pv::platform::{Channels, Platform};
use xen_pv::vchan::{Address, NoChannel, directory};
use xen_sys::types::{Domid, GrantRef, Port};

use crate::Report;
use crate::pattern::{receive, send};

/// Each way through each channel: more than the largest ring holds.
const BYTES: u64 = 1_300_000;
/// Where the server is found, below the guest's own directory.
const DIRECTORY: &str = "data/vchan/channels";

/// Runs through channels of every size.
pub(crate) async fn run(platform: &'static Platform) -> Result<Report, String> {
    let channels = platform.channels();
    let own = channels.store().read_text("domid").await.map_err(|error| format!("domid: {error}"))?;
    let own = Domid(own.parse().map_err(|_| format!("the domain's number: {own}"))?);
    let mut report = Report { channels: 0, bytes: 0, kept: 0, refused: 0 };
    for order in 10..=20 {
        // The larger ring is the one from the server to the client.
        let layout = Layout::claimed(if order == 11 { 12 } else { 11 }, order).map_err(|unfit| unfit.to_string())?;
        report.bytes += exchange(channels, own, layout).await.map_err(|error| format!("order {order}: {error}"))?;
        report.channels += 1;
        report.kept += channels.kept_by_others() as u32;
    }
    report.refused = refused(channels, own)?;
    Ok(report)
}

/// Addresses at which nothing is.
fn refused(channels: &Channels, own: Domid) -> Result<u32, String> {
    let layout = Layout::claimed(10, 11).map_err(|unfit| unfit.to_string())?;
    let (_server, right) = channels.serve(own, layout).map_err(|error| error.to_string())?;
    let nothing = channels.connect(own, Address { page: GrantRef(1000), ..right });
    let nowhere = channels.connect(own, Address { port: Port(120), ..right });
    let refusals = [matches!(nothing, Err(NoChannel::NotMapped(_))), matches!(nowhere, Err(NoChannel::Event(_)))];
    Ok(refusals.map(u32::from).iter().sum())
}

/// Makes a channel, fills it from both ends at once, and closes it. Says how many bytes went through it.
async fn exchange(channels: &Channels, own: Domid, layout: Layout) -> Result<u64, String> {
    let store = channels.store();
    let (mut server, address) = channels.serve(own, layout).map_err(|error| error.to_string())?;
    directory::publish(store, DIRECTORY, own, address).await.map_err(|error| format!("publish: {error}"))?;
    let found = directory::find(store, DIRECTORY).await.map_err(|error| format!("find: {error}"))?;
    let mut client =
        channels.connect(own, found.ok_or("the server is not found")?).map_err(|error| error.to_string())?;
    if server.accept().await != Ok(true) {
        return Err(String::from("the client is not there"));
    }
    for half in 0..2 {
        let (sent, read) = if half == 0 {
            join(send(&mut server, BYTES), receive(&mut client, BYTES)).await
        } else {
            join(send(&mut client, BYTES), receive(&mut server, BYTES)).await
        };
        sent?;
        read?;
    }
    drop(client);
    if server.peer() != Ok(Peer::Gone) {
        return Err(String::from("the client is still there"));
    }
    drop(server);
    directory::withdraw(store, DIRECTORY).await.map_err(|error| format!("withdraw: {error}"))?;
    Ok(2 * BYTES)
}
