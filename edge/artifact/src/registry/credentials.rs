//! Names and passwords for registries, in the file that `docker login`, `oras login` and `skopeo login` write.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use base64ct::{Base64, Encoding};
use serde::Deserialize;

use crate::Error;

/// A name and a password.
pub(super) struct Credentials {
    /// The file in which they stand.
    pub(super) file: PathBuf,
    /// `name:password`.
    pair: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Credentials of {}", self.file.display())
    }
}

impl Credentials {
    /// The value of the header Authorization.
    pub(super) fn basic(&self) -> String {
        format!("Basic {}", Base64::encode_string(self.pair.as_bytes()))
    }
}

/// The parts of the file that matter here.
#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    /// `name:password` in base64.
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

/// What the file has for a registry.
pub(super) fn of(host: &str, path: &Path) -> Result<Option<Credentials>, Error> {
    let text = fs::read(path).map_err(Error::file(path))?;
    let wrong = |reason: String| Error::malformed(path.display().to_string(), reason);
    let file: File = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
    let entry = file.auths.iter().find(|(name, _)| is_of(name, host)).map(|(_, entry)| entry);
    if let Some(Entry { auth: Some(auth), .. }) = entry {
        let wrong_auth = |error: &dyn ToString| wrong(format!("auth of \"{host}\": {}", error.to_string()));
        let bytes = Base64::decode_vec(auth).map_err(|error| wrong_auth(&error))?;
        let pair = String::from_utf8(bytes).map_err(|error| wrong_auth(&error))?;
        return Ok(Some(Credentials { file: path.to_owned(), pair }));
    }
    if let Some(Entry { username: Some(name), password: Some(password), .. }) = entry {
        return Ok(Some(Credentials { file: path.to_owned(), pair: format!("{name}:{password}") }));
    }
    match file.helpers.get(host).or(entry.and(file.store.as_ref())) {
        // Programs of others are not run: on a board there is none, and nobody to type a password.
        Some(helper) => Err(wrong(format!(
            "the password for \"{host}\" is kept by docker-credential-{helper}, which is not asked: log in with a file \
             of its own, `oras login --registry-config FILE {host}`"
        ))),
        None => Ok(None),
    }
}

/// Whether an entry's name, which may be a URL, is of a registry.
fn is_of(name: &str, host: &str) -> bool {
    let name = name.strip_prefix("https://").or_else(|| name.strip_prefix("http://")).unwrap_or(name);
    name.split('/').next() == Some(host)
}

#[cfg(test)]
mod tests {
    use super::of;

    fn found(text: &str, host: &str) -> Result<Option<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, text).unwrap();
        let found = of(host, &path).map_err(|error| error.to_string())?;
        Ok(found.map(|credentials| credentials.pair))
    }

    #[test]
    fn what_other_programs_have_written_is_found_by_the_registrys_host() {
        // docker, oras and skopeo write the first form; the others stand in files of older and other programs.
        let text = r#"{"auths": {
            "registry.example:5000": {"auth": "YW5uOnM6ZWNyZXQ="},
            "https://other.example/v2/": {"username": "bob", "password": "p"},
            "third.example": {}}, "HttpHeaders": {}}"#;
        assert_eq!(found(text, "registry.example:5000").unwrap().unwrap(), "ann:s:ecret");
        assert_eq!(found(text, "other.example").unwrap().unwrap(), "bob:p");
        assert_eq!(found(text, "third.example").unwrap(), None);
        assert_eq!(found(text, "registry.example").unwrap(), None);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let kept = r#"{"auths": {"a.example": {}}, "credsStore": "pass", "credHelpers": {"b.example": "gcr"}}"#;
        assert!(found(kept, "a.example").unwrap_err().contains("kept by docker-credential-pass"));
        assert!(found(kept, "b.example").unwrap_err().contains("kept by docker-credential-gcr"));
        assert_eq!(found(kept, "c.example").unwrap(), None);
        assert!(found(r#"{"auths": {"a.example": {"auth": "%"}}}"#, "a.example").unwrap_err().contains("auth of"));
        assert!(found(r#"{"auths": []}"#, "a.example").unwrap_err().contains("config.json"));
    }
}
