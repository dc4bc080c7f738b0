//! dom0's kernel out of Debian's compressed image.
//!
//! Xen and the image itself could unpack it, but the emulated CPU takes seconds for that.

pub mod armv7;
pub mod x86_64;

use anyhow::{Context, Result};
use lzma_rust2::XzReader;
use std::io::Read;

const XZ_MAGIC: &[u8] = b"\xfd7zXZ\0";

/// Unpacks an xz stream; what follows it is left (images have the unpacked size there).
fn unpack(stream: &[u8]) -> Result<Vec<u8>> {
    let mut kernel = Vec::new();
    XzReader::new(stream, false).read_to_end(&mut kernel).context("unpack the kernel")?;
    Ok(kernel)
}
