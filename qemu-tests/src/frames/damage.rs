//! What can be wrong with a frame, each way once.

use super::{ETHERNET_BYTES, IPV4_BYTES, Path, repair};

/// The header bytes of an IPv4 packet with TCP, the longest of ours.
const HEADERS_BYTES: usize = ETHERNET_BYTES + IPV4_BYTES + 20;
/// Identification, flags and offset in an IPv4 header.
const IDENTIFICATION: usize = ETHERNET_BYTES + 4;
const FRAGMENT: usize = ETHERNET_BYTES + 6;
const MORE_FRAGMENTS: u16 = 1 << 13;

/// The frame with each byte after the Ethernet addresses set to other values, once with the checksums as they were,
/// which is a wrong checksum, and once with checksums that are right for it, which is a wrong field.
#[must_use]
pub fn corrupted(frame: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    // Who it is for stays right: another station's frames would not be looked at.
    for at in 12..frame.len().min(HEADERS_BYTES) {
        let byte = frame[at];
        for value in [0, 1, 0x7f, 0x80, 0xff, byte ^ 1, byte.wrapping_add(1), byte.wrapping_sub(1)] {
            let mut wrong = frame.to_vec();
            wrong[at] = value;
            let mut repaired = wrong.clone();
            repair(&mut repaired);
            frames.extend([wrong, repaired]);
        }
    }
    frames
}

/// The frame's beginnings of every length, from the bare Ethernet header on: Linux sends nothing shorter.
#[must_use]
pub fn cut(frame: &[u8]) -> Vec<Vec<u8>> {
    (ETHERNET_BYTES..frame.len()).map(|end| frame[..end].to_vec()).collect()
}

/// The frame with more behind it than its headers say, up to these many bytes.
#[must_use]
pub fn stretched(frame: &[u8], lengths: impl IntoIterator<Item = usize>) -> Vec<Vec<u8>> {
    let stretch = |length: usize| [frame, &vec![0xa5; length.saturating_sub(frame.len())]].concat();
    lengths.into_iter().map(stretch).collect()
}

/// Fragments of datagrams of which none is ever complete: holes, overlaps, an end before the beginning, more than 64
/// KiB in all.
#[must_use]
pub fn fragments(path: &Path, datagrams: u16) -> Vec<Vec<u8>> {
    let whole = path.udp([4000, 7], &[0x5a; 64]);
    let pieces = [(0, true), (4, true), (4, true), (6, true), (100, false), (90, false), (8191, true), (8191, false)];
    let piece = |(number, (offset, more)): (u16, (u16, bool))| {
        let mut frame = whole.clone();
        frame[IDENTIFICATION..IDENTIFICATION + 2].copy_from_slice(&number.to_be_bytes());
        let word = offset | if more { MORE_FRAGMENTS } else { 0 };
        frame[FRAGMENT..FRAGMENT + 2].copy_from_slice(&word.to_be_bytes());
        repair(&mut frame);
        frame
    };
    (0..datagrams).flat_map(|number| pieces.map(|place| (number, place))).map(piece).collect()
}

/// Frames for a station that hold nothing but pseudo-random bytes behind the Ethernet header, which names IPv4 and ARP
/// in turn.
#[must_use]
pub fn noise(path: &Path, count: u32) -> Vec<Vec<u8>> {
    let mut pattern = bed_agent::client::pattern::Pattern::new(u64::from(count));
    let frame = |number: u32| {
        let mut content = vec![0; 1 + number as usize * 37 % 1500];
        pattern.fill(&mut content);
        let [from, to] = path.macs;
        let kind: [u8; 2] = if number.is_multiple_of(2) { [8, 0] } else { [8, 6] };
        // Half of the IPv4 ones say so in their first byte too.
        if number.is_multiple_of(4) {
            content[0] = 0x45;
        }
        [&to[..], &from, &kind, &content].concat()
    };
    (0..count).map(frame).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::PATH;
    use super::*;

    #[test]
    fn damage_is_what_it_says() {
        let frame = PATH.udp([9, 7], b"payload");
        assert_eq!(cut(&frame).len(), frame.len() - ETHERNET_BYTES);
        assert!(cut(&frame).iter().all(|short| frame.starts_with(short)));
        assert_eq!(stretched(&frame, [60, 1514]).iter().map(Vec::len).collect::<Vec<_>>(), [60, 1514]);
        let wrong = corrupted(&frame);
        assert!(wrong.iter().all(|wrong| wrong.len() == frame.len() && wrong[..12] == frame[..12]));
        // A byte that is set to what it was is repaired to what it was: at most two ways of each byte's eight.
        let unchanged = wrong.iter().filter(|wrong| **wrong == frame).count();
        assert!(unchanged <= wrong.len() / 4, "{unchanged} of {}", wrong.len());
    }

    #[test]
    fn no_fragment_is_a_whole_datagram() {
        let fragments = fragments(&PATH, 3);
        assert_eq!(fragments.len(), 24);
        assert!(fragments.iter().all(|frame| frame[FRAGMENT] & 0x3f != 0 || frame[FRAGMENT + 1] != 0));
        assert_eq!(noise(&PATH, 40).len(), 40);
        assert!(noise(&PATH, 400).iter().all(|frame| frame.len() <= 1514));
    }
}
