//! One end, with somebody else at the other: first the server sends, then the client.

use alloc::format;
use alloc::string::{String, ToString};

use channel::layout::Layout;
use embassy_time::Timer;
use kernel::println;
use xen_pv::platform::{Channels, Platform};
use xen_pv::vchan::directory;
use xen_sys::types::Domid;

use crate::pattern::{receive, send};
use crate::{Report, Role};

/// Where the guest is told of its peer, as soon as somebody knows it.
const PEER: &str = "data/channel";
/// How often the guest looks whether its pages have come back.
const LOOKS: usize = 300;

/// Makes a channel of each order, one after the other.
pub(crate) async fn run(role: Role, bytes: u64, orders: &[u16], platform: &'static Platform) -> Result<Report, String> {
    let channels = platform.channels();
    let wait = || println!("channels: waiting for {PEER}");
    let peer = directory::wait_for_text(channels.store(), PEER, wait).await.map_err(|error| error.to_string())?;
    let mut report = Report { channels: 0, bytes: 0, kept: 0, refused: 0 };
    for order in orders {
        let outcome = match role {
            Role::Client => client(channels, &peer, *order, bytes).await,
            _ => server(channels, &peer, *order, bytes).await,
        };
        outcome.map_err(|error| format!("order {order}: {error}"))?;
        report.channels += 1;
        report.bytes += bytes;
    }
    // A client lets go when it has seen that the server has closed.
    for _ in 0..LOOKS {
        report.kept = channels.kept_by_others() as u32;
        if report.kept == 0 {
            break;
        }
        Timer::after_millis(100).await;
    }
    Ok(report)
}

async fn server(channels: &Channels, peer: &str, order: u16, bytes: u64) -> Result<(), String> {
    let peer = Domid(peer.parse().map_err(|_| format!("no domain {peer}"))?);
    let layout = Layout::claimed(if order == 11 { 12 } else { 11 }, order).map_err(|unfit| unfit.to_string())?;
    let (mut end, address) = channels.serve(peer, layout).map_err(|error| error.to_string())?;
    let path = format!("data/vchan/{}/{order}", peer.0);
    let store = channels.store();
    directory::publish(store, &path, peer, address).await.map_err(|error| error.to_string())?;
    println!("channels: serving {order}");
    let moved = async {
        send(&mut end, bytes).await?;
        receive(&mut end, bytes).await
    };
    let outcome = moved.await;
    drop(end);
    directory::withdraw(store, &path).await.map_err(|error| error.to_string())?;
    outcome
}

async fn client(channels: &Channels, base: &str, order: u16, bytes: u64) -> Result<(), String> {
    let path = format!("{base}/{order}");
    let peer = directory::owner(&path).ok_or_else(|| format!("no path {path}"))?;
    let wait = || println!("channels: waiting for {path}");
    let address = directory::wait_for(channels.store(), &path, wait).await.map_err(|error| error.to_string())?;
    let mut end = channels.connect(peer, address).map_err(|error| error.to_string())?;
    receive(&mut end, bytes).await?;
    send(&mut end, bytes).await?;
    // The server closes when it has all.
    end.wait(channel::Want::Data(1), || Timer::after_secs(1)).await.map_err(|error| error.to_string())?;
    Ok(())
}
