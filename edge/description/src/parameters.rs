//! Parameters as `key=value`: what a task takes, and whether given ones fit.
//!
//! Whether they fit is for the guest's own code to say, which kernel/src/parameters.rs is: it reads a struct that is known
//! here by its schema alone.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, bail};
use kernel::net::{Card, PARAMETER_KEYS};
use kernel::parameters::{Error, Parameters};
use postcard_schema::schema::owned::{OwnedDataModelType as Type, OwnedDataModelVariant, OwnedNamedType};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, EnumAccess, SeqAccess, VariantAccess, Visitor};

use crate::Description;

impl Description {
    /// One line for each parameter; `network` adds those of the network stack.
    pub fn parameter_lines(&self, network: bool) -> Vec<String> {
        let mut lines = Vec::new();
        for field in self.fields() {
            let (may_be_left_out, ty) = optional(field.1);
            let note = if may_be_left_out { ", may be left out" } else { "" };
            lines.push(format!("{}=<{}>{note}", field.0, words(ty)));
        }
        if network {
            let keys = PARAMETER_KEYS.iter().chain(&Card::KEYS);
            lines.extend(keys.map(|(key, words)| format!("{key}=<{words}>, may be left out")));
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

    /// What is wrong with the words, as the guest would say it.
    fn problem(&self, words: &[String], network: bool) -> Result<(), String> {
        // A word on xl's command line ends at a space, wherever the shell put it.
        let line = words.join(" ");
        self.read(&line, network).map_err(|error| match *error {
            // The keys that there are follow, each with what it takes.
            Error::Unknown { key, .. } => format!("parameter \"{key}\" is unknown"),
            error => error.to_string(),
        })
    }

    /// Reads a command line in the order of xen-pv/src/platform.rs.
    fn read(&self, line: &str, network: bool) -> Result<(), Box<Error>> {
        let mut parameters = Parameters::parse(line)?;
        if network {
            kernel::net::Parameters::read(&mut parameters)?;
            Card::read(&mut parameters)?;
        }
        parameters.read_with(Shape(&self.parameters))?;
        parameters.finish()
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

/// What a value looks like as text, as it follows "is not".
fn words(ty: &OwnedNamedType) -> String {
    let whole = |least: i64, most: u64| format!("a whole number from {least} to {most}");
    // The standard library's addresses are text to a person, whatever they are to a program.
    match ty.name.as_str() {
        "Ipv4Addr" => return "an IPv4 address".into(),
        "Ipv6Addr" => return "an IPv6 address".into(),
        "IpAddr" => return "an IP address".into(),
        "SocketAddr" | "SocketAddrV4" | "SocketAddrV6" => return "an address:port".into(),
        _ => {}
    }
    match &ty.ty {
        Type::U8 => whole(0, u8::MAX.into()),
        Type::U16 => whole(0, u16::MAX.into()),
        Type::U32 => whole(0, u32::MAX.into()),
        Type::U64 | Type::Usize => whole(0, u64::MAX),
        Type::I8 => whole(i8::MIN.into(), i8::MAX as u64),
        Type::I16 => whole(i16::MIN.into(), i16::MAX as u64),
        Type::I32 => whole(i32::MIN.into(), i32::MAX as u64),
        Type::I64 | Type::Isize => whole(i64::MIN, i64::MAX as u64),
        Type::F32 | Type::F64 => "a number".into(),
        Type::Bool => "true or false".into(),
        Type::Char => "one character".into(),
        Type::NewtypeStruct(inner) | Type::Option(inner) => words(inner),
        Type::Seq(item) => format!("{}, or several with commas between", words(item)),
        Type::Enum(variants) => {
            let plain = |ty: &OwnedDataModelVariant| matches!(ty, OwnedDataModelVariant::UnitVariant);
            let names = variants.iter().filter(|variant| plain(&variant.ty)).map(|variant| variant.name.as_str());
            format!("one of {}", names.collect::<Vec<_>>().join(", "))
        }
        Type::String => "text".into(),
        _ => "a value that can be written as a word; this type cannot".into(),
    }
}

/// Names as serde asks for them, of 'static life. Each list is kept once, however often its schema is used: a node reads
/// the same ones for as long as it runs.
fn known(names: Vec<&str>) -> &'static [&'static str] {
    static LISTS: Mutex<Vec<&'static [&'static str]>> = Mutex::new(Vec::new());
    let mut lists = LISTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(list) = lists.iter().find(|list| ***list == *names) {
        return list;
    }
    let kept = names.into_iter().map(|name| &*Box::leak(name.to_owned().into_boxed_str()));
    let list: &'static [&'static str] = Box::leak(kept.collect());
    lists.push(list);
    list
}

/// Deserializes a value as the type would that has this schema, and forgets it: it asks the deserializer for the same.
#[derive(Clone, Copy)]
struct Shape<'s>(&'s OwnedNamedType);

impl<'de> DeserializeSeed<'de> for Shape<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        fn as_type<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<(), D::Error> {
            T::deserialize(from).map(|_| ())
        }
        match self.0.name.as_str() {
            "Ipv4Addr" => return as_type::<Ipv4Addr, D>(from),
            "Ipv6Addr" => return as_type::<Ipv6Addr, D>(from),
            "IpAddr" => return as_type::<IpAddr, D>(from),
            "SocketAddr" => return as_type::<SocketAddr, D>(from),
            "SocketAddrV4" => return as_type::<SocketAddrV4, D>(from),
            "SocketAddrV6" => return as_type::<SocketAddrV6, D>(from),
            _ => {}
        }
        match &self.0.ty {
            Type::Bool => as_type::<bool, D>(from),
            Type::I8 => as_type::<i8, D>(from),
            Type::U8 => as_type::<u8, D>(from),
            Type::I16 => as_type::<i16, D>(from),
            Type::I32 => as_type::<i32, D>(from),
            Type::I64 => as_type::<i64, D>(from),
            Type::I128 => as_type::<i128, D>(from),
            Type::U16 => as_type::<u16, D>(from),
            Type::U32 => as_type::<u32, D>(from),
            Type::U64 => as_type::<u64, D>(from),
            Type::U128 => as_type::<u128, D>(from),
            Type::Usize => as_type::<usize, D>(from),
            Type::Isize => as_type::<isize, D>(from),
            Type::F32 => as_type::<f32, D>(from),
            Type::F64 => as_type::<f64, D>(from),
            Type::Char => as_type::<char, D>(from),
            Type::String => as_type::<String, D>(from),
            Type::Option(_) => from.deserialize_option(self),
            Type::Unit => from.deserialize_unit(self),
            Type::UnitStruct => from.deserialize_unit_struct("", self),
            Type::NewtypeStruct(_) => from.deserialize_newtype_struct("", self),
            Type::Seq(_) => from.deserialize_seq(self),
            Type::Tuple(items) => from.deserialize_tuple(items.len(), self),
            Type::TupleStruct(items) => from.deserialize_tuple_struct("", items.len(), self),
            Type::ByteArray => from.deserialize_byte_buf(self),
            Type::Map { .. } => from.deserialize_map(self),
            Type::Struct(fields) => {
                from.deserialize_struct("", known(fields.iter().map(|field| &*field.name).collect()), self)
            }
            Type::Enum(variants) => {
                from.deserialize_enum("", known(variants.iter().map(|variant| &*variant.name).collect()), self)
            }
            Type::Schema => from.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Shape<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&words(self.0))
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        self.visit_newtype_struct(from)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        match &self.0.ty {
            Type::Option(inner) | Type::NewtypeStruct(inner) => Shape(inner).deserialize(from),
            _ => Err(serde::de::Error::custom(words(self.0))),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        match &self.0.ty {
            Type::Struct(fields) => {
                for field in fields {
                    items.next_element_seed(Shape(&field.ty))?;
                }
            }
            Type::Seq(item) => while items.next_element_seed(Shape(item))?.is_some() {},
            _ => return Err(serde::de::Error::custom(words(self.0))),
        }
        Ok(())
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<(), A::Error> {
        let (name, variant) = data.variant::<String>()?;
        let Type::Enum(variants) = &self.0.ty else { return Err(serde::de::Error::custom(words(self.0))) };
        match variants.iter().find(|variant| *variant.name == *name).map(|variant| &variant.ty) {
            Some(OwnedDataModelVariant::UnitVariant) => variant.unit_variant(),
            Some(OwnedDataModelVariant::NewtypeVariant(inner)) => variant.newtype_variant_seed(Shape(inner)),
            Some(OwnedDataModelVariant::TupleVariant(items)) => variant.tuple_variant(items.len(), self),
            Some(OwnedDataModelVariant::StructVariant(_)) => variant.struct_variant(&[], self),
            None => Err(serde::de::Error::custom(words(self.0))),
        }
    }
}

#[cfg(test)]
mod tests {
    use postcard_schema::Schema;
    use serde::Deserialize;

    use crate::Description;

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

    #[derive(Schema, Deserialize)]
    enum Mode {
        Fast,
        Safe,
    }

    fn check(line: &str) -> Result<(), String> {
        let words: Vec<String> = line.split(' ').filter(|word| !word.is_empty()).map(String::from).collect();
        let description = Description::of::<Parameters, ()>("adder");
        description.check(&words, true).map_err(|error| error.to_string())
    }

    #[test]
    fn the_names_of_a_schema_are_kept_once_however_often_it_is_used() {
        let first = super::known(vec!["here", "once"]);
        assert_eq!(first, ["here", "once"]);
        assert!(std::ptr::eq(first, super::known(vec!["here", "once"])));
        assert_eq!(super::known(vec!["here"]), ["here"]);
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
            gateway=<an address such as 10.0.0.1>, may be left out\n    \
            dns=<an address such as 10.0.0.1>, may be left out\n    \
            vif=<the number of a card, or its address such as 00:16:3e:01:02:03>, may be left out\n    \
            pacing=<on, or off on a CPU of its own>, may be left out";
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
            ("gateway=10.0.0", "parameter \"gateway\": \"10.0.0\" is not an address such as 10.0.0.1"),
            ("levels=1,x", "parameter \"levels\": \"1,x\" is not a whole number from 0 to 255"),
            ("gateway=0.0.0.0", "parameter \"gateway\": \"0.0.0.0\" is not an address such as 10.0.0.1"),
            ("pacing=no", "parameter \"pacing\": \"no\" is not on, or off on a CPU of its own"),
            ("ip=10.0.0.2/24 gateway=10.0.1.1", "parameter \"gateway\": 10.0.1.1 is not inside ip=10.0.0.2/24"),
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
        #[derive(Schema)]
        struct Nothing;
        let description = Description::of::<Nothing, ()>("hello");
        let error = description.check(&["ip=dhcp".into()], false).unwrap_err().to_string();
        assert_eq!(error, "parameter \"ip\" is unknown\nthe task \"hello\" takes:\n    (none)");
    }

    /// A parameter of each kind there is.
    #[derive(Schema, Deserialize)]
    #[allow(dead_code, reason = "what matters is whether it can be read")]
    struct Everything {
        u8: Option<u8>,
        u16: Option<u16>,
        u32: Option<u32>,
        u64: Option<u64>,
        u128: Option<u128>,
        i8: Option<i8>,
        i16: Option<i16>,
        i32: Option<i32>,
        i64: Option<i64>,
        i128: Option<i128>,
        f32: Option<f32>,
        f64: Option<f64>,
        bool: Option<bool>,
        char: Option<char>,
        text: Option<String>,
        mode: Option<Mode>,
        shape: Option<Figure>,
        newtype: Option<Level>,
        nested: Option<Option<u8>>,
        pair: Option<(u8, u8)>,
        unit: Option<()>,
        inner: Option<Inner>,
        numbers: Option<Vec<i16>>,
        modes: Option<Vec<Mode>>,
        texts: Option<Vec<String>>,
        address: Option<core::net::Ipv4Addr>,
        endpoint: Option<core::net::SocketAddr>,
        needed: u8,
    }

    #[derive(Schema, Deserialize)]
    struct Level(#[allow(dead_code, reason = "only read")] u8);

    #[derive(Schema, Deserialize)]
    #[allow(dead_code, reason = "only read")]
    struct Inner {
        value: u8,
    }

    #[derive(Schema, Deserialize)]
    #[allow(dead_code, reason = "only read")]
    enum Figure {
        Point,
        Circle(u8),
        Box { side: u8 },
    }

    const KEYS: [&str; 33] = [
        "u8", "u16", "u32", "u64", "u128", "i8", "i16", "i32", "i64", "i128", "f32", "f64", "bool", "char", "text",
        "mode", "shape", "newtype", "nested", "pair", "unit", "inner", "numbers", "modes", "texts", "address",
        "endpoint", "needed", "ip", "gateway", "dns", "unknown", "",
    ];

    const VALUES: [&str; 64] = [
        "",
        "0",
        "1",
        "-1",
        "+1",
        "00",
        "127",
        "128",
        "-128",
        "-129",
        "255",
        "256",
        "65535",
        "65536",
        "2147483647",
        "2147483648",
        "-2147483649",
        "4294967295",
        "4294967296",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "340282366920938463463374607431768211456",
        "1.5",
        "1e3",
        "-0.0",
        "inf",
        "nan",
        "1,2",
        "1,",
        ",1",
        "1,x",
        "-40000,1",
        "true",
        "false",
        "True",
        "x",
        "xy",
        "\u{e4}",
        "a=b",
        "Fast",
        "Safe",
        "fast",
        "Fast,Safe",
        "Fast,",
        "Point",
        "Circle",
        "Box",
        "10.0.0.2",
        "10.0.0.2/24",
        "10.0.0.2/0",
        "10.0.0.2/32",
        "10.0.0.2/33",
        "10.0.0.2/",
        "10.0.0",
        "0.0.0.0",
        "0.0.0.0/8",
        "255.255.255.255",
        "224.0.0.1/24",
        "127.0.0.1",
        "10.0.0.2:80",
        "[::1]:80",
        "dhcp",
    ];

    /// Reads as xen-pv/src/platform.rs does.
    fn guest_accepts(line: &str) -> bool {
        let read = || {
            let mut parameters = kernel::parameters::Parameters::parse(line)?;
            kernel::net::Parameters::read(&mut parameters)?;
            kernel::net::Card::read(&mut parameters)?;
            parameters.read::<Everything>()?;
            parameters.finish()
        };
        read().is_ok()
    }

    #[test]
    fn what_is_accepted_before_a_boot_is_what_the_guest_accepts() {
        let description = Description::of::<Everything, ()>("everything");
        let accepts = |line: &str| description.check(&[line.to_owned()], true).is_ok();
        let mut accepted = 0;
        let pairs = KEYS.iter().flat_map(|key| VALUES.iter().map(move |value| format!("{key}={value}")));
        let pairs: Vec<String> = pairs.collect();
        // Each alone, and with the others that may make a difference.
        for other in ["", "needed=1", "needed=1 gateway=10.0.0.1", "needed=1 ip=10.9.0.1/16", "needed=1 ip=10.9.0.1/32"]
        {
            for pair in &pairs {
                let line = format!("{other} {pair}");
                assert_eq!(accepts(&line), guest_accepts(&line), "{line}");
                accepted += usize::from(accepts(&line));
            }
        }
        assert!(accepted > 500, "{accepted} of {}", 5 * pairs.len());
    }
}
