//! A task's report as a person reads it: `key=value key=value ...` on one line.
//!
//! Fields of a struct within the report are written `outer.field=`, items of a list `list.0=`. A program reads the same
//! report as postcard instead; [`nodes`](crate::nodes) is where it lies then.

use alloc::string::String;
use core::fmt::{self, Display, Write};

use serde::Serialize;
use serde::ser::{
    SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple, SerializeTupleStruct,
    SerializeTupleVariant,
};

/// Writes `report` to `out`.
///
/// # Errors
/// Those of `out`, and of a `Serialize` of the report's that fails.
pub fn write<T: Serialize>(report: &T, out: &mut impl Write) -> fmt::Result {
    report.serialize(&mut Line { out, path: String::new(), first: true })
}

/// The line so far and where in the report the writer stands.
struct Line<'w, W> {
    out: &'w mut W,
    path: String,
    first: bool,
}

impl<W: Write> Line<'_, W> {
    fn value(&mut self, value: &dyn Display) -> fmt::Result {
        let gap = if self.first { "" } else { " " };
        self.first = false;
        if self.path.is_empty() {
            write!(self.out, "{gap}{value}")
        } else {
            write!(self.out, "{gap}{}={value}", self.path)
        }
    }

    /// Enters the part of this name.
    fn enter(&mut self, name: &dyn Display) -> fmt::Result {
        let dot = if self.path.is_empty() { "" } else { "." };
        write!(self.path, "{dot}{name}")
    }

    fn within<T: Serialize + ?Sized>(&mut self, name: &dyn Display, value: &T) -> fmt::Result {
        let outer = self.path.len();
        self.enter(name)?;
        let written = value.serialize(&mut *self);
        self.path.truncate(outer);
        written
    }
}

/// The parts of a list, map or struct, with the number of the next item.
struct Parts<'l, 'w, W> {
    line: &'l mut Line<'w, W>,
    next: usize,
}

macro_rules! plain {
    ($($method:ident $type:ty,)*) => {
        $(fn $method(self, value: $type) -> fmt::Result {
            self.value(&value)
        })*
    };
}

impl<'l, 'w, W: Write> serde::Serializer for &'l mut Line<'w, W> {
    type Ok = ();
    type Error = fmt::Error;
    type SerializeSeq = Parts<'l, 'w, W>;
    type SerializeTuple = Parts<'l, 'w, W>;
    type SerializeTupleStruct = Parts<'l, 'w, W>;
    type SerializeTupleVariant = Parts<'l, 'w, W>;
    type SerializeMap = Parts<'l, 'w, W>;
    type SerializeStruct = Parts<'l, 'w, W>;
    type SerializeStructVariant = Parts<'l, 'w, W>;

    plain! {
        serialize_bool bool, serialize_char char, serialize_str &str,
        serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64,
        serialize_u8 u8, serialize_u16 u16, serialize_u32 u32, serialize_u64 u64,
    }

    // Not by `Display`: that is 7 KB of code, zmij less than one.
    fn serialize_f32(self, value: f32) -> fmt::Result {
        self.value(&zmij::Buffer::new().format(value))
    }

    fn serialize_f64(self, value: f64) -> fmt::Result {
        self.value(&zmij::Buffer::new().format(value))
    }

    fn serialize_bytes(self, bytes: &[u8]) -> fmt::Result {
        self.value(&format_args!("{bytes:02x?}"))
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> fmt::Result {
        self.value(&value)
    }

    fn serialize_none(self) -> fmt::Result {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> fmt::Result {
        value.serialize(self)
    }

    fn serialize_unit(self) -> fmt::Result {
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> fmt::Result {
        Ok(())
    }

    fn serialize_unit_variant(self, _name: &'static str, _index: u32, variant: &'static str) -> fmt::Result {
        self.value(&variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _name: &'static str, value: &T) -> fmt::Result {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> fmt::Result {
        self.within(&variant, value)
    }

    fn serialize_seq(self, _length: Option<usize>) -> Result<Self::SerializeSeq, fmt::Error> {
        Ok(Parts { line: self, next: 0 })
    }

    fn serialize_tuple(self, _length: usize) -> Result<Self::SerializeTuple, fmt::Error> {
        Ok(Parts { line: self, next: 0 })
    }

    fn serialize_tuple_struct(self, _name: &'static str, _length: usize) -> Result<Parts<'l, 'w, W>, fmt::Error> {
        Ok(Parts { line: self, next: 0 })
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<Parts<'l, 'w, W>, fmt::Error> {
        Ok(Parts { line: self, next: 0 })
    }

    fn serialize_map(self, _length: Option<usize>) -> Result<Parts<'l, 'w, W>, fmt::Error> {
        Ok(Parts { line: self, next: 0 })
    }

    fn serialize_struct(self, _name: &'static str, _length: usize) -> Result<Parts<'l, 'w, W>, fmt::Error> {
        Ok(Parts { line: self, next: 0 })
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<Parts<'l, 'w, W>, fmt::Error> {
        Ok(Parts { line: self, next: 0 })
    }
}

impl<W: Write> Parts<'_, '_, W> {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> fmt::Result {
        let number = self.next;
        self.next += 1;
        self.line.within(&number, value)
    }
}

macro_rules! numbered {
    ($($trait:ident $method:ident,)*) => {
        $(impl<W: Write> $trait for Parts<'_, '_, W> {
            type Ok = ();
            type Error = fmt::Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> fmt::Result {
                self.item(value)
            }

            fn end(self) -> fmt::Result {
                Ok(())
            }
        })*
    };
}

numbered! {
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field,
}

macro_rules! named {
    ($($trait:ident,)*) => {
        $(impl<W: Write> $trait for Parts<'_, '_, W> {
            type Ok = ();
            type Error = fmt::Error;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> fmt::Result {
                self.line.within(&key, value)
            }

            fn end(self) -> fmt::Result {
                Ok(())
            }
        })*
    };
}

named! { SerializeStruct, SerializeStructVariant, }

impl<W: Write> SerializeMap for Parts<'_, '_, W> {
    type Ok = ();
    type Error = fmt::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> fmt::Result {
        self.item(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> fmt::Result {
        self.item(value)
    }

    fn end(self) -> fmt::Result {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use alloc::string::String;

    use serde::{Serialize, Serializer};

    /// What is written of a report.
    fn written(report: &impl Serialize) -> String {
        let mut line = String::new();
        super::write(report, &mut line).unwrap();
        line
    }

    #[derive(Serialize)]
    struct Sensor {
        name: &'static str,
        mean: f64,
    }

    #[derive(Serialize)]
    struct Report {
        readings: u64,
        note: Option<u8>,
        sensors: [Sensor; 2],
        ended: Ended,
    }

    #[derive(Serialize)]
    enum Ended {
        Asked,
    }

    #[test]
    fn a_report_is_one_line_of_pairs() {
        let report = Report {
            readings: 3,
            note: None,
            sensors: [Sensor { name: "t", mean: 1.5 }, Sensor { name: "p", mean: -2.0 }],
            ended: Ended::Asked,
        };
        assert_eq!(
            written(&report),
            "readings=3 sensors.0.name=t sensors.0.mean=1.5 sensors.1.name=p sensors.1.mean=-2.0 ended=Asked"
        );
    }

    /// What has no type that is written otherwise.
    struct Bytes;
    struct Shown;

    impl Serialize for Bytes {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(&[0, 255])
        }
    }

    impl Serialize for Shown {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str("shown")
        }
    }

    #[derive(Serialize)]
    struct Metres(f32);

    #[derive(Serialize)]
    enum Found {
        Part(u8),
        Both(u8, i8),
        Named { port: u16 },
    }

    #[derive(Serialize)]
    struct All {
        some: Option<u8>,
        length: Metres,
        bytes: Bytes,
        shown: Shown,
        pair: (bool, char),
        one: Found,
        two: Found,
        three: Found,
        map: BTreeMap<u8, i64>,
    }

    #[test]
    fn every_type_has_its_place_in_the_line() {
        let all = All {
            some: Some(1),
            length: Metres(0.5),
            bytes: Bytes,
            shown: Shown,
            pair: (true, 'x'),
            one: Found::Part(1),
            two: Found::Both(2, -2),
            three: Found::Named { port: 80 },
            map: BTreeMap::from([(4, -5), (6, -7)]),
        };
        assert_eq!(
            written(&all),
            "some=1 length=0.5 bytes=[00, ff] shown=shown pair.0=true pair.1=x one.Part=1 two.0=2 two.1=-2 \
             three.port=80 map.0=4 map.1=-5 map.2=6 map.3=-7"
        );
    }
}
