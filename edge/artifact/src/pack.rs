//! From built images to an artifact.

use std::fs;
use std::path::{Path, PathBuf};

use description::Description;
use protocol::{Digest, Tenant, document};

use crate::Error;
use crate::architecture::Architecture;
use crate::config::{Config, Feature};
use crate::oci::{self, CONFIG, Descriptor, IMAGE, INDEX, Index, MANIFEST, Manifest};
use crate::source::{Reference, Target};

/// A task's image for one CPU, as `cargo xtask build-image` leaves it in `<architecture>/<task>/`.
#[derive(Debug, Clone, PartialEq)]
pub struct Built {
    /// For which CPU.
    pub architecture: Architecture,
    /// What it takes, gives and needs.
    pub config: Config,
    /// What Xen boots.
    pub image: Vec<u8>,
}

impl Built {
    /// Reads the images of a task below a folder such as `target/images`, for every CPU that it was built for.
    ///
    /// # Errors
    /// There is none, or one of its files cannot be read.
    pub fn all_of(images: &Path, task: &str) -> Result<Vec<Self>, Error> {
        let folder = |architecture: Architecture| images.join(architecture.name()).join(task);
        let there = Architecture::ALL.into_iter().filter(|architecture| folder(*architecture).is_dir());
        let built: Vec<_> = there.map(|one| Self::read(&folder(one), task, one)).collect::<Result<_, _>>()?;
        if built.is_empty() {
            let what = format!("image of \"{task}\": build it with `cargo xtask build-image {task}`");
            return Err(Error::Missing { place: images.display().to_string(), what });
        }
        Ok(built)
    }

    fn read(folder: &Path, task: &str, architecture: Architecture) -> Result<Self, Error> {
        let file = |extension: &str| folder.join(format!("{task}.{extension}"));
        let read = |path: &PathBuf| fs::read(path).map_err(Error::file(path));
        let elf = file("elf");
        let malformed = |error: String| Error::malformed(elf.display().to_string(), error);
        let symbols = read(&elf)?;
        let description = Description::from_elf(&symbols).map_err(|error| malformed(error.to_string()))?;
        let log_strings = console::strings(&symbols).map_err(|error| malformed(format!("{error:#}")))?;
        let cfg = file("cfg");
        let needs = Needs::of(&String::from_utf8_lossy(&read(&cfg)?))
            .map_err(|reason| Error::malformed(cfg.display().to_string(), reason))?;
        let config =
            Config::new(description, needs.memory_mib, needs.features).map_err(|error| malformed(error.to_string()))?;
        let config = Config { log_strings, ..config };
        Ok(Self { architecture, config, image: read(&file("img"))? })
    }
}

/// What an xl config asks of a board.
struct Needs {
    memory_mib: u32,
    features: Vec<Feature>,
}

impl Needs {
    fn of(cfg: &str) -> Result<Self, String> {
        let value = |wanted: &str| {
            let pairs = cfg.lines().filter_map(|line| line.split_once('='));
            pairs.map(|(key, value)| (key.trim(), value.trim())).find(|(key, _)| *key == wanted).map(|(_, value)| value)
        };
        let memory = value("memory").ok_or("without a line memory = ...")?;
        let memory_mib = memory.parse().map_err(|_| format!("memory = {memory}: not a whole number of MiB"))?;
        let features = value("vif").map(|_| Feature::Network).into_iter().collect();
        Ok(Self { memory_mib, features })
    }
}

/// Makes an artifact of a task's images and puts it into a folder or registry; its digest is its name from now on.
///
/// The same images give the same digest, wherever and whenever they are packed.
///
/// # Errors
/// The images are of different tasks or versions, or the target cannot be written.
pub fn pack(
    built: &[Built],
    tenant: &Tenant,
    target: &(impl Target + ?Sized),
    reference: Option<&Reference>,
) -> Result<Digest, Error> {
    let Some(first) = built.first() else {
        return Err(Error::Missing { place: "the list of images".to_owned(), what: "image".to_owned() });
    };
    let mut entries = Vec::new();
    for one in built {
        let name = |config: &Config| format!("{} {} for {}", config.task, config.task_version, one.architecture);
        if (&one.config.task, &one.config.task_version) != (&first.config.task, &first.config.task_version) {
            let other =
                format!("not of the same task and version as {} {}", first.config.task, first.config.task_version);
            return Err(Error::malformed(name(&one.config), other));
        }
        entries.push(put_image(one, target)?);
    }
    let mut index = Index::of(entries);
    index.artifact_type = Some(oci::TASK.to_owned());
    let notes = [
        (oci::TENANT_KEY, tenant.to_string()),
        (oci::TASK_KEY, first.config.task.to_string()),
        (oci::VERSION_KEY, first.config.task_version.clone()),
    ];
    index.annotations.extend(notes.map(|(key, value)| (key.to_owned(), value)));
    let bytes = oci::write(&index);
    let digest = Digest::of(&bytes);
    target.put_manifest(INDEX, &bytes, reference.unwrap_or(&Reference::Digest(digest)))?;
    Ok(digest)
}

/// Puts image, config and manifest of one CPU into the target.
fn put_image(one: &Built, target: &(impl Target + ?Sized)) -> Result<Descriptor, Error> {
    let config = document::encode(&one.config);
    let mut layer = Descriptor::of(IMAGE, &one.image);
    layer.annotations.insert(oci::TITLE_KEY.to_owned(), format!("{}.img", one.config.task));
    let manifest = Manifest::of(oci::TASK, Descriptor::of(CONFIG, &config), layer);
    target.put_blob(&manifest.config, &config)?;
    target.put_blob(&manifest.layers[0], &one.image)?;
    let bytes = oci::write(&manifest);
    let mut entry = Descriptor::of(MANIFEST, &bytes);
    target.put_manifest(MANIFEST, &bytes, &Reference::Digest(entry.digest))?;
    entry.artifact_type = Some(oci::TASK.to_owned());
    entry.platform = Some(one.architecture.platform());
    Ok(entry)
}
