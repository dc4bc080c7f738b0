//! What a guest is made of, and the `xl` configuration that says so.

use anyhow::{Result, bail};
use bed_agent::protocol::BRIDGE;
use fnv::FnvHasher;
use std::fmt::Write as _;
use std::hash::Hasher;

/// What a guest is made of.
#[derive(Debug, Clone)]
pub struct GuestSpec {
    /// Its name, also in the names of its logs.
    pub name: String,
    /// The image that `xl` boots.
    pub image: Vec<u8>,
    /// A Linux guest's first file system.
    pub ramdisk: Option<Vec<u8>>,
    /// Memory.
    pub memory_mib: u32,
    /// Whether it has a network interface on the bridge.
    pub vif: bool,
    /// Its hardware address; one made of its name when there is none.
    pub mac: Option<String>,
    /// The guest's command line.
    pub extra: String,
    /// Nodes written below the domain's `data/` before it runs.
    pub data: Vec<(String, Vec<u8>)>,
    /// What the toolstack does when the guest asks for a reboot: "preserve" keeps the dead domain so that its reason
    /// can be read.
    pub on_reboot: String,
    /// The same for a crash.
    pub on_crash: String,
    /// Further lines of the configuration.
    pub configuration: Vec<String>,
}

impl GuestSpec {
    /// A guest of 4 MiB without network.
    #[must_use]
    pub fn new(name: &str, image: Vec<u8>) -> Self {
        Self {
            name: name.to_owned(),
            image,
            ramdisk: None,
            memory_mib: 4,
            vif: false,
            mac: None,
            extra: String::new(),
            data: Vec::new(),
            on_reboot: "preserve".to_owned(),
            on_crash: "preserve".to_owned(),
            configuration: Vec::new(),
        }
    }

    /// The hardware address: the one given, or one in Xen's range that depends on nothing but the name.
    #[must_use]
    pub fn mac(&self) -> String {
        let mut hash = FnvHasher::default();
        hash.write(self.name.as_bytes());
        let [.., a, b, c] = hash.finish().to_be_bytes();
        self.mac.clone().unwrap_or_else(|| format!("00:16:3e:{:02x}:{b:02x}:{c:02x}", a & 0x7f))
    }

    pub(super) fn image_path(&self) -> String {
        format!("/var/lib/spore/{}.img", self.name)
    }

    pub(super) fn ramdisk_path(&self) -> String {
        format!("/var/lib/spore/{}.ramdisk", self.name)
    }

    /// The configuration that `xl` gets.
    ///
    /// # Errors
    /// The command line has both kinds of quotes, which `xl` cannot express.
    pub fn xl_configuration(&self) -> Result<String> {
        let mut text = String::new();
        let preserve = "preserve".to_owned();
        // No type: xl's own choice is right on each CPU, paravirtualised (pv) on x86, hardware-assisted (pvh) on ARM.
        let lines = [("name", &self.name), ("kernel", &self.image_path()), ("extra", &self.extra)];
        let ends = [("on_poweroff", &preserve), ("on_reboot", &self.on_reboot), ("on_crash", &self.on_crash)];
        for (key, value) in lines.into_iter().chain(ends) {
            let quote = if value.contains('"') { '\'' } else { '"' };
            if value.contains(quote) {
                bail!("xl cannot quote {key}: {value}");
            }
            writeln!(text, "{key} = {quote}{value}{quote}")?;
        }
        writeln!(text, "memory = {}\nvcpus = 1", self.memory_mib)?;
        if self.ramdisk.is_some() {
            writeln!(text, "ramdisk = \"{}\"", self.ramdisk_path())?;
        }
        if self.vif {
            writeln!(text, "vif = [ \"{}\" ]", self.vif_specification())?;
        }
        for line in &self.configuration {
            writeln!(text, "{line}")?;
        }
        Ok(text)
    }

    pub(super) fn vif_specification(&self) -> String {
        format!("mac={},bridge={BRIDGE}", self.mac())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_quotes_what_it_is_given() {
        let mut spec = GuestSpec::new("hello", Vec::new());
        spec.extra = "text=\"a b\"".into();
        spec.vif = true;
        let text = spec.xl_configuration().unwrap();
        assert!(text.contains("extra = 'text=\"a b\"'\n") && text.contains("memory = 4\n"), "{text}");
        assert!(text.contains(&format!("vif = [ \"mac={},bridge=xenbr0\" ]", spec.mac())), "{text}");
        spec.extra = "'\"".into();
        assert!(spec.xl_configuration().is_err());
    }
}
