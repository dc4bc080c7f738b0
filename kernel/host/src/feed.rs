//! A file as a task's feed.

use std::fmt::Display;
use std::path::Path;

use feed_files::Form;
use kernel::feed::{Error, Source};

/// A feed that was made of a file, all at once.
pub struct FileFeed {
    bytes: Vec<u8>,
    /// What was consumed.
    start: usize,
}

impl FileFeed {
    /// Reads a file.
    pub(crate) fn read(file: &Path, now: f64) -> Result<Self, Error> {
        let none = |why: &dyn Display| Error::None(format!("{}: {why}", file.display()));
        let form = Form::of(file).map_err(|error| Error::None(error.to_string()))?;
        let content = std::fs::read(file).map_err(|error| none(&error))?;
        let bytes = form.feed(&content, now).map_err(|error| none(&error))?;
        Ok(Self { bytes, start: 0 })
    }
}

impl Source for FileFeed {
    fn held(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    async fn fill(&mut self, _wanted: usize) -> Result<bool, Error> {
        Ok(false)
    }

    fn consume(&mut self, count: usize) {
        self.start += count;
    }
}
