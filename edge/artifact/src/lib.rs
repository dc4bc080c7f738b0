//! A task as an OCI artifact: packed, moved, signed, verified and kept.
//!
//! An artifact is an OCI index with one manifest for each CPU; a manifest has a [`Config`] (what the task takes and
//! gives, what it needs) and one layer, the image that Xen boots. Its name is the index's digest. [`pack`] makes one
//! of built images; [`copy`] moves one with its signatures between two [`Source`]s, which are a folder ([`Layout`])
//! or a registry ([`Registry`]); [`signature`] says whose it is; [`Store`] keeps what a board runs. What comes from
//! elsewhere is hostile until its digest, and the index's until its signature, was checked.
//!
//! Sources: OCI image specification 1.1 and distribution specification 1.1.

#![forbid(unsafe_code)]

mod architecture;
mod config;
mod copy;
mod error;
mod layout;
pub mod oci;
mod pack;
mod registry;
mod release;
pub mod signature;
mod source;
mod store;

pub use architecture::Architecture;
pub use config::{Config, Feature};
pub use copy::copy;
pub use error::Error;
pub use layout::Layout;
pub use pack::{Built, pack};
pub use registry::{Access, Registry};
pub use release::{Image, Release};
pub use signature::{Trusted, sign, verify};
pub use source::{Reference, Source, Tag, Target};
pub use store::{Kept, Store, image_file};
