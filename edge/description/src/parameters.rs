//! Parameters as `key=value`: what a task takes, whether given ones fit, and the postcard that a task reads instead.
//!
//! Whether they fit is for the guest's own code to say, which kernel/src/parameters.rs is: it reads a struct that is known
//! here by its schema alone.

use std::cell::RefCell;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, bail};
use kernel::net::{Card, PARAMETER_KEYS};
use kernel::parameters::{Error, Parameters};
use postcard_schema::schema::owned::{OwnedDataModelType as Type, OwnedDataModelVariant, OwnedNamedType};
use serde::Serialize;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error as _, SeqAccess, VariantAccess, Visitor,
};

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

    /// The struct of the task's parameters in postcard, which a guest finds in xenstore instead of the words; `network`
    /// lets those of the network stack stand beside them.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn encode(&self, words: &[String], network: bool) -> Result<Vec<u8>> {
        self.problem(words, network).map_err(anyhow::Error::msg)
    }

    /// Whether this is one of the task's own parameters, not one of the network stack.
    pub fn takes(&self, key: &str) -> bool {
        self.fields().iter().any(|(known, _)| *known == key)
    }

    /// What is wrong with the words, as the guest would say it; the parameters in postcard when nothing is.
    fn problem(&self, words: &[String], network: bool) -> Result<Vec<u8>, String> {
        // A word on xl's command line ends at a space, wherever the shell put it.
        let line = words.join(" ");
        self.read(&line, network).map_err(|error| match *error {
            // The keys that there are follow, each with what it takes.
            Error::Unknown { key, .. } => format!("parameter \"{key}\" is unknown"),
            error => error.to_string(),
        })
    }

    /// Reads a command line in the order of xen-pv/src/platform.rs.
    fn read(&self, line: &str, network: bool) -> Result<Vec<u8>, Box<Error>> {
        let mut parameters = Parameters::parse(line)?;
        if network {
            kernel::net::Parameters::read(&mut parameters)?;
            Card::read(&mut parameters)?;
        }
        let postcard = RefCell::default();
        parameters.read_with(Shape { ty: &self.parameters, postcard: &postcard })?;
        parameters.finish()?;
        Ok(postcard.into_inner())
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

/// Deserializes a value as the type would that has this schema, asking the deserializer for the same, and appends it to
/// `postcard` as the type would be serialized.
#[derive(Clone, Copy)]
struct Shape<'s> {
    ty: &'s OwnedNamedType,
    postcard: &'s RefCell<Vec<u8>>,
}

impl Shape<'_> {
    /// The same, of a part.
    fn of<'p>(&'p self, ty: &'p OwnedNamedType) -> Shape<'p> {
        Shape { ty, postcard: self.postcard }
    }

    fn append<T: Serialize, E: serde::de::Error>(self, value: &T) -> Result<(), E> {
        let bytes = postcard::to_stdvec(value).map_err(E::custom)?;
        self.postcard.borrow_mut().extend(bytes);
        Ok(())
    }

    /// What cannot be written as a word.
    fn unsuitable<T, E: serde::de::Error>(self) -> Result<T, E> {
        Err(E::custom(words(self.ty)))
    }
}

impl<'de> DeserializeSeed<'de> for Shape<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        fn as_type<'de, T: Deserialize<'de> + Serialize, D: Deserializer<'de>>(
            shape: Shape<'_>,
            from: D,
        ) -> Result<(), D::Error> {
            let value = T::deserialize(from)?;
            shape.append(&value)
        }
        match self.ty.name.as_str() {
            "Ipv4Addr" => return as_type::<Ipv4Addr, D>(self, from),
            "Ipv6Addr" => return as_type::<Ipv6Addr, D>(self, from),
            "IpAddr" => return as_type::<IpAddr, D>(self, from),
            "SocketAddr" => return as_type::<SocketAddr, D>(self, from),
            "SocketAddrV4" => return as_type::<SocketAddrV4, D>(self, from),
            "SocketAddrV6" => return as_type::<SocketAddrV6, D>(self, from),
            _ => {}
        }
        match &self.ty.ty {
            Type::Bool => as_type::<bool, D>(self, from),
            Type::I8 => as_type::<i8, D>(self, from),
            Type::U8 => as_type::<u8, D>(self, from),
            Type::I16 => as_type::<i16, D>(self, from),
            Type::I32 => as_type::<i32, D>(self, from),
            Type::I64 => as_type::<i64, D>(self, from),
            Type::I128 => as_type::<i128, D>(self, from),
            Type::U16 => as_type::<u16, D>(self, from),
            Type::U32 => as_type::<u32, D>(self, from),
            Type::U64 => as_type::<u64, D>(self, from),
            Type::U128 => as_type::<u128, D>(self, from),
            Type::Usize => as_type::<usize, D>(self, from),
            Type::Isize => as_type::<isize, D>(self, from),
            Type::F32 => as_type::<f32, D>(self, from),
            Type::F64 => as_type::<f64, D>(self, from),
            Type::Char => as_type::<char, D>(self, from),
            Type::String => as_type::<String, D>(self, from),
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
        formatter.write_str(&words(self.ty))
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<(), E> {
        self.append(&None::<()>)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        // As an Option of nothing begins, so does one of anything.
        self.append(&Some(()))?;
        self.visit_newtype_struct(from)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        match &self.ty.ty {
            Type::Option(inner) | Type::NewtypeStruct(inner) => self.of(inner).deserialize(from),
            _ => self.unsuitable(),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        match &self.ty.ty {
            Type::Struct(fields) => {
                for field in fields {
                    items.next_element_seed(self.of(&field.ty))?;
                }
            }
            Type::Seq(item) => {
                let whole = RefCell::default();
                let mut count: usize = 0;
                while items.next_element_seed(Shape { ty: item, postcard: &whole })?.is_some() {
                    count += 1;
                }
                // Their number stands before them.
                self.append(&count)?;
                self.postcard.borrow_mut().append(&mut whole.into_inner());
            }
            _ => return self.unsuitable(),
        }
        Ok(())
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<(), A::Error> {
        let (name, variant) = data.variant::<String>()?;
        let Type::Enum(variants) = &self.ty.ty else { return self.unsuitable() };
        let Some(place) = variants.iter().position(|variant| *variant.name == *name) else {
            return self.unsuitable();
        };
        self.append(&u32::try_from(place).map_err(A::Error::custom)?)?;
        match &variants[place].ty {
            OwnedDataModelVariant::UnitVariant => variant.unit_variant(),
            OwnedDataModelVariant::NewtypeVariant(inner) => variant.newtype_variant_seed(self.of(inner)),
            OwnedDataModelVariant::TupleVariant(items) => variant.tuple_variant(items.len(), self),
            OwnedDataModelVariant::StructVariant(_) => variant.struct_variant(&[], self),
        }
    }
}

#[cfg(test)]
mod tests;
