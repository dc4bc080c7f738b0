//! Transport checksums, against a plain computation and a known packet.

use xen_fake::frames::{ip_frame, tcp_frame, udp_frame};
use xen_fake::random::Random;
use xen_pv::netfront::checksum;

/// RFC 1071, word by word.
fn plain(frame: &[u8]) -> u16 {
    let segment = &frame[34..14 + usize::from(u16::from_be_bytes([frame[16], frame[17]]))];
    let mut bytes = frame[26..34].to_vec();
    bytes.extend([0, frame[23], (segment.len() >> 8) as u8, segment.len() as u8]);
    bytes.extend_from_slice(segment);
    if bytes.len() % 2 == 1 {
        bytes.push(0);
    }
    let sum: u64 = bytes.chunks(2).map(|word| u64::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    let mut folded = sum;
    while folded > 0xffff {
        folded = (folded >> 16) + (folded & 0xffff);
    }
    folded as u16
}

#[test]
fn a_known_packet_has_its_known_checksum() {
    // 10.0.0.1 to 10.0.0.2, UDP from 4660 to 7, payload "a": by hand 0a00+0001+0a00+0002 + 0011+0009 + 1234+0007+0009
    // + 6100 = 0x8761, and its complement.
    let frame = udp_frame(b"a", true);
    assert_eq!(frame[40..42], (!0x8761u16).to_be_bytes());
}

#[test]
fn filled_checksums_are_right_at_every_length() {
    let mut random = Random(0x1071_1071);
    for length in 0..300 {
        let payload: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        for frame in [udp_frame(&payload, true), tcp_frame(&payload, true)] {
            assert_eq!(plain(&frame), 0xffff, "{length}");
            assert!(checksum::is_right(&frame));
        }
    }
}

#[test]
fn any_changed_bit_of_the_segment_is_noticed() {
    let frame = tcp_frame(b"some payload of an odd length", true);
    for bit in 34 * 8..frame.len() * 8 {
        let mut changed = frame.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(!checksum::is_right(&changed), "bit {bit}");
    }
}

#[test]
fn padding_behind_the_packet_is_not_part_of_the_sum() {
    let mut frame = udp_frame(b"short", true);
    frame.extend([0xaa; 13]);
    assert!(checksum::is_right(&frame));
    let right = frame.clone();
    checksum::fill(&mut frame);
    assert_eq!(frame, right);
}

#[test]
fn a_udp_checksum_of_zero_means_none_and_is_never_written() {
    let mut frame = udp_frame(b"payload", true);
    frame[40..42].fill(0);
    assert!(checksum::is_right(&frame));
    // A payload for which the sum comes out as 0xffff.
    let mut frame = udp_frame(&[0, 0], true);
    let missing = u16::from_be_bytes([frame[40], frame[41]]);
    frame[42..44].copy_from_slice(&missing.to_be_bytes());
    checksum::fill(&mut frame);
    assert_eq!(frame[40..42], [0xff, 0xff]);
    assert!(checksum::is_right(&frame));
}

#[test]
fn a_tcp_checksum_of_zero_is_checked_like_any_other() {
    let mut frame = tcp_frame(b"payload", true);
    frame[50..52].fill(0);
    assert!(!checksum::is_right(&frame));
}

#[test]
fn a_blank_checksum_can_be_completed_over_the_segment() {
    // What network hardware does: sums the segment with what is in the field.
    let whole = tcp_frame(b"to be completed", true);
    let mut frame = whole.clone();
    assert!(checksum::leave_blank(&mut frame));
    let mut sum: u64 = frame[34..]
        .chunks(2)
        .map(|word| u64::from(u16::from_be_bytes([word[0], word.get(1).copied().unwrap_or(0)])))
        .sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    frame[50..52].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    assert_eq!(frame, whole);
}

#[test]
fn what_has_no_checksum_of_its_own_is_left_alone() {
    let whole = udp_frame(b"payload", true);
    let mut frames = vec![ip_frame(1, &[8, 0, 0, 0]), ip_frame(17, &[0; 7]), ip_frame(6, &[0; 19]), Vec::new()];
    // IPv6, ARP, a short header, a length beyond the frame, and fragments.
    let changes: [(usize, &[u8]); 7] = [
        (12, &[0x86, 0xdd]),
        (12, &[8, 6]),
        (14, &[0x44]),
        (14, &[0x65]),
        (16, &[0xff, 0xff]),
        (20, &[0x20, 0]),
        (20, &[0, 1]),
    ];
    for (at, bytes) in changes {
        let mut frame = whole.clone();
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        frames.push(frame);
    }
    for length in 0..42 {
        frames.push(whole[..length].to_vec());
    }
    for frame in frames {
        let mut changed = frame.clone();
        assert!(checksum::is_right(&frame));
        assert!(!checksum::leave_blank(&mut changed));
        checksum::fill(&mut changed);
        assert_eq!(changed, frame);
    }
}

#[test]
fn options_in_the_header_move_the_segment() {
    let whole = udp_frame(b"payload", true);
    let mut frame = whole[..34].to_vec();
    frame[14] = 0x46;
    frame[17] += 4;
    frame.extend([1, 1, 1, 1]);
    frame.extend(&whole[34..]);
    assert!(checksum::is_right(&frame));
    frame[50] ^= 1;
    assert!(!checksum::is_right(&frame));
}

#[test]
fn random_bytes_never_panic() {
    let mut random = Random(0xc0ff_ee00);
    for _ in 0..20_000 {
        let mut frame: Vec<u8> = (0..random.below(80)).map(|_| random.next() as u8).collect();
        if frame.len() > 15 {
            frame[12..14].copy_from_slice(&[8, 0]);
            frame[14] = 0x40 | frame[14] & 0xf;
        }
        let _ = checksum::is_right(&frame);
        let _ = checksum::leave_blank(&mut frame);
        checksum::fill(&mut frame);
    }
}
