//! What was asked for, as a table for people or as JSON for programs.

use std::io::{self, Write};

use anyhow::{Context, Result};
use artifact::{Image, Release, Source};
use clap::ValueEnum;
use serde::Serialize;

/// How to print.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub enum Format {
    /// Aligned columns, for people.
    #[default]
    Table,
    /// One JSON document, for programs.
    Json,
}

/// An artifact as it is shown.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// Its name.
    digest: String,
    tenant: String,
    task: String,
    version: String,
    /// The id of the tenant's key that has signed it; missing where that was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_by: Option<String>,
    images: Vec<ShownImage>,
}

#[derive(Debug, Serialize)]
struct ShownImage {
    architecture: &'static str,
    bytes: u64,
    memory_mib: u32,
    digest: String,
}

impl Shown {
    /// Reads what is shown of a release.
    ///
    /// # Errors
    /// A part of it is missing or damaged.
    pub fn of(source: &(impl Source + ?Sized), release: &Release, signed_by: Option<&str>) -> Result<Self> {
        let mut images = Vec::new();
        for architecture in release.architectures() {
            let Image { config, image } = release.image(source, architecture)?;
            let (bytes, digest) = (image.size, image.digest.to_string());
            images.push(ShownImage { architecture: architecture.name(), bytes, memory_mib: config.memory_mib, digest });
        }
        Ok(Self {
            digest: release.digest.to_string(),
            tenant: release.tenant.to_string(),
            task: release.task.to_string(),
            version: release.version.clone(),
            signed_by: signed_by.map(str::to_owned),
            images,
        })
    }

    /// Prints it.
    ///
    /// # Errors
    /// Nobody reads it any more.
    pub fn print(&self, format: Format) -> Result<()> {
        match format {
            Format::Json => json(self),
            Format::Table => {
                let signed = self.signed_by.as_ref().map(|key| ["signed by".to_owned(), key.clone()]);
                let facts = [
                    ("digest", &self.digest),
                    ("tenant", &self.tenant),
                    ("task", &self.task),
                    ("version", &self.version),
                ];
                let facts = facts.map(|(name, value)| [name.to_owned(), value.clone()]);
                say(&table(&facts.into_iter().chain(signed).collect::<Vec<_>>()))?;
                let head = ["CPU", "BYTES", "MEMORY", "IMAGE"].map(str::to_owned);
                let rows = self.images.iter().map(|image| {
                    let memory = format!("{} MiB", image.memory_mib);
                    [image.architecture.to_owned(), image.bytes.to_string(), memory, image.digest.clone()]
                });
                say(&format!("\n{}", table(&std::iter::once(head).chain(rows).collect::<Vec<_>>())))
            }
        }
    }
}

/// Prints one JSON document.
///
/// # Errors
/// Nobody reads it any more.
pub fn json(document: &impl Serialize) -> Result<()> {
    say(&format!("{}\n", serde_json::to_string_pretty(document)?))
}

/// Prints text.
///
/// # Errors
/// Nobody reads it any more.
pub fn say(text: &str) -> Result<()> {
    io::stdout().write_all(text.as_bytes()).context("writing to stdout")
}

/// Rows with aligned columns.
#[must_use]
pub fn table<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let line = |row: &[String; COLUMNS]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a", "bcd", "e"], ["fg", "h", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), "a   bcd  e\nfg  h\n");
    }
}
