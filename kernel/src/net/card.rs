//! Which network card is used, and how: `vif=1` or `vif=00:16:3e:01:02:03`, `pacing=off`.
//!
//! These keys stand next to those of [`Parameters`](super::Parameters). They are for the platform's driver, and mean
//! nothing to the stack.

use alloc::boxed::Box;

use smoltcp::wire::EthernetAddress;

use crate::parameters::{Error, Parameters as CommandLine};

/// Which of several cards is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CardChoice {
    /// The first that works.
    #[default]
    First,
    /// The one of this number.
    Number(u32),
    /// The one with this address.
    Address(EthernetAddress),
}

/// The card's parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Card {
    /// Which card is used.
    pub choice: CardChoice,
    /// The CPU is not shared with who carries the card's frames: nothing is held back for their sake.
    pub own_cpu: bool,
}

impl Card {
    /// The keys, with words for what each takes.
    pub const KEYS: [(&'static str, &'static str); 2] = [
        ("vif", "the number of a card, or its address such as 00:16:3e:01:02:03"),
        ("pacing", "on, or off on a CPU of its own"),
    ];

    /// Takes the card's keys from a command line.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn read(line: &mut CommandLine<'_>) -> Result<Self, Box<Error>> {
        let [(vif, card), (pacing, on_or_off)] = Self::KEYS;
        let choice = match line.text(vif) {
            None => CardChoice::First,
            Some(text) => choice(text).ok_or_else(|| Error::malformed(vif, text, card))?,
        };
        let own_cpu = match line.text(pacing) {
            None | Some("on") => false,
            Some("off") => true,
            Some(text) => return Err(Error::malformed(pacing, text, on_or_off)),
        };
        Ok(Self { choice, own_cpu })
    }
}

fn choice(text: &str) -> Option<CardChoice> {
    if let Some(address) = station_address(text.as_bytes()) {
        return Some(CardChoice::Address(address));
    }
    // As u64, which other parameters are read as: one parser less.
    let number: u64 = text.parse().ok()?;
    Some(CardChoice::Number(u32::try_from(number).ok()?))
}

/// Reads six bytes in hexadecimal with colons between: the Ethernet address of one station.
#[must_use]
pub fn station_address(text: &[u8]) -> Option<EthernetAddress> {
    let text: &[u8; 17] = text.try_into().ok()?;
    let mut address = [0; 6];
    for (index, byte) in address.iter_mut().enumerate() {
        let digit = |at: usize| char::from(text[index * 3 + at]).to_digit(16);
        *byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
        if index < 5 && text[index * 3 + 2] != b':' {
            return None;
        }
    }
    Some(EthernetAddress(address)).filter(EthernetAddress::is_unicast)
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};

    use super::{Card, CardChoice};
    use crate::parameters::Parameters as CommandLine;
    use smoltcp::wire::EthernetAddress;

    fn read(line: &str) -> Result<Card, String> {
        let mut line = CommandLine::parse(line).map_err(|error| error.to_string())?;
        let card = Card::read(&mut line).map_err(|error| error.to_string())?;
        line.finish().map_err(|error| error.to_string())?;
        Ok(card)
    }

    #[test]
    fn a_card_is_chosen_by_number_or_address() {
        let address = EthernetAddress([0, 0x16, 0x3e, 1, 2, 0xaf]);
        for (line, choice) in [
            ("", CardChoice::First),
            ("vif=0", CardChoice::Number(0)),
            ("vif=17", CardChoice::Number(17)),
            ("vif=00:16:3e:01:02:aF", CardChoice::Address(address)),
        ] {
            assert_eq!(read(line), Ok(Card { choice, own_cpu: false }), "{line}");
        }
    }

    #[test]
    fn pacing_is_on_unless_it_is_switched_off() {
        let own_cpu = |line| read(line).map(|card| card.own_cpu);
        assert_eq!([own_cpu(""), own_cpu("pacing=on"), own_cpu("pacing=off")], [Ok(false), Ok(false), Ok(true)]);
    }

    #[test]
    fn anything_else_is_refused_by_its_name() {
        for line in ["vif=", "vif=-1", "vif=4294967296", "vif=eth0", "vif=ff:ff:ff:ff:ff:ff", "pacing=", "pacing=no"] {
            let key = line.split('=').next().expect("a key");
            assert!(
                read(line).is_err_and(|error| error.starts_with(&alloc::format!("parameter \"{key}\": "))),
                "{line}"
            );
        }
    }
}
