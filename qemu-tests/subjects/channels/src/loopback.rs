//! Both ends in one guest.

use alloc::format;
use alloc::string::{String, ToString};

use channel::layout::Layout;
use channel::{PIECE_BYTES, Peer, Pieces, Want};
use embassy_futures::join::join;
use embassy_time::{Duration, Timer};
use xen_pv::hypervisor::Hypervisor;
use xen_pv::platform::{Channels, Platform};
use xen_pv::shared_page::Shared;
use xen_pv::vchan::{Address, NoChannel, Vchan, directory};
use xen_sys::types::{Domid, GrantRef, Port};

use crate::{Parameters, Report};

/// Each way through each channel: more than the largest ring holds.
const BYTES: usize = 1_300_000;
/// Where the server is found, below the guest's own directory.
const DIRECTORY: &str = "data/vchan/channels";

/// Runs through channels of every size.
///
/// # Errors
/// What went wrong, in words.
pub async fn run(_parameters: Parameters, platform: &'static Platform) -> Result<Report, String> {
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
            join(send(&mut server), receive(&mut client)).await
        } else {
            join(send(&mut client), receive(&mut server)).await
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
    Ok(2 * BYTES as u64)
}

/// What a byte of the stream is.
fn byte(at: usize) -> u8 {
    (at as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]
}

async fn send<H: Hypervisor, S: Shared>(end: &mut Vchan<H, S>) -> Result<(), String> {
    let mut piece = [0; 3001];
    let mut sent = 0;
    while sent < BYTES {
        let count = piece.len().min(BYTES - sent);
        piece[..count].iter_mut().enumerate().for_each(|(index, place)| *place = byte(sent + index));
        match end.write(&piece[..count]).map_err(|error| error.to_string())? {
            0 => wait(end, Want::Room(1)).await?,
            count => sent += count,
        }
    }
    Ok(())
}

async fn receive<H: Hypervisor, S: Shared>(end: &mut Vchan<H, S>) -> Result<(), String> {
    let mut pieces = Pieces::new(PIECE_BYTES).ok_or("no memory")?;
    let mut received = 0;
    while received < BYTES {
        let held = pieces.fill(end, 1).map_err(|error| error.to_string())?;
        if let Some(index) = held.iter().enumerate().position(|(index, value)| *value != byte(received + index)) {
            return Err(format!("byte {} is wrong", received + index));
        }
        match held.len() {
            0 => wait(end, Want::Data(1)).await?,
            count => {
                received += count;
                pieces.consume(count);
            }
        }
    }
    Ok(())
}

async fn wait<H: Hypervisor, S: Shared>(end: &mut Vchan<H, S>, want: Want) -> Result<(), String> {
    match end.wait(want, || Timer::after(Duration::from_secs(1))).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(String::from("the peer is gone")),
        Err(error) => Err(error.to_string()),
    }
}
