//! What a board keeps: images by digest, bounded, and whole whenever the power goes.
//!
//! ```text
//! blobs/<digest>       images, complete and checked
//! partial/<digest>     images on their way: a download goes on where it broke off
//! kept.json            what is here, whose it is, and what must stay; replaced as a whole
//! ```
//!
//! An image is written to `partial`, checked, made to last, and then renamed, so that a broken download never
//! replaces what worked. Then `kept.json` is replaced. What is not in it after a power cut is removed at the next
//! start.
//!
//! When room is needed, the release that was not used for longest goes. The one in use and the one before it, of each
//! task of each tenant, never go. The order of use is kept in memory and written along with other changes: a start
//! writes nothing to flash.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use protocol::{Digest, PublicKey, TaskName, Tenant, document};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::Error;
use crate::architecture::Architecture;
use crate::config::Config;
use crate::layout::{replace, sync_folder_of};
use crate::oci::{Descriptor, IMAGE, MOST_BLOB_BYTES};
use crate::signature::Trusted;
use crate::source::{Source, check, check_size};

/// A release that is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Its index's digest.
    pub digest: Digest,
    /// Whose it is.
    pub tenant: Tenant,
    /// The id of the key that had signed it.
    pub key: String,
    /// The task.
    pub task: TaskName,
    /// What it takes, gives and needs.
    pub config: Config,
    /// The image's digest.
    pub image: Digest,
    /// Its length.
    pub image_bytes: u64,
}

impl Kept {
    fn descriptor(&self) -> Descriptor {
        Descriptor { digest: self.image, size: self.image_bytes, ..Descriptor::of(IMAGE, b"") }
    }
}

/// The versions of a task that must stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InUse {
    tenant: Tenant,
    task: TaskName,
    now: Digest,
    before: Option<Digest>,
}

/// `kept.json`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    /// The one that was used last stands last.
    kept: Vec<Kept>,
    in_use: Vec<InUse>,
}

impl protocol::Document for List {
    const NAME: &'static str = "list of kept releases";
    const MOST_BYTES: usize = 16 * 1024 * 1024;
}

/// A board's store.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    most_bytes: u64,
    list: List,
    held: BTreeSet<Digest>,
}

impl Store {
    /// Opens a store of at most so many bytes of images, or makes one, and removes what an earlier life left
    /// unfinished.
    ///
    /// # Errors
    /// The folder cannot be used, or its list is damaged.
    pub fn open(folder: &Path, most_bytes: u64) -> Result<Self, Error> {
        for part in ["blobs", "partial"] {
            let part = folder.join(part);
            fs::create_dir_all(&part).map_err(Error::file(&part))?;
        }
        let path = folder.join("kept.json");
        let list = match fs::read(&path) {
            Ok(bytes) => document::decode(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => List::default(),
            Err(error) => return Err(Error::file(&path)(error)),
        };
        let store = Self { folder: folder.to_owned(), most_bytes, list, held: BTreeSet::new() };
        store.remove_unlisted()?;
        Ok(store)
    }

    /// What is kept, the one that was used last at the end.
    #[must_use]
    pub fn kept(&self) -> &[Kept] {
        &self.list.kept
    }

    /// Bytes of images that are kept, broken downloads included.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn bytes(&self) -> Result<u64, Error> {
        Ok(self.files("blobs")?.values().sum::<u64>() + self.files("partial")?.values().sum::<u64>())
    }

    /// A release that is kept, when it is the tenant's and one of these keys of the tenant had signed it: a key that
    /// was taken away takes along what it signed.
    #[must_use]
    pub fn find(&self, tenant: &Tenant, digest: Digest, keys: &[PublicKey]) -> Option<&Kept> {
        let of_tenant = |kept: &&Kept| kept.digest == digest && kept.tenant == *tenant;
        self.list.kept.iter().find(of_tenant).filter(|kept| keys.iter().any(|key| key.id() == kept.key))
    }

    /// Fetches the image of a release for a CPU, going on where an earlier try broke off. What is there already is
    /// not fetched again.
    ///
    /// # Errors
    /// The source fails (call again to go on), what it gives is damaged, or there is no room beside what must stay.
    pub fn fetch(
        &mut self,
        source: &(impl Source + ?Sized),
        trusted: &Trusted,
        architecture: Architecture,
    ) -> Result<Kept, Error> {
        let release = trusted.release();
        let wanted = release.image(source, architecture)?;
        let image = &wanted.image;
        check_size(image.size, MOST_BLOB_BYTES, || format!("the image {}", image.digest))?;
        if self.check_blob(image).is_err() {
            self.make_room(image)?;
            self.download(source, image)?;
        }
        let kept = Kept {
            digest: release.digest,
            tenant: release.tenant.clone(),
            key: trusted.key().to_owned(),
            task: release.task.clone(),
            config: wanted.config,
            image: image.digest,
            image_bytes: image.size,
        };
        self.list.kept.retain(|old| (old.digest, &old.tenant) != (kept.digest, &kept.tenant));
        self.list.kept.push(kept.clone());
        self.save()?;
        Ok(kept)
    }

    /// The file of a kept release's image, checked once more: flash forgets.
    ///
    /// # Errors
    /// It is not there or not what it was; then it is removed from the list and can be fetched again.
    pub fn image(&mut self, digest: Digest) -> Result<PathBuf, Error> {
        let found = self.list.kept.iter().position(|kept| kept.digest == digest);
        let missing = || Error::Missing { place: self.folder.display().to_string(), what: digest.to_string() };
        let position = found.ok_or_else(missing)?;
        let kept = self.list.kept.remove(position);
        if let Err(error) = self.check_blob(&kept.descriptor()) {
            self.list.kept.retain(|other| other.image != kept.image);
            self.save()?;
            self.remove_unlisted()?;
            return Err(error);
        }
        let path = self.path("blobs", kept.image);
        self.list.kept.push(kept);
        Ok(path)
    }

    /// Says that a task runs this release from now on. It and the one that it ran before stay until another one is
    /// used.
    ///
    /// # Errors
    /// It is not kept, or the list cannot be written.
    pub fn use_from_now_on(&mut self, tenant: &Tenant, task: &TaskName, digest: Digest) -> Result<(), Error> {
        let is_this = |kept: &Kept| kept.digest == digest && kept.tenant == *tenant && kept.task == *task;
        if !self.list.kept.iter().any(is_this) {
            let what = format!("{digest} of task \"{task}\" of tenant \"{tenant}\"");
            return Err(Error::Missing { place: self.folder.display().to_string(), what });
        }
        match self.list.in_use.iter_mut().find(|one| one.tenant == *tenant && one.task == *task) {
            Some(one) if one.now == digest => return Ok(()),
            Some(one) => one.before = Some(std::mem::replace(&mut one.now, digest)),
            None => {
                let (tenant, task) = (tenant.clone(), task.clone());
                self.list.in_use.push(InUse { tenant, task, now: digest, before: None });
            }
        }
        self.save()
    }

    /// Says that a task is not wanted any more: its releases stay while there is room.
    ///
    /// # Errors
    /// The list cannot be written.
    pub fn no_longer_use(&mut self, tenant: &Tenant, task: &TaskName) -> Result<(), Error> {
        self.list.in_use.retain(|one| one.tenant != *tenant || one.task != *task);
        self.save()
    }

    /// Says which images must stay besides, until this is said anew: those of commands that wait or run.
    pub fn hold(&mut self, images: BTreeSet<Digest>) {
        self.held = images;
    }

    fn path(&self, part: &str, digest: Digest) -> PathBuf {
        self.folder.join(part).join(digest.hex())
    }

    /// Files by name, with their lengths.
    fn files(&self, part: &str) -> Result<BTreeMap<String, u64>, Error> {
        let folder = self.folder.join(part);
        let list = || {
            fs::read_dir(&folder)?
                .map(|entry| {
                    let entry = entry?;
                    Ok((entry.file_name().to_string_lossy().into_owned(), entry.metadata()?.len()))
                })
                .collect::<io::Result<_>>()
        };
        list().map_err(Error::file(&folder))
    }

    fn save(&self) -> Result<(), Error> {
        replace(&self.folder.join("kept.json"), &document::encode(&self.list))
    }

    /// Compares an image's file with its digest.
    fn check_blob(&self, image: &Descriptor) -> Result<(), Error> {
        let path = self.path("blobs", image.digest);
        let what = || format!("the image {}", path.display());
        let mut hash = Sha256::new();
        let mut file = File::open(&path).map_err(Error::file(&path))?;
        let bytes = feed(&mut hash, &mut file).map_err(Error::file(&path))?;
        check(image, bytes, || Digest::from_sha256(hash.finalize().into()), what)
    }

    /// Removes images that are in no release.
    fn remove_unlisted(&self) -> Result<(), Error> {
        let listed: BTreeSet<_> = self.list.kept.iter().map(|kept| kept.image.hex()).collect();
        for name in self.files("blobs")?.into_keys().filter(|name| !listed.contains(name)) {
            let path = self.folder.join("blobs").join(name);
            fs::remove_file(&path).map_err(Error::file(&path))?;
        }
        Ok(())
    }

    /// Evicts until the image has room: broken downloads of others first, then releases, the one that was not used
    /// for longest first.
    fn make_room(&mut self, image: &Descriptor) -> Result<(), Error> {
        let here = |name: &str| name == image.digest.hex();
        let blobs = self.files("blobs")?;
        let is_pinned = |kept: &Kept| {
            self.list
                .in_use
                .iter()
                .any(|one| one.tenant == kept.tenant && (one.now == kept.digest || one.before == Some(kept.digest)))
        };
        let pinned_images: BTreeSet<_> =
            self.list.kept.iter().filter(|kept| is_pinned(kept)).map(|kept| kept.image.hex()).collect();
        let pinned_images: BTreeSet<_> = pinned_images.into_iter().chain(self.held.iter().map(Digest::hex)).collect();
        let is_pinned_blob = |name: &str| pinned_images.contains(name) && !here(name);
        let pinned = blobs.iter().filter(|(name, _)| is_pinned_blob(name)).map(|(_, bytes)| bytes).sum::<u64>();
        if pinned + image.size > self.most_bytes {
            return Err(Error::NoRoom { bytes: image.size, pinned, most: self.most_bytes });
        }
        let used = |store: &Self| -> Result<u64, Error> {
            let partial: u64 =
                store.files("partial")?.iter().filter(|(name, _)| !here(name)).map(|(_, bytes)| bytes).sum();
            let complete: u64 =
                store.files("blobs")?.iter().filter(|(name, _)| !here(name)).map(|(_, bytes)| bytes).sum();
            Ok(partial + complete)
        };
        if used(self)? + image.size > self.most_bytes {
            for name in self.files("partial")?.into_keys().filter(|name| !here(name)) {
                let path = self.folder.join("partial").join(name);
                fs::remove_file(&path).map_err(Error::file(&path))?;
            }
        }
        while used(self)? + image.size > self.most_bytes {
            let evicted = self.list.kept.iter().position(|kept| !pinned_images.contains(&kept.image.hex()));
            let Some(position) = evicted else {
                return Err(Error::NoRoom { bytes: image.size, pinned, most: self.most_bytes });
            };
            self.list.kept.remove(position);
            // First the list, then the file: what is listed is there.
            self.save()?;
            self.remove_unlisted()?;
        }
        Ok(())
    }

    /// Brings an image into `blobs`, by way of `partial`.
    fn download(&self, source: &(impl Source + ?Sized), image: &Descriptor) -> Result<(), Error> {
        let path = self.path("partial", image.digest);
        let mut hash = Sha256::new();
        let mut there = match File::open(&path) {
            Ok(mut file) => feed(&mut hash, &mut file).map_err(Error::file(&path))?,
            Err(_) => 0,
        };
        if there > image.size {
            (hash, there) = (Sha256::new(), 0);
        }
        let mut file = File::options().create(true).append(true).open(&path).map_err(Error::file(&path))?;
        if there == 0 {
            file.set_len(0).map_err(Error::file(&path))?;
        }
        if there < image.size {
            let mut reader = source.blob(image, there)?.take(image.size - there + 1);
            let mut piece = [0; 16 * 1024];
            loop {
                let count = reader.read(&mut piece).map_err(|reason| {
                    let what = format!("the blob {} in {}", image.digest, source.place());
                    Error::BrokenOff { what, there, bytes: image.size, reason }
                })?;
                if count == 0 {
                    break;
                }
                file.write_all(&piece[..count]).map_err(Error::file(&path))?;
                hash.update(&piece[..count]);
                there += count as u64;
            }
        }
        file.sync_all().map_err(Error::file(&path))?;
        let what = || format!("the blob {} in {}", image.digest, source.place());
        let checked = check(image, there, || Digest::from_sha256(hash.finalize().into()), what);
        match checked {
            // Going on later can still complete it.
            Err(Error::WrongSize { found, expected, .. }) if found < expected => return checked,
            Err(_) => {
                fs::remove_file(&path).map_err(Error::file(&path))?;
                return checked;
            }
            Ok(()) => {}
        }
        let complete = self.path("blobs", image.digest);
        fs::rename(&path, &complete).and_then(|()| sync_folder_of(&complete)).map_err(Error::file(&complete))
    }
}

/// The file of an image in a store's folder, compared with its digest: flash forgets. For who starts guests while
/// the store itself is busy with a download.
///
/// # Errors
/// It is not there, or not what it was.
pub fn image_file(folder: &Path, image: Digest) -> Result<PathBuf, Error> {
    let path = folder.join("blobs").join(image.hex());
    let mut hash = Sha256::new();
    let mut file = File::open(&path).map_err(Error::file(&path))?;
    feed(&mut hash, &mut file).map_err(Error::file(&path))?;
    let found = Digest::from_sha256(hash.finalize().into());
    if found != image {
        return Err(Error::Damaged { what: format!("the image {}", path.display()), expected: image, found });
    }
    Ok(path)
}

/// Puts all that a reader gives into a hash; how many bytes that were.
fn feed(hash: &mut Sha256, reader: &mut impl Read) -> io::Result<u64> {
    let mut piece = [0; 16 * 1024];
    let mut bytes = 0;
    loop {
        match reader.read(&mut piece)? {
            0 => return Ok(bytes),
            count => {
                hash.update(&piece[..count]);
                bytes += count as u64;
            }
        }
    }
}
