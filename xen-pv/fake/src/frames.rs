//! Frames as a network has them.

use xen_pv::netfront::checksum;

/// An Ethernet frame with an IPv4 packet of this protocol, without the transport's checksum.
#[must_use]
pub fn ip_frame(protocol: u8, segment: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 34];
    frame[..6].copy_from_slice(&[0x00, 0x16, 0x3e, 1, 2, 3]);
    frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
    frame[12..14].copy_from_slice(&[8, 0]);
    let total = 20 + segment.len() as u16;
    frame[14..24].copy_from_slice(&[0x45, 0, (total >> 8) as u8, total as u8, 0, 1, 0x40, 0, 64, protocol]);
    frame[26..34].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
    let header: u32 = frame[14..34].chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    let folded = (header >> 16) + (header & 0xffff);
    frame[24..26].copy_from_slice(&(!(folded as u16)).to_be_bytes());
    frame.extend_from_slice(segment);
    frame
}

/// A UDP datagram in a frame, with a right checksum or a wrong one.
#[must_use]
pub fn udp_frame(payload: &[u8], right: bool) -> Vec<u8> {
    let length = (8 + payload.len() as u16).to_be_bytes();
    let mut segment = vec![0x12, 0x34, 0, 7, length[0], length[1], 0, 0];
    segment.extend_from_slice(payload);
    let mut frame = ip_frame(17, &segment);
    checksum::fill(&mut frame);
    if !right {
        frame[40] ^= 0x55;
    }
    frame
}

/// A TCP segment in a frame, with a right checksum or a wrong one.
#[must_use]
pub fn tcp_frame(payload: &[u8], right: bool) -> Vec<u8> {
    let mut segment = vec![0x12, 0x34, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x18, 0x10, 0, 0, 0, 0, 0];
    segment.extend_from_slice(payload);
    let mut frame = ip_frame(6, &segment);
    checksum::fill(&mut frame);
    if !right {
        frame[50] ^= 0x55;
    }
    frame
}
