//! {name}: tells whoever connects how many bytes they sent, until it is asked to end.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::format;
use alloc::string::String;

use embassy_futures::select::{Either, select};
use embedded_io_async::{Read, Write};
use kernel::Networked;
use kernel::net::{Network, TcpAccept};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

/// What the task is told.
#[derive(Deserialize, Schema)]
pub struct Parameters {
    /// The TCP port: port=7000
    pub port: u16,
}

/// What the task did.
#[derive(Debug, Default, PartialEq, Serialize, Schema)]
pub struct Report {
    /// Connections that were answered.
    pub answered: u32,
    /// Bytes that came over them.
    pub bytes: u64,
}

/// The task.
///
/// # Errors
/// The port cannot be used, or no connection can be accepted.
pub async fn run(parameters: Parameters, system: &impl Networked) -> Result<Report, String> {
    let mut report = Report::default();
    let served = serve(parameters.port, system.network(), &mut report);
    match select(system.stop_requested(), served).await {
        Either::First(_) => Ok(report),
        Either::Second(error) => Err(error),
    }
}

/// Answers one connection after the other, until none can be had; says why.
async fn serve(port: u16, network: &impl Network, report: &mut Report) -> String {
    let address = network.configured().await;
    let listener = match network.listen(port, 4).await {
        Ok(listener) => listener,
        Err(error) => return format!("no TCP on port {port}: {error}"),
    };
    kernel::println!("{name}: listening on {address}:{port}");
    loop {
        let mut connection = match listener.accept().await {
            Ok((_, connection)) => connection,
            Err(error) => return format!("no connection: {error}"),
        };
        // A peer that is gone takes no answer; there is nobody to tell.
        if let Ok(bytes) = answer(&mut connection).await {
            report.answered += 1;
            report.bytes += bytes;
        }
    }
}

/// Counts what comes until the peer has said all, and tells it.
async fn answer<C: Read + Write>(connection: &mut C) -> Result<u64, C::Error> {
    let mut chunk = [0; 512];
    let mut bytes = 0;
    while let length @ 1.. = connection.read(&mut chunk).await? {
        bytes += length as u64;
    }
    connection.write_all(format!("{bytes} bytes\n").as_bytes()).await?;
    connection.flush().await?;
    Ok(bytes)
}
