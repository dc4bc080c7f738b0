//! An OCI image layout: a folder that holds artifacts as a registry does, without one.
//!
//! Source: OCI image specification 1.1, image-layout.md.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use protocol::Digest;

use crate::Error;
use crate::oci::{self, Descriptor, INDEX, Index, MANIFEST, Manifest, REF_NAME_KEY};
use crate::source::{Reference, Source, Target, read_manifest};

/// The content of the file that says what the folder is.
const VERSION: &[u8] = b"{\"imageLayoutVersion\":\"1.0.0\"}";

/// A folder with artifacts.
#[derive(Debug, Clone)]
pub struct Layout {
    folder: PathBuf,
}

impl Layout {
    /// A folder that is there.
    ///
    /// # Errors
    /// It is none, or no image layout.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let marker = folder.join("oci-layout");
        fs::read(&marker).map_err(Error::file(&marker))?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// A folder that is there or is made.
    ///
    /// # Errors
    /// It cannot be made, or holds something else.
    pub fn create(folder: &Path) -> Result<Self, Error> {
        if folder.join("oci-layout").exists() {
            return Self::open(folder);
        }
        let blobs = folder.join("blobs/sha256");
        if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(Error::malformed(folder.display().to_string(), "not empty, and no OCI image layout"));
        }
        fs::create_dir_all(&blobs).map_err(Error::file(&blobs))?;
        let layout = Self { folder: folder.to_owned() };
        layout.write_index(&Index::of(Vec::new()))?;
        replace(&folder.join("oci-layout"), VERSION)?;
        Ok(layout)
    }

    fn blob_path(&self, digest: Digest) -> PathBuf {
        self.folder.join("blobs/sha256").join(digest.hex())
    }

    fn read_index(&self) -> Result<Index, Error> {
        let path = self.folder.join("index.json");
        let file = File::open(&path).map_err(Error::file(&path))?;
        let bytes = read_manifest(file, || path.display().to_string())?;
        oci::read(&bytes, || path.display().to_string())
    }

    fn write_index(&self, index: &Index) -> Result<(), Error> {
        replace(&self.folder.join("index.json"), &oci::write(index))
    }

    /// Lists a manifest in the folder's index: in place of what had its tag, or, without one, when it is not there.
    fn list(&self, entry: Descriptor) -> Result<(), Error> {
        let mut index = self.read_index()?;
        match entry.annotations.get(REF_NAME_KEY) {
            Some(tag) => index.manifests.retain(|old| old.annotations.get(REF_NAME_KEY) != Some(tag)),
            None if index.manifests.iter().any(|old| old.digest == entry.digest) => return Ok(()),
            None => {}
        }
        index.manifests.push(entry);
        self.write_index(&index)
    }
}

impl Source for Layout {
    fn place(&self) -> String {
        self.folder.display().to_string()
    }

    fn manifest(&self, reference: &Reference) -> Result<Option<Vec<u8>>, Error> {
        let digest = match reference {
            Reference::Digest(digest) => *digest,
            Reference::Tag(tag) => {
                let tag = tag.to_string();
                let listed = self.read_index()?.manifests;
                let tagged = listed.into_iter().find(|entry| entry.annotations.get(REF_NAME_KEY) == Some(&tag));
                let Some(entry) = tagged else { return Ok(None) };
                entry.digest
            }
        };
        let path = self.blob_path(digest);
        match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::file(&path)(error)),
            Ok(file) => read_manifest(file, || path.display().to_string()).map(Some),
        }
    }

    fn blob(&self, descriptor: &Descriptor, from: u64) -> Result<Box<dyn Read + '_>, Error> {
        let path = self.blob_path(descriptor.digest);
        if !path.exists() {
            return Err(Error::Missing { place: self.place(), what: format!("blob {}", descriptor.digest) });
        }
        let mut file = File::open(&path).map_err(Error::file(&path))?;
        file.seek(SeekFrom::Start(from)).map_err(Error::file(&path))?;
        Ok(Box::new(file))
    }

    fn referrers(&self, subject: Digest) -> Result<Vec<Descriptor>, Error> {
        let mut referrers = Vec::new();
        for entry in self.read_index()?.manifests {
            if entry.media_type != MANIFEST {
                continue;
            }
            let Some(bytes) = self.manifest(&Reference::Digest(entry.digest))? else { continue };
            let manifest: Manifest =
                oci::read(&bytes, || format!("the manifest {} in {}", entry.digest, self.place()))?;
            if manifest.subject.is_some_and(|of| of.digest == subject) {
                referrers.push(entry);
            }
        }
        Ok(referrers)
    }
}

impl Target for Layout {
    fn has_blob(&self, descriptor: &Descriptor) -> Result<bool, Error> {
        Ok(fs::metadata(self.blob_path(descriptor.digest)).is_ok_and(|file| file.len() == descriptor.size))
    }

    fn put_blob(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<(), Error> {
        replace(&self.blob_path(descriptor.digest), bytes)
    }

    fn put_manifest(&self, media_type: &str, bytes: &[u8], reference: &Reference) -> Result<(), Error> {
        let mut entry = Descriptor::of(media_type, bytes);
        replace(&self.blob_path(entry.digest), bytes)?;
        match reference {
            Reference::Tag(tag) => drop(entry.annotations.insert(REF_NAME_KEY.to_owned(), tag.to_string())),
            Reference::Digest(_) if media_type == INDEX => {}
            // What an index names needs no entry of its own.
            Reference::Digest(_) => return Ok(()),
        }
        if media_type == INDEX {
            entry.artifact_type = oci::read::<Index>(bytes, || "an index".to_owned())?.artifact_type;
        }
        self.list(entry)
    }

    fn put_referrer(&self, _: Digest, manifest: &Manifest) -> Result<Digest, Error> {
        let bytes = oci::write(manifest);
        let mut entry = Descriptor::of(MANIFEST, &bytes);
        entry.artifact_type = manifest.artifact_type.clone();
        let digest = entry.digest;
        replace(&self.blob_path(digest), &bytes)?;
        self.list(entry)?;
        Ok(digest)
    }
}

/// Writes a file so that, whenever the power goes, it has its old content or the new one.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), Error> {
    let new = path.with_extension("new");
    let write = || {
        let mut file = File::create(&new)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        sync_folder_of(path)
    };
    write().map_err(Error::file(path))
}

/// Makes names that were given or taken in the file's folder last.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
