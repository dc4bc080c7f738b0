//! A stream of which each byte is known.

use alloc::format;
use alloc::string::{String, ToString};

use channel::{PIECE_BYTES, Pieces, Want};
use embassy_time::{Duration, Timer};
use xen_pv::hypervisor::Hypervisor;
use xen_pv::shared_page::Shared;
use xen_pv::vchan::Vchan;

/// After so many bytes of a stream the guest says that it is under way.
const SAID_AT: u64 = 1_000_000;

/// What a byte of the stream is.
fn byte(at: u64) -> u8 {
    (at as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]
}

/// Sends so many bytes.
pub(crate) async fn send<H: Hypervisor, S: Shared>(end: &mut Vchan<H, S>, bytes: u64) -> Result<(), String> {
    let mut piece = [0; 3001];
    let mut sent = 0;
    while sent < bytes {
        let count = (bytes - sent).min(piece.len() as u64) as usize;
        piece[..count].iter_mut().zip(sent..).for_each(|(place, at)| *place = byte(at));
        match end.write(&piece[..count]).map_err(|error| error.to_string())? {
            0 => wait(end, Want::Room(1), sent).await?,
            count => sent += count as u64,
        }
    }
    Ok(())
}

/// Receives so many, and looks at each.
pub(crate) async fn receive<H: Hypervisor, S: Shared>(end: &mut Vchan<H, S>, bytes: u64) -> Result<(), String> {
    let mut pieces = Pieces::new(PIECE_BYTES).ok_or("no memory")?;
    let mut received = 0;
    while received < bytes {
        let held = pieces.fill(end, 1).map_err(|error| error.to_string())?;
        if let Some((at, _)) = (received..).zip(held).find(|(at, value)| **value != byte(*at)) {
            return Err(format!("byte {at} is wrong"));
        }
        let count = held.len();
        match count {
            0 => wait(end, Want::Data(1), received).await?,
            count => pieces.consume(count),
        }
        let before = received;
        received += count as u64;
        if before < SAID_AT && received >= SAID_AT {
            kernel::println!("channels: under way");
        }
    }
    Ok(())
}

async fn wait<H: Hypervisor, S: Shared>(end: &mut Vchan<H, S>, want: Want, moved: u64) -> Result<(), String> {
    match end.wait(want, || Timer::after(Duration::from_secs(1))).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("the peer is gone after {moved} bytes")),
        Err(error) => Err(error.to_string()),
    }
}
