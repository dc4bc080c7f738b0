//! What a board keeps is whole, bounded, and survives whatever breaks off.

mod common;

use std::cell::{Cell, RefCell};
use std::fs;
use std::io::{self, Read};

use artifact::oci::Descriptor;
use artifact::{Architecture, Error, Kept, Reference, Source, Store, Trusted, sign, verify};
use common::{Folder, key, names, tenant};
use protocol::{Digest, SecretKey};
use tempfile::TempDir;

const CPU: Architecture = Architecture::Armv7;

/// A board with a store, and a folder that it fetches from.
struct Board {
    source: Folder,
    key: SecretKey,
    folder: TempDir,
    most_bytes: u64,
}

impl Board {
    fn new(most_bytes: u64) -> Self {
        Self { source: Folder::new(), key: key(), folder: tempfile::tempdir().unwrap(), most_bytes }
    }

    fn store(&self) -> Store {
        Store::open(self.folder.path(), self.most_bytes).unwrap()
    }

    /// A signed release of a task with an image of 1000 bytes.
    fn release(&self, task: &str, fill: u8) -> Trusted {
        let digest = self.source.task("acme", task, &[fill; 995]);
        sign(&self.source.layout, digest, &self.key).unwrap();
        verify(&self.source.layout, digest, &tenant("acme"), &[self.key.public()]).unwrap()
    }

    fn fetch(&self, store: &mut Store, release: &Trusted) -> Result<Kept, Error> {
        store.fetch(&self.source.layout, release, CPU)
    }

    fn blobs(&self) -> Vec<String> {
        names(&self.folder.path().join("blobs"))
    }

    fn image_of(&self, release: &Trusted) -> Digest {
        release.release().image(&self.source.layout, CPU).unwrap().image.digest
    }
}

fn digest(release: &Trusted) -> Digest {
    release.release().digest
}

/// A source whose blobs break off.
struct Breaking<'a> {
    source: &'a Folder,
    after: Cell<u64>,
    asked_from: RefCell<Vec<u64>>,
}

struct BreaksOff<R>(R, u64);

impl<R: Read> Read for BreaksOff<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.1 == 0 {
            return Err(io::Error::other("the line is dead"));
        }
        let most = buffer.len().min(usize::try_from(self.1).unwrap());
        let count = self.0.read(&mut buffer[..most])?;
        self.1 -= count as u64;
        Ok(count)
    }
}

impl Source for Breaking<'_> {
    fn place(&self) -> String {
        self.source.layout.place()
    }

    fn manifest(&self, reference: &Reference) -> Result<Option<Vec<u8>>, Error> {
        self.source.layout.manifest(reference)
    }

    fn blob(&self, descriptor: &Descriptor, from: u64) -> Result<Box<dyn Read + '_>, Error> {
        let whole = self.source.layout.blob(descriptor, from)?;
        // The config comes whole.
        if descriptor.media_type != artifact::oci::IMAGE {
            return Ok(whole);
        }
        self.asked_from.borrow_mut().push(from);
        Ok(Box::new(BreaksOff(whole, self.after.get())))
    }

    fn referrers(&self, subject: Digest) -> Result<Vec<Descriptor>, Error> {
        self.source.layout.referrers(subject)
    }
}

#[test]
fn a_fetched_image_is_found_by_its_tenant_and_key_only() {
    let board = Board::new(10_000);
    let release = board.release("hello", 1);
    let mut store = board.store();
    let kept = board.fetch(&mut store, &release).unwrap();
    assert_eq!(fs::read(store.image(kept.digest).unwrap()).unwrap(), [b"armv7", [1; 995].as_slice()].concat());
    let keys = [board.key.public()];
    assert_eq!(store.find(&tenant("acme"), kept.digest, &keys), Some(&kept));
    assert_eq!(store.find(&tenant("other"), kept.digest, &keys), None);
    assert_eq!(store.find(&tenant("acme"), kept.digest, &[key().public()]), None);
    // The next life of the board finds it too.
    assert_eq!(board.store().find(&tenant("acme"), kept.digest, &keys), Some(&kept));
}

#[test]
fn a_download_that_broke_off_goes_on_from_there_also_after_a_restart() {
    let board = Board::new(10_000);
    let release = board.release("hello", 1);
    let breaking = Breaking { source: &board.source, after: Cell::new(400), asked_from: RefCell::default() };
    let error = board.store().fetch(&breaking, &release, CPU).unwrap_err().to_string();
    assert!(error.contains("broke off after 400 of 1000 bytes: the line is dead"), "{error}");
    assert!(board.store().fetch(&breaking, &release, CPU).is_err());
    assert_eq!(board.blobs(), [] as [String; 0]);
    breaking.after.set(u64::MAX);
    let mut store = board.store();
    store.fetch(&breaking, &release, CPU).unwrap();
    assert_eq!(*breaking.asked_from.borrow(), [0, 400, 800]);
    assert!(store.image(digest(&release)).is_ok());
    // It is not fetched a second time.
    store.fetch(&breaking, &release, CPU).unwrap();
    assert_eq!(breaking.asked_from.borrow().len(), 3);
}

#[test]
fn a_damaged_download_is_refused_and_does_not_replace_what_worked() {
    let board = Board::new(10_000);
    let (old, new) = (board.release("hello", 1), board.release("hello", 2));
    let mut store = board.store();
    board.fetch(&mut store, &old).unwrap();
    let image = board.image_of(&new);
    board.source.change(image, |content| content[500] ^= 1);
    let error = board.fetch(&mut store, &new).unwrap_err();
    assert!(matches!(&error, Error::Damaged { expected, .. } if *expected == image), "{error}");
    assert!(store.image(digest(&old)).is_ok());
    // It is not gone on with: the next try begins anew and gets the right bytes.
    board.source.change(image, |content| content[500] ^= 1);
    board.fetch(&mut store, &new).unwrap();
}

#[test]
fn a_partial_file_that_the_flash_changed_is_found_out_and_fetched_anew() {
    let board = Board::new(10_000);
    let release = board.release("hello", 1);
    let breaking = Breaking { source: &board.source, after: Cell::new(400), asked_from: RefCell::default() };
    assert!(board.store().fetch(&breaking, &release, CPU).is_err());
    let partial = board.folder.path().join("partial").join(board.image_of(&release).hex());
    let mut content = fs::read(&partial).unwrap();
    content[7] ^= 1;
    fs::write(&partial, content).unwrap();
    let mut store = board.store();
    assert!(matches!(board.fetch(&mut store, &release), Err(Error::Damaged { .. })));
    board.fetch(&mut store, &release).unwrap();
}

#[test]
fn the_release_that_was_not_used_for_longest_goes_first() {
    let board = Board::new(3000);
    let mut store = board.store();
    let [a, b, c, d] = [("a", 1), ("b", 2), ("c", 3), ("d", 4)].map(|(task, fill)| board.release(task, fill));
    for release in [&a, &b, &c] {
        board.fetch(&mut store, release).unwrap();
    }
    store.image(digest(&a)).unwrap();
    board.fetch(&mut store, &d).unwrap();
    let kept: Vec<_> = store.kept().iter().map(|kept| kept.task.as_str()).collect();
    assert_eq!(kept, ["c", "a", "d"]);
    assert_eq!(store.bytes().unwrap(), 3000);
}

#[test]
fn the_version_in_use_and_the_one_before_it_stay() {
    let board = Board::new(3000);
    let mut store = board.store();
    let versions = [1, 2, 3, 4].map(|fill| board.release("hello", fill));
    for version in &versions[..3] {
        board.fetch(&mut store, version).unwrap();
        store.use_from_now_on(&tenant("acme"), version.task(), digest(version)).unwrap();
    }
    // In use: 3, before it: 2. The first one goes, whatever was used last.
    store.image(digest(&versions[0])).unwrap();
    board.fetch(&mut store, &versions[3]).unwrap();
    let kept: Vec<_> = store.kept().iter().map(|kept| kept.digest).collect();
    assert_eq!(kept, [1, 2, 3].map(|number| digest(&versions[number])));
    // Then another task has only the room of the one that is neither.
    let other = board.release("other", 9);
    board.fetch(&mut store, &other).unwrap();
    assert!(store.find(&tenant("acme"), digest(&versions[3]), &[board.key.public()]).is_none());
    // A restart keeps what is in use.
    assert!(board.store().image(digest(&versions[2])).is_ok());
}

#[test]
fn what_has_no_room_beside_what_must_stay_is_refused_with_the_numbers() {
    let board = Board::new(1999);
    let mut store = board.store();
    let (first, second) = (board.release("a", 1), board.release("b", 2));
    board.fetch(&mut store, &first).unwrap();
    store.use_from_now_on(&tenant("acme"), first.task(), digest(&first)).unwrap();
    let error = board.fetch(&mut store, &second).unwrap_err().to_string();
    assert_eq!(error, "the store has no room for 1000 bytes: 1000 of its 1999 are in use or kept to go back to");
    store.no_longer_use(&tenant("acme"), first.task()).unwrap();
    board.fetch(&mut store, &second).unwrap();
    assert_eq!(board.blobs(), [board.image_of(&second).hex()]);
}

#[test]
fn what_a_power_cut_left_behind_is_removed_at_the_next_start() {
    let board = Board::new(10_000);
    let release = board.release("hello", 1);
    board.fetch(&mut board.store(), &release).unwrap();
    // Cut between the file's new name and the list.
    fs::write(board.folder.path().join("blobs").join(Digest::of(b"x").hex()), b"x").unwrap();
    // Cut while the list was written anew.
    fs::write(board.folder.path().join("kept.new"), b"{\"kept\":").unwrap();
    let mut store = board.store();
    assert_eq!(board.blobs(), [board.image_of(&release).hex()]);
    assert!(store.image(digest(&release)).is_ok());
}

#[test]
fn an_image_that_the_flash_changed_is_not_booted_but_fetched_again() {
    let board = Board::new(10_000);
    let release = board.release("hello", 1);
    let mut store = board.store();
    board.fetch(&mut store, &release).unwrap();
    let path = store.image(digest(&release)).unwrap();
    let mut content = fs::read(&path).unwrap();
    content[3] ^= 1;
    fs::write(&path, content).unwrap();
    assert!(matches!(store.image(digest(&release)), Err(Error::Damaged { .. })));
    assert!(store.kept().is_empty());
    board.fetch(&mut store, &release).unwrap();
    assert!(store.image(digest(&release)).is_ok());
}
