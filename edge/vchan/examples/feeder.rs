//! Feeds a guest with a file of readings: `feeder <domain> <file> [KiB of the ring]`, in dom0.
//!
//! The guest finds the channel by the node `data/feed` of its directory in xenstore.

#![forbid(unsafe_code)]

use std::error::Error;
use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use feed_files::Form;
use vchan::{Layout, Order};

/// How long the guest may take to come.
const PATIENCE: Duration = Duration::from_secs(600);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("feeder: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (domain, file, ring_kib): (u16, _, usize) = match &words[..] {
        [domain, file] => (domain.parse()?, file, 256),
        [domain, file, ring] => (domain.parse()?, file, ring.parse()?),
        _ => return Err("usage: feeder <domain> <file> [KiB of the ring]".into()),
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64();
    let feed = Form::of(Path::new(file))?.feed(&std::fs::read(file)?, now)?;
    let ring = Order::holding(ring_kib * 1024).ok_or("no ring has more than 1024 KiB")?;
    // What comes back is short; two rings in the first page must differ.
    let other = Order::holding(2048).filter(|other| *other != ring).unwrap_or(Order::SMALLEST);
    let layout = Layout::new(other, ring)?;

    let directory = format!("/local/domain/0/data/vchan/{domain}/feed");
    let mut end = vchan::serve(domain, &directory, layout)?;
    xenstore::Client::new().write(&format!("/local/domain/{domain}/data/feed"), directory.as_bytes())?;
    if !end.accept(PATIENCE)? {
        return Err("the guest has not come".into());
    }
    end.write_all(&feed)?;
    println!("feeder: {} bytes", feed.len());
    // Until the guest is done with them.
    let left = end.read_to_end(&mut Vec::new())?;
    println!("feeder: the guest has closed after {left} bytes");
    Ok(())
}
