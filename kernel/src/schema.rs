//! The types of a task's parameters and report, as bytes that tools find in the image's ELF file.
//!
//! The section `.spore.schema` is not loaded into the guest. It holds the postcard encoding of `(format: u8, task:
//! String, version: String, parameters: OwnedNamedType, report: OwnedNamedType)`, where `OwnedNamedType` is that of
//! `postcard_schema::schema::owned`. A tool that reads it can check parameters before a boot and print a report without
//! knowing the task.
//!
//! A parameter that may be left out has the type `Option`; every other one must be given.

use postcard_schema::Schema;
use postcard_schema::schema::{DataModelType, DataModelVariant, NamedType, NamedValue, NamedVariant};

/// Version of the section's layout, its first byte.
pub const FORMAT: u8 = 1;

/// Number of bytes that [`encode`] writes for the same arguments.
pub const fn encoded_length<P: Schema, R: Schema>(task: &str, version: &str) -> usize {
    let mut nowhere = Output { bytes: &mut [], length: 0 };
    nowhere.description::<P, R>(task, version);
    nowhere.length
}

/// The section's contents for a task with parameters `P` and report `R`.
///
/// # Panics
/// At compile time, when `LENGTH` is not [`encoded_length`].
pub const fn encode<P: Schema, R: Schema, const LENGTH: usize>(task: &str, version: &str) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    let mut output = Output { bytes: &mut bytes, length: 0 };
    output.description::<P, R>(task, version);
    assert!(output.length == LENGTH);
    bytes
}

/// Writes postcard as far as `bytes` reach, and counts beyond.
///
/// The items follow the derived `Serialize` of postcard-schema's types (variants by their order); a test compares them.
struct Output<'a> {
    bytes: &'a mut [u8],
    length: usize,
}

impl Output<'_> {
    const fn description<P: Schema, R: Schema>(&mut self, task: &str, version: &str) {
        self.byte(FORMAT);
        self.string(task);
        self.string(version);
        self.named_type(P::SCHEMA);
        self.named_type(R::SCHEMA);
    }

    const fn byte(&mut self, value: u8) {
        if self.length < self.bytes.len() {
            self.bytes[self.length] = value;
        }
        self.length += 1;
    }

    const fn varint(&mut self, mut value: usize) {
        while value >= 0x80 {
            self.byte(value as u8 | 0x80);
            value >>= 7;
        }
        self.byte(value as u8);
    }

    const fn string(&mut self, text: &str) {
        let text = text.as_bytes();
        self.varint(text.len());
        let mut i = 0;
        while i < text.len() {
            self.byte(text[i]);
            i += 1;
        }
    }

    const fn named_type(&mut self, named: &NamedType) {
        self.string(named.name);
        self.byte(variant_number(named.ty));
        match named.ty {
            DataModelType::Option(inner) | DataModelType::NewtypeStruct(inner) | DataModelType::Seq(inner) => {
                self.named_type(inner);
            }
            DataModelType::Tuple(inner) | DataModelType::TupleStruct(inner) => self.types(inner),
            DataModelType::Map { key, val } => {
                self.named_type(key);
                self.named_type(val);
            }
            DataModelType::Struct(fields) => self.values(fields),
            DataModelType::Enum(variants) => self.variants(variants),
            _ => {}
        }
    }

    const fn types(&mut self, types: &[&NamedType]) {
        self.varint(types.len());
        let mut i = 0;
        while i < types.len() {
            self.named_type(types[i]);
            i += 1;
        }
    }

    const fn values(&mut self, values: &[&NamedValue]) {
        self.varint(values.len());
        let mut i = 0;
        while i < values.len() {
            self.string(values[i].name);
            self.named_type(values[i].ty);
            i += 1;
        }
    }

    const fn variants(&mut self, variants: &[&NamedVariant]) {
        self.varint(variants.len());
        let mut i = 0;
        while i < variants.len() {
            self.string(variants[i].name);
            match variants[i].ty {
                DataModelVariant::UnitVariant => self.byte(0),
                DataModelVariant::NewtypeVariant(inner) => {
                    self.byte(1);
                    self.named_type(inner);
                }
                DataModelVariant::TupleVariant(inner) => {
                    self.byte(2);
                    self.types(inner);
                }
                DataModelVariant::StructVariant(inner) => {
                    self.byte(3);
                    self.values(inner);
                }
            }
            i += 1;
        }
    }
}

const fn variant_number(model: &DataModelType) -> u8 {
    match model {
        DataModelType::Bool => 0,
        DataModelType::I8 => 1,
        DataModelType::U8 => 2,
        DataModelType::I16 => 3,
        DataModelType::I32 => 4,
        DataModelType::I64 => 5,
        DataModelType::I128 => 6,
        DataModelType::U16 => 7,
        DataModelType::U32 => 8,
        DataModelType::U64 => 9,
        DataModelType::U128 => 10,
        DataModelType::Usize => 11,
        DataModelType::Isize => 12,
        DataModelType::F32 => 13,
        DataModelType::F64 => 14,
        DataModelType::Char => 15,
        DataModelType::String => 16,
        DataModelType::ByteArray => 17,
        DataModelType::Option(_) => 18,
        DataModelType::Unit => 19,
        DataModelType::UnitStruct => 20,
        DataModelType::NewtypeStruct(_) => 21,
        DataModelType::Seq(_) => 22,
        DataModelType::Tuple(_) => 23,
        DataModelType::TupleStruct(_) => 24,
        DataModelType::Map { .. } => 25,
        DataModelType::Struct(_) => 26,
        DataModelType::Enum(_) => 27,
        DataModelType::Schema => 28,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::String;
    use std::vec::Vec;

    use postcard_schema::Schema;
    use postcard_schema::schema::owned::OwnedNamedType;

    use super::{FORMAT, encode, encoded_length};

    #[derive(Schema)]
    #[allow(dead_code, reason = "only its schema is used")]
    enum Shape {
        Point,
        Circle(u32),
        Box(i8, f64),
        Named { name: String, open: bool },
    }

    #[derive(Schema)]
    #[allow(dead_code, reason = "only its schema is used")]
    struct Parameters {
        port: Option<u16>,
        shapes: Vec<Shape>,
        pair: (char, ()),
        nested: Wrapped,
    }

    #[derive(Schema)]
    #[allow(dead_code, reason = "only its schema is used")]
    struct Wrapped(u64);

    #[test]
    fn the_section_decodes_to_the_schema_that_postcard_schema_knows() {
        const LENGTH: usize = encoded_length::<Parameters, Wrapped>("task", "1.2.3");
        static SECTION: [u8; LENGTH] = encode::<Parameters, Wrapped, LENGTH>("task", "1.2.3");
        let decoded: (u8, String, String, OwnedNamedType, OwnedNamedType) = postcard::from_bytes(&SECTION).unwrap();
        assert_eq!(decoded.0, FORMAT);
        assert_eq!((decoded.1.as_str(), decoded.2.as_str()), ("task", "1.2.3"));
        assert_eq!(decoded.3, OwnedNamedType::from(Parameters::SCHEMA));
        assert_eq!(decoded.4, OwnedNamedType::from(Wrapped::SCHEMA));
    }
}
