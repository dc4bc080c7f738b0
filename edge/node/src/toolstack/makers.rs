//! What makes domains: hypercalls where they were tried, `xl` everywhere, and for whatever hypercalls cannot make.

use std::path::Path;

use protocol::Cpu;
use xenstore::Client;

use super::direct::Direct;
use super::domains::{Condition, Domain, Domains};
use super::xl::Xl;
use super::{Choice, Error, Options};
use crate::log::{self, Level};
use crate::{GuestId, GuestSpec};

/// Both of them.
pub(super) struct Makers {
    direct: Option<Direct>,
    xl: Xl,
    /// Why the last guest was left to `xl`; nothing when it was not.
    said: String,
}

impl Makers {
    /// Takes the board, and says what makes domains.
    ///
    /// # Errors
    /// Another node has the board.
    pub(super) fn new(options: Options) -> Result<Self, Error> {
        let direct = match options.toolstack {
            Choice::Auto => Direct::open(&options.bridge).map_err(|error| error.to_string()),
            Choice::Xl => Err("the config says so".to_owned()),
        };
        let xl = Xl::new(options)?;
        match &direct {
            Ok(_) => log::say(Level::Info, "guests are made by hypercalls"),
            Err(why) => log::say(Level::Info, &format!("guests are made by xl: {why}")),
        }
        Ok(Self { direct: direct.ok(), xl, said: String::new() })
    }

    /// The one for what is not making.
    fn usual(&mut self) -> &mut dyn Domains {
        match &mut self.direct {
            Some(direct) => direct,
            None => &mut self.xl,
        }
    }
}

impl Domains for Makers {
    fn list(&mut self) -> Result<Vec<Domain>, Error> {
        self.usual().list()
    }

    fn memory_free_kib(&mut self) -> Result<u64, Error> {
        self.usual().memory_free_kib()
    }

    fn make(&mut self, guest: &GuestSpec, image: &Path, store: &mut Client) -> Result<u16, Error> {
        let Some(direct) = &mut self.direct else { return self.xl.make(guest, image, store) };
        let error = match direct.make(guest, image, store) {
            Ok(domain) => {
                self.said.clear();
                return Ok(domain);
            }
            Err(error) => error,
        };
        // A guest is never made twice.
        let is_left = |domain: &Domain| domain.id == guest.id && domain.condition != Condition::Dying;
        if direct.list()?.iter().any(is_left) {
            return Err(error);
        }
        // The same trouble once.
        let why = error.to_string();
        if why != self.said {
            log::say(Level::Warning, &format!("a guest is made by xl, because hypercalls cannot: {why}"));
            self.said = why;
        }
        self.xl.make(guest, image, store)
    }

    fn unpause(&mut self, domain: u16) -> Result<(), Error> {
        self.usual().unpause(domain)
    }

    fn set_cpu(&mut self, domain: u16, cpu: Cpu) -> Result<(), Error> {
        self.usual().set_cpu(domain, cpu)
    }

    fn destroy(&mut self, domain: u16, guest: GuestId) -> Result<(), Error> {
        self.usual().destroy(domain, guest)
    }
}
