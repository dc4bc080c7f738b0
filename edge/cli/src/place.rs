//! Where an artifact lies, as a person writes it.

use std::path::PathBuf;
use std::str::FromStr;

use artifact::{Access, Error, Layout, Reference, Registry, Tag, Target};
use protocol::Repository;

/// How a place in a folder is written.
const FOLDER: &str = "a folder is written as oci:FOLDER, oci:FOLDER:TAG or oci:FOLDER@sha256:...";

/// An artifact's place.
#[derive(Debug, Clone)]
pub struct Place {
    holder: Holder,
    /// Which of the artifacts there.
    pub reference: Reference,
}

#[derive(Debug, Clone)]
enum Holder {
    Folder(PathBuf),
    Registry(Repository),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("oci:") { Self::in_folder(text) } else { Self::in_registry(text) }
    }
}

impl Place {
    /// A place that must be in a folder.
    ///
    /// # Errors
    /// The text is none.
    pub fn in_folder(text: &str) -> Result<Self, String> {
        let (folder, reference) = split(text.strip_prefix("oci:").ok_or(FOLDER)?)?;
        if folder.is_empty() {
            return Err(FOLDER.to_owned());
        }
        Ok(Self { holder: Holder::Folder(folder.into()), reference })
    }

    /// A place that must be in a registry.
    ///
    /// # Errors
    /// The text is none.
    pub fn in_registry(text: &str) -> Result<Self, String> {
        if text.starts_with("oci:") {
            return Err("this is a folder; a registry is written as HOST/PATH, HOST/PATH:TAG or HOST/PATH@sha256:..."
                .to_owned());
        }
        let (repository, reference) = split(text)?;
        let repository = repository.parse().map_err(|error| format!("{error}; {FOLDER}"))?;
        Ok(Self { holder: Holder::Registry(repository), reference })
    }

    /// Opens what is there.
    ///
    /// # Errors
    /// The folder is no OCI image layout, or a file that `access` names cannot be used.
    pub fn open(&self, access: &Access) -> Result<Box<dyn Target>, Error> {
        Ok(match &self.holder {
            Holder::Folder(folder) => Box::new(Layout::open(folder)?),
            Holder::Registry(repository) => Box::new(Registry::new(repository.clone(), access)?),
        })
    }

    /// Opens what is there, or makes it.
    ///
    /// # Errors
    /// The folder cannot be made, or holds something else; as [`Place::open`].
    pub fn create(&self, access: &Access) -> Result<Box<dyn Target>, Error> {
        match &self.holder {
            Holder::Folder(folder) => Ok(Box::new(Layout::create(folder)?)),
            Holder::Registry(_) => self.open(access),
        }
    }

    /// The repository, when it is in a registry.
    #[must_use]
    pub fn repository(&self) -> Option<&Repository> {
        match &self.holder {
            Holder::Folder(_) => None,
            Holder::Registry(repository) => Some(repository),
        }
    }

    /// The tag, when it is named by one.
    #[must_use]
    pub fn tag(&self) -> Option<&Tag> {
        match &self.reference {
            Reference::Tag(tag) => Some(tag),
            Reference::Digest(_) => None,
        }
    }
}

/// Splits off what follows the place: a tag, a digest, or nothing, which means the tag "latest".
fn split(text: &str) -> Result<(&str, Reference), String> {
    if let Some((place, digest)) = text.split_once('@') {
        return Ok((place, Reference::Digest(digest.parse().map_err(|error| format!("{error}"))?)));
    }
    let (place, tag) = match text.rsplit_once(':') {
        // What follows the last colon of HOST:PORT/PATH is no tag.
        Some((place, tag)) if !tag.contains('/') => (place, tag),
        _ => (text, "latest"),
    };
    Ok((place, Reference::Tag(tag.parse::<Tag>().map_err(|error| error.to_string())?)))
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn folders_and_registries_are_told_apart_and_ports_from_tags() {
        for (text, reference) in [
            ("oci:tasks:hello", "tag \"hello\""),
            ("oci:/a/tasks", "tag \"latest\""),
            ("localhost:5000/acme/hello", "tag \"latest\""),
            ("localhost:5000/acme/hello:1.0", "tag \"1.0\""),
        ] {
            let place: Place = text.parse().unwrap();
            assert_eq!(place.reference.to_string(), reference, "{text}");
        }
        let digest = format!("sha256:{}", "0".repeat(64));
        let place: Place = format!("localhost:5000/acme/hello@{digest}").parse().unwrap();
        assert_eq!(place.reference.to_string(), digest);
    }

    #[test]
    fn what_is_no_place_is_refused_with_how_one_is_written() {
        assert!("oci:".parse::<Place>().unwrap_err().contains("oci:FOLDER"));
        assert!("hello".parse::<Place>().unwrap_err().contains("host[:port]/path"));
        assert!("h/hello@sha256:00".parse::<Place>().unwrap_err().contains("is not a digest"));
        assert!("h/hello:a b".parse::<Place>().unwrap_err().contains("a tag has"));
        assert!(Place::in_registry("oci:tasks").unwrap_err().contains("this is a folder"));
    }
}
