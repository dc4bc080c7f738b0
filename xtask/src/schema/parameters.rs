//! Parameters as `key=value`: what a task takes, and whether given ones fit.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};

use anyhow::{Result, bail};
use postcard_schema::schema::owned::{OwnedDataModelType as Type, OwnedDataModelVariant, OwnedNamedType};

use super::Description;

/// The keys that the network stack of every task with an interface takes; kernel/src/net/parameters.rs reads them.
const NETWORK: [(&str, &str); 3] = [
    ("ip", "dhcp, or an address with its prefix length such as 10.0.0.2/24"),
    ("gateway", "an IPv4 address"),
    ("dns", "an IPv4 address"),
];

impl Description {
    /// One line for each parameter; `network` adds those of the network stack.
    pub fn parameter_lines(&self, network: bool) -> Vec<String> {
        let mut lines = Vec::new();
        for field in self.fields() {
            let (may_be_left_out, ty) = optional(field.1);
            let note = if may_be_left_out { ", may be left out" } else { "" };
            lines.push(format!("{}=<{}>{note}", field.0, Kind::of(ty).words()));
        }
        if network {
            lines.extend(NETWORK.iter().map(|(key, words)| format!("{key}=<{words}>, may be left out")));
        }
        if lines.is_empty() {
            lines.push("(none)".to_owned());
        }
        lines
    }

    /// The parameters that must be given, with values to fill in.
    pub fn example(&self) -> String {
        let needed = self.fields().into_iter().filter(|(_, ty)| !optional(ty).0);
        needed.map(|(key, _)| format!("{key}=...")).collect::<Vec<_>>().join(" ")
    }

    /// Checks `key=value` words.
    ///
    /// # Errors
    /// Names the key and what is wrong, and lists what the task takes.
    pub fn check(&self, words: &[String], network: bool) -> Result<()> {
        if let Err(problem) = self.problem(words, network) {
            let takes = self.parameter_lines(network).join("\n    ");
            bail!("{problem}\nthe task \"{}\" takes:\n    {takes}", self.task);
        }
        Ok(())
    }

    fn problem(&self, words: &[String], network: bool) -> Result<(), String> {
        let fields = self.fields();
        let mut given = Vec::new();
        // A word on xl's command line ends at a space, wherever the shell put it.
        for word in words.iter().flat_map(|words| words.split_ascii_whitespace()) {
            let Some((key, value)) = word.split_once('=').filter(|(key, _)| !key.is_empty()) else {
                return Err(format!("parameter \"{word}\": expected key=value"));
            };
            if given.contains(&key) {
                return Err(format!("parameter \"{key}\" is given twice"));
            }
            given.push(key);
            if let Some((_, ty)) = fields.iter().find(|(name, _)| *name == key) {
                let kind = Kind::of(optional(ty).1);
                if !kind.fits(value) {
                    return Err(format!("parameter \"{key}\": \"{value}\" is not {}", kind.words()));
                }
            } else if let Some((_, wanted)) = NETWORK.iter().find(|(name, _)| network && *name == key) {
                if !network_value_fits(key, value) {
                    return Err(format!("parameter \"{key}\": \"{value}\" is not {wanted}"));
                }
            } else {
                return Err(format!("parameter \"{key}\" is unknown"));
            }
        }
        match fields.iter().find(|(key, ty)| !optional(ty).0 && !given.contains(key)) {
            Some((key, _)) => Err(format!("parameter \"{key}\" is missing: add {key}=...")),
            None => Ok(()),
        }
    }

    fn fields(&self) -> Vec<(&str, &OwnedNamedType)> {
        match &self.parameters.ty {
            Type::Struct(fields) => fields.iter().map(|field| (&*field.name, &field.ty)).collect(),
            _ => Vec::new(),
        }
    }
}

/// Whether the type is an Option, and of what.
fn optional(ty: &OwnedNamedType) -> (bool, &OwnedNamedType) {
    match &ty.ty {
        Type::Option(inner) => (true, inner),
        _ => (false, ty),
    }
}

fn network_value_fits(key: &str, value: &str) -> bool {
    let address = |text: &str| text.parse::<Ipv4Addr>().is_ok();
    match (key, value.split_once('/')) {
        ("ip", Some((ip, length))) => address(ip) && length.parse::<u8>().is_ok_and(|length| length <= 32),
        ("ip", None) => value == "dhcp",
        _ => address(value),
    }
}

/// What a value may look like as text.
enum Kind {
    Whole {
        least: i128,
        most: u128,
    },
    Number,
    Bool,
    Character,
    OneOf(Vec<String>),
    List(Box<Kind>),
    Address {
        words: &'static str,
        fits: fn(&str) -> bool,
    },
    /// Text, and every type whose text only the task can judge.
    Text,
}

impl Kind {
    fn of(ty: &OwnedNamedType) -> Self {
        let whole = |least: i128, most: u128| Self::Whole { least, most };
        // The standard library's addresses are text to a person, whatever they are to a program.
        let address = |words, fits| Self::Address { words, fits };
        match ty.name.as_str() {
            "Ipv4Addr" => return address("an IPv4 address", |text| text.parse::<Ipv4Addr>().is_ok()),
            "Ipv6Addr" => return address("an IPv6 address", |text| text.parse::<Ipv6Addr>().is_ok()),
            "IpAddr" => return address("an IP address", |text| text.parse::<IpAddr>().is_ok()),
            "SocketAddr" => return address("an address:port", |text| text.parse::<SocketAddr>().is_ok()),
            "SocketAddrV4" => return address("an address:port", |text| text.parse::<SocketAddrV4>().is_ok()),
            _ => {}
        }
        match &ty.ty {
            Type::U8 => whole(0, u8::MAX.into()),
            Type::U16 => whole(0, u16::MAX.into()),
            Type::U32 => whole(0, u32::MAX.into()),
            Type::U64 | Type::Usize => whole(0, u64::MAX.into()),
            Type::U128 => whole(0, u128::MAX),
            Type::I8 => whole(i8::MIN.into(), i8::MAX as u128),
            Type::I16 => whole(i16::MIN.into(), i16::MAX as u128),
            Type::I32 => whole(i32::MIN.into(), i32::MAX as u128),
            Type::I64 | Type::Isize => whole(i64::MIN.into(), i64::MAX as u128),
            Type::I128 => whole(i128::MIN, i128::MAX as u128),
            Type::F32 | Type::F64 => Self::Number,
            Type::Bool => Self::Bool,
            Type::Char => Self::Character,
            Type::NewtypeStruct(inner) | Type::Option(inner) => Self::of(inner),
            Type::Seq(item) => Self::List(Box::new(Self::of(item))),
            Type::Enum(variants) => {
                let plain = |ty: &OwnedDataModelVariant| matches!(ty, OwnedDataModelVariant::UnitVariant);
                Self::OneOf(variants.iter().filter(|v| plain(&v.ty)).map(|v| v.name.to_string()).collect())
            }
            _ => Self::Text,
        }
    }

    /// What is expected, as it follows "is not".
    fn words(&self) -> String {
        match self {
            Self::Whole { least, most } => format!("a whole number from {least} to {most}"),
            Self::Number => "a number".into(),
            Self::Bool => "true or false".into(),
            Self::Character => "one character".into(),
            Self::OneOf(variants) => format!("one of {}", variants.join(", ")),
            Self::List(item) => format!("{}, or several with commas between", item.words()),
            Self::Address { words, .. } => (*words).into(),
            Self::Text => "text".into(),
        }
    }

    fn fits(&self, text: &str) -> bool {
        match self {
            Self::Whole { least, most } => match text.parse::<i128>() {
                Ok(number) if number < 0 => number >= *least,
                _ => text.parse::<u128>().is_ok_and(|number| number <= *most),
            },
            Self::Number => text.parse::<f64>().is_ok(),
            Self::Bool => text.parse::<bool>().is_ok(),
            Self::Character => text.parse::<char>().is_ok(),
            Self::OneOf(variants) => variants.iter().any(|variant| variant == text),
            Self::List(item) => text.is_empty() || text.split(',').all(|text| item.fits(text)),
            Self::Address { fits, .. } => fits(text),
            Self::Text => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use postcard_schema::Schema;

    use super::Description;

    #[derive(Schema)]
    #[allow(dead_code, reason = "only its schema is used")]
    struct Parameters {
        port: Option<u16>,
        offset: Option<i8>,
        topics: Vec<String>,
        levels: Option<Vec<u8>>,
        mode: Mode,
        ratio: Option<f64>,
    }

    #[derive(Schema)]
    #[allow(dead_code, reason = "only its schema is used")]
    enum Mode {
        Fast,
        Safe,
    }

    fn check(line: &str) -> Result<(), String> {
        let words: Vec<String> = line.split(' ').filter(|word| !word.is_empty()).map(String::from).collect();
        let description = Description::of::<Parameters, ()>("adder");
        description.check(&words, true).map_err(|error| error.to_string())
    }

    fn first_line(line: &str) -> String {
        check(line).unwrap_err().lines().next().unwrap().to_owned()
    }

    #[test]
    fn fitting_parameters_pass() {
        check("topics=a/b,c mode=Fast").unwrap();
        check("topics= mode=Safe port=65535 offset=-128 levels=0,255 ratio=1e-3 ip=10.0.0.2/24 dns=10.0.0.1").unwrap();
    }

    #[test]
    fn an_unknown_key_is_named_and_the_known_ones_are_listed() {
        let error = check("topics=a mode=Fast prot=1").unwrap_err();
        let expected = "parameter \"prot\" is unknown\n\
            the task \"adder\" takes:\n    \
            port=<a whole number from 0 to 65535>, may be left out\n    \
            offset=<a whole number from -128 to 127>, may be left out\n    \
            topics=<text, or several with commas between>\n    \
            levels=<a whole number from 0 to 255, or several with commas between>, may be left out\n    \
            mode=<one of Fast, Safe>\n    \
            ratio=<a number>, may be left out\n    \
            ip=<dhcp, or an address with its prefix length such as 10.0.0.2/24>, may be left out\n    \
            gateway=<an IPv4 address>, may be left out\n    \
            dns=<an IPv4 address>, may be left out";
        assert_eq!(error, expected);
    }

    #[test]
    fn a_missing_key_is_named() {
        assert_eq!(first_line("topics=a"), "parameter \"mode\" is missing: add mode=...");
    }

    #[test]
    fn a_malformed_value_is_named_with_what_would_be_right() {
        let base = "topics=a mode=Fast";
        for (word, error) in [
            ("port=65536", "parameter \"port\": \"65536\" is not a whole number from 0 to 65535"),
            ("port=-1", "parameter \"port\": \"-1\" is not a whole number from 0 to 65535"),
            ("offset=-129", "parameter \"offset\": \"-129\" is not a whole number from -128 to 127"),
            ("ratio=x", "parameter \"ratio\": \"x\" is not a number"),
            ("gateway=10.0.0", "parameter \"gateway\": \"10.0.0\" is not an IPv4 address"),
            (
                "levels=1,x",
                "parameter \"levels\": \"1,x\" is not a whole number from 0 to 255, or several with commas between",
            ),
        ] {
            assert_eq!(first_line(&format!("{base} {word}")), error);
        }
        assert_eq!(first_line("topics=a mode=Slow"), "parameter \"mode\": \"Slow\" is not one of Fast, Safe");
        let network = "dhcp, or an address with its prefix length such as 10.0.0.2/24";
        assert_eq!(first_line("ip=10.0.0.2/33"), format!("parameter \"ip\": \"10.0.0.2/33\" is not {network}"));
    }

    #[test]
    fn a_word_without_a_value_and_a_repeated_key_are_refused() {
        assert_eq!(first_line("port"), "parameter \"port\": expected key=value");
        assert_eq!(first_line("port=1 port=2"), "parameter \"port\" is given twice");
    }

    #[test]
    fn network_keys_are_unknown_to_a_task_without_a_network() {
        let description = Description::of::<(), ()>("hello");
        let error = description.check(&["ip=dhcp".into()], false).unwrap_err().to_string();
        assert_eq!(error, "parameter \"ip\" is unknown\nthe task \"hello\" takes:\n    (none)");
    }
}
