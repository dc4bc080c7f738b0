//! Writes archives in cpio's "newc" format, which Linux takes as its first file system.
//!
//! The format: for each file a header of "070701" and thirteen numbers of eight hexadecimal digits, the name with a
//! zero byte, the content; name and content are padded to four bytes. A file named "TRAILER!!!" ends it. Directories
//! come before what is in them.

use std::collections::BTreeSet;

const DIRECTORY: u32 = 0o040_755;
const CHARACTER_DEVICE: u32 = 0o020_600;
const SYMBOLIC_LINK: u32 = 0o120_777;
const REGULAR: u32 = 0o100_000;

/// An archive being written, in memory. Paths are absolute; directories above a file come by themselves.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    names: BTreeSet<String>,
    inode: u32,
}

impl Archive {
    /// Adds a file with its permission bits. A path that is there already stays as it is.
    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.node(path, REGULAR | mode, (0, 0), content);
    }

    /// Adds a symbolic link. A path that is there already stays as it is.
    pub fn link(&mut self, path: &str, target: &str) {
        self.node(path, SYMBOLIC_LINK, (0, 0), target.as_bytes());
    }

    /// Adds an empty directory. A path that is there already stays as it is.
    pub fn directory(&mut self, path: &str) {
        self.node(path, DIRECTORY, (0, 0), &[]);
    }

    /// Adds a character device by its numbers. A path that is there already stays as it is.
    pub fn character_device(&mut self, path: &str, major: u32, minor: u32) {
        self.node(path, CHARACTER_DEVICE, (major, minor), &[]);
    }

    /// Whether the archive has this path.
    #[must_use]
    pub fn contains(&self, path: &str) -> bool {
        self.names.contains(path.trim_start_matches('/'))
    }

    /// Ends the archive.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn node(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        let path = path.trim_start_matches('/');
        if let Some((above, _)) = path.rsplit_once('/') {
            self.node(above, DIRECTORY, (0, 0), &[]);
        }
        if self.names.insert(path.to_owned()) {
            self.entry(path, mode, device, content);
        }
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.inode += 1;
        let (major, minor) = device;
        // inode, mode, user, group, links, time, size, device numbers of the disk (two), of the node (two), name's
        // length, checksum.
        let numbers =
            [self.inode, mode, 0, 0, 1, 0, content.len() as u32, 0, 0, major, minor, name.len() as u32 + 1, 0];
        self.bytes.extend_from_slice(b"070701");
        for number in numbers {
            self.bytes.extend_from_slice(format!("{number:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads an archive back: (name, mode, content) of each entry.
    fn read(mut bytes: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut entries = Vec::new();
        loop {
            let number = |index: usize| {
                let digits = std::str::from_utf8(&bytes[6 + 8 * index..14 + 8 * index]).unwrap();
                u32::from_str_radix(digits, 16).unwrap()
            };
            assert_eq!(&bytes[..6], b"070701");
            let (mode, size, name_size) = (number(1), number(6) as usize, number(11) as usize);
            let name = String::from_utf8(bytes[110..110 + name_size - 1].to_vec()).unwrap();
            assert_eq!(bytes[110 + name_size - 1], 0);
            let content = (110 + name_size).next_multiple_of(4);
            entries.push((name.clone(), mode, bytes[content..content + size].to_vec()));
            bytes = &bytes[(content + size).next_multiple_of(4)..];
            if name == "TRAILER!!!" {
                assert!(bytes.is_empty());
                return entries;
            }
        }
    }

    #[test]
    fn an_archive_reads_back_with_directories_before_their_files() {
        let mut archive = Archive::default();
        archive.file("/etc/xen/xl.conf", 0o644, b"12345");
        archive.link("/etc/link", "xen");
        archive.file("/etc/xen/xl.conf", 0o644, b"again");
        archive.character_device("/dev/console", 5, 1);
        assert!(archive.contains("/etc/xen") && !archive.contains("/etc/other"));
        let entries = read(&archive.finish());
        let names: Vec<_> = entries.iter().map(|(name, mode, _)| (name.as_str(), *mode)).collect();
        let expected = [
            ("etc", 0o040_755),
            ("etc/xen", 0o040_755),
            ("etc/xen/xl.conf", 0o100_644),
            ("etc/link", 0o120_777),
            ("dev", 0o040_755),
            ("dev/console", 0o020_600),
            ("TRAILER!!!", 0),
        ];
        assert_eq!(names, expected);
        assert_eq!((entries[2].2.as_slice(), entries[3].2.as_slice()), (&b"12345"[..], &b"xen"[..]));
    }
}
