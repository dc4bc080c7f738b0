//! Frames of the host at the other end of the cable, right on the outside and random within.

use std::net::Ipv4Addr;

use crate::input::Input;

pub(super) const OWN_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub(crate) const OWN_IP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub(super) const PEER_IP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

const ARP: [u8; 2] = [8, 6];
const IPV4: [u8; 2] = [8, 0];
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// Where an IPv4 packet without options has its payload in a frame.
const PAYLOAD: usize = 34;

fn frame(to: [u8; 6], kind: [u8; 2], payload: &[u8]) -> Vec<u8> {
    [&to[..], &PEER_MAC, &kind, payload].concat()
}

fn packet(to: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = (20 + payload.len() as u16).to_be_bytes();
    let mut packet = vec![0x45, 0, length[0], length[1], 0, 1, 0x40, 0, 64, protocol, 0, 0];
    packet.extend(PEER_IP.octets());
    packet.extend(to.octets());
    packet.extend(payload);
    packet
}

/// A frame to everybody with a datagram of a host of the network.
pub(crate) fn datagram(from: Ipv4Addr, source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let length = (8 + payload.len() as u16).to_be_bytes();
    let segment = [&source.to_be_bytes()[..], &destination.to_be_bytes(), &length, &[0, 0], payload].concat();
    let mut packet = packet(Ipv4Addr::BROADCAST, UDP, &segment);
    packet[12..16].copy_from_slice(&from.octets());
    let sum = packet[..20].chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum::<u32>();
    let sum = !((sum >> 16) + (sum & 0xffff)) as u16;
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    frame([0xff; 6], IPV4, &packet)
}

/// A frame to us with random contents of a known kind.
pub(super) fn ethernet(input: &mut Input<'_>) -> Vec<u8> {
    let to = input.choose(&[OWN_MAC, [0xff; 6]]);
    let kind = input.choose(&[ARP, IPV4]);
    frame(to, kind, input.piece())
}

/// A packet to us with random contents.
pub(super) fn ip(input: &mut Input<'_>) -> Vec<u8> {
    let to = input.choose(&[OWN_IP, Ipv4Addr::BROADCAST, Ipv4Addr::new(10, 0, 0, 255), Ipv4Addr::UNSPECIFIED]);
    let protocol = input.choose(&[ICMP, TCP, UDP, 2]);
    let mut packet = packet(to, protocol, input.piece());
    // Options, fragments, lengths that are wrong.
    for _ in 0..input.below(3) {
        packet[input.below(12)] = input.byte();
    }
    frame(OWN_MAC, IPV4, &packet)
}

/// The payload of a packet that we sent.
fn sent_payload(sent: &[u8], protocol: u8) -> Option<&[u8]> {
    let is = sent.get(12..14)? == IPV4 && *sent.get(14)? == 0x45 && *sent.get(23)? == protocol;
    sent.get(PAYLOAD..).filter(|_| is)
}

/// Who sent a packet, as the receiver of the answer.
fn sender(sent: &[u8]) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from(*sent.get(26..)?.first_chunk::<4>()?))
}

/// A segment that fits the connection of the last one, with random flags, numbers nearby, options and data. Without a
/// segment to answer, one that opens a connection to our server.
pub(super) fn tcp_reply(sent: &[u8], input: &mut Input<'_>) -> Option<Vec<u8>> {
    let open = [0, 7, 0x12, 0x34, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 0];
    let theirs = sent_payload(sent, TCP).unwrap_or(&open);
    let number = |at: usize| Some(u32::from_be_bytes(*theirs.get(at..)?.first_chunk()?));
    let header = usize::from(*theirs.get(12)? >> 4) * 4;
    let data = theirs.len().saturating_sub(header) as u32;
    let near = |input: &mut Input<'_>| i32::from(input.byte() as i8).wrapping_mul(1 << input.below(20)) as u32;
    let flags = input.byte();
    // A SYN and a FIN count like a byte.
    let syn = u32::from(theirs.get(13)? & 3 != 0);
    let seq = number(8)?.wrapping_add(if flags & 0x40 != 0 { near(input) } else { 0 });
    let ack = number(4)?.wrapping_add(data + syn).wrapping_add(if flags & 0x80 != 0 { near(input) } else { 0 });
    let window = input.word();
    let options = input.bytes(input_options(input));
    let mut segment = [theirs.get(2..4)?, theirs.get(..2)?, &seq.to_be_bytes(), &ack.to_be_bytes()].concat();
    segment.extend([(5 + options.len() / 4) as u8 * 16, flags & 0x3f]);
    segment.extend(window.to_be_bytes());
    segment.extend([0; 4]);
    segment.extend(options);
    segment.extend(input.piece());
    let to = sent_payload(sent, TCP).and_then(|_| sender(sent)).unwrap_or(OWN_IP);
    Some(frame(OWN_MAC, IPV4, &packet(to, TCP, &segment)))
}

/// Bytes of options that follow: whole words, if there are as many.
fn input_options(input: &Input<'_>) -> usize {
    let wanted = input.clone().below(11) * 4;
    if input.clone().rest().len() > wanted { wanted } else { 0 }
}

/// A datagram to the sender of the last one: its own bytes with some changed, as DHCP and DNS answers look, or random ones.
pub(super) fn udp_reply(sent: &[u8], input: &mut Input<'_>) -> Option<Vec<u8>> {
    let theirs = sent_payload(sent, UDP)?;
    let mut payload = theirs.get(8..)?.to_vec();
    if input.byte() & 1 == 0 {
        payload.truncate(2);
        payload.extend(input.piece());
    } else {
        for _ in 0..input.below(16) {
            let place = usize::from(input.word()) % payload.len().max(1);
            let byte = input.byte();
            payload.get_mut(place..place + 1)?.fill(byte);
        }
        // An answer of BOOTP, and one of DNS.
        payload[0] = input.choose(&[payload[0], 2]);
        if let Some(flags) = payload.get_mut(2) {
            *flags |= input.byte() & 0x80;
        }
        payload.extend(input.piece());
    }
    let length = (8 + payload.len() as u16).to_be_bytes();
    let segment = [theirs.get(2..4)?, theirs.get(..2)?, &length, &[0, 0], &payload].concat();
    let to = sender(sent).filter(|own| !own.is_unspecified()).unwrap_or(Ipv4Addr::BROADCAST);
    let hardware = if to.is_broadcast() { [0xff; 6] } else { OWN_MAC };
    Some(frame(hardware, IPV4, &packet(to, UDP, &segment)))
}

/// Asks for the owner of our address.
pub(super) fn arp_request() -> Vec<u8> {
    let ends = [&PEER_MAC[..], &PEER_IP.octets(), &[0; 6], &OWN_IP.octets()].concat();
    frame([0xff; 6], ARP, &[&[0, 1, 8, 0, 6, 4, 0, 1][..], &ends].concat())
}

pub(super) fn is_arp_reply(frame: &[u8]) -> bool {
    frame.get(..6) == Some(&PEER_MAC) && frame.get(12..14) == Some(&ARP) && frame.get(20..22) == Some(&[0, 2])
}

pub(super) fn ping() -> Vec<u8> {
    let echo = [8, 0, 0, 0, 0x12, 0x34, 0, 1, b'?'];
    frame(OWN_MAC, IPV4, &packet(OWN_IP, ICMP, &echo))
}

pub(super) fn is_pong(frame: &[u8]) -> bool {
    sent_payload(frame, ICMP).is_some_and(|echo| echo.first() == Some(&0) && echo.last() == Some(&b'?'))
}
