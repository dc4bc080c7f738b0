//! Transport checksums of Ethernet frames, as pure functions over their bytes.
//!
//! A backend may hand out packets whose TCP or UDP checksum was never computed, and takes such packets as well: the
//! field then holds the sum of the pseudo-header only, which is what network hardware expects. The netif flags say so
//! packet by packet (`xen/include/public/io/netif.h`, `NETRXF_csum_blank`, `NETTXF_csum_blank`).
//!
//! Only whole IPv4 packets with TCP or UDP have such a checksum here; for all others these functions do nothing.

use core::ops::Range;

const ETHERNET_HEADER: usize = 14;
const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Where the transport checksum of a frame is, and over what.
struct Transport {
    protocol: u8,
    /// The TCP segment or UDP datagram.
    segment: Range<usize>,
    /// Where its checksum starts.
    field: usize,
    /// Sum of the pseudo-header, not folded.
    pseudo: u64,
}

/// Finds the transport checksum, if the frame is a whole IPv4 packet with TCP or UDP in it.
fn locate(frame: &[u8]) -> Option<Transport> {
    let (ethernet, ip) = frame.split_at_checked(ETHERNET_HEADER)?;
    if ethernet[12..] != ETHERTYPE_IPV4 {
        return None;
    }
    let header: &[u8; 20] = ip.first_chunk()?;
    let header_length = usize::from(header[0] & 0x0f) * 4;
    let total_length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    // A fragment holds only a part of what the checksum is over: any offset, or more to come.
    let fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3fff;
    let length = total_length.checked_sub(header_length)?;
    if header[0] >> 4 != 4 || header_length < 20 || total_length > ip.len() || fragment != 0 {
        return None;
    }
    let protocol = header[9];
    let (smallest, field) = match protocol {
        TCP => (20, 16),
        UDP => (8, 6),
        _ => return None,
    };
    if length < smallest {
        return None;
    }
    let start = ETHERNET_HEADER + header_length;
    let mut trailer = [0, protocol, 0, 0];
    trailer[2..].copy_from_slice(&u16::try_from(length).ok()?.to_be_bytes());
    let pseudo = sum(&header[12..20]) + sum(&trailer);
    Some(Transport { protocol, segment: start..start + length, field: start + field, pseudo })
}

/// Sum of the bytes as 16-bit words in the machine's order, not folded; an odd last byte is followed by a zero.
///
/// A sum in ones' complement is the same in either byte order, but for the order of its own bytes.
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum::<u64>() + u64::from(u32::from_ne_bytes(last))
}

/// Folds a sum to the 16 bits that go over the wire, as bytes.
fn fold(sum: u64) -> [u8; 2] {
    let mut folded = (sum >> 32) + (sum & 0xffff_ffff);
    while folded > 0xffff {
        folded = (folded >> 16) + (folded & 0xffff);
    }
    (folded as u16).to_ne_bytes()
}

/// Whether the frame's transport checksum is right. True as well for frames that have none.
#[must_use]
pub fn is_right(frame: &[u8]) -> bool {
    let Some(transport) = locate(frame) else { return true };
    if transport.protocol == UDP && frame[transport.field..transport.field + 2] == [0, 0] {
        return true;
    }
    fold(transport.pseudo + sum(&frame[transport.segment])) == [0xff, 0xff]
}

/// Computes the frame's transport checksum and writes it.
pub fn fill(frame: &mut [u8]) {
    let Some(transport) = locate(frame) else { return };
    let field = transport.field..transport.field + 2;
    frame[field.clone()].fill(0);
    let folded = fold(transport.pseudo + sum(&frame[transport.segment]));
    let checksum = [!folded[0], !folded[1]];
    // In UDP zero means that there is no checksum; the other zero of ones' complement stands for it.
    let checksum = if transport.protocol == UDP && checksum == [0, 0] { [0xff, 0xff] } else { checksum };
    frame[field].copy_from_slice(&checksum);
}

/// Writes the sum of the pseudo-header in the checksum's place, for the backend or its hardware to complete. Says
/// whether the frame has such a place.
#[must_use]
pub fn leave_blank(frame: &mut [u8]) -> bool {
    let Some(transport) = locate(frame) else { return false };
    frame[transport.field..transport.field + 2].copy_from_slice(&fold(transport.pseudo));
    true
}
