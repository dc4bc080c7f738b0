//! JSON documents, read strictly and written in one way.

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// A type that is the whole of a document.
pub trait Document: Serialize + DeserializeOwned {
    /// What the document is called in messages.
    const NAME: &'static str;
    /// The most bytes that are looked at.
    const MOST_BYTES: usize;
}

/// Why bytes are not a document.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DocumentError {
    /// Longer than any of its kind.
    #[error("the {document} has {bytes} bytes, more than the {most} that are read")]
    TooLong {
        /// What was expected.
        document: &'static str,
        /// Its length.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// Not JSON, or not this document.
    #[error("the {document} cannot be read{}: {reason}", place(path))]
    Malformed {
        /// What was expected.
        document: &'static str,
        /// Where the error is, such as `contract.sensors[1].kind`; empty for the whole.
        path: String,
        /// What is wrong there, with line and column.
        reason: String,
    },
}

fn place(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!(" at {path}") }
}

/// Reads a document.
///
/// # Errors
/// It is too long, is not JSON, has a field that is unknown or is there twice, or a value that its type forbids.
pub fn decode<D: Document>(bytes: &[u8]) -> Result<D, DocumentError> {
    if bytes.len() > D::MOST_BYTES {
        return Err(DocumentError::TooLong { document: D::NAME, bytes: bytes.len(), most: D::MOST_BYTES });
    }
    let malformed = |path: String, error: serde_json::Error| DocumentError::Malformed {
        document: D::NAME,
        path: if path == "." { String::new() } else { path },
        reason: error.to_string(),
    };
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let document = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| malformed(error.path().to_string(), error.into_inner()))?;
    reader.end().map_err(|error| malformed(String::new(), error))?;
    Ok(document)
}

/// Writes a document: fields in the order of their declaration, maps sorted by key, no white space, no floating point
/// numbers. Equal values become equal bytes.
///
/// # Panics
/// Never: the keys of all maps are text, and writing to memory does not fail.
#[must_use]
pub fn encode<D: Document>(document: &D) -> Vec<u8> {
    serde_json::to_vec(document).expect("maps have text as keys")
}
