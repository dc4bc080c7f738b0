//! One value of a `key=value` pair as a serde deserializer.

use alloc::string::String;

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, EnumAccess, IntoDeserializer, SeqAccess, VariantAccess, Visitor};

use super::{Refusal, split_once};

/// The text of a value (or of a key).
pub(super) struct Value<'a>(pub(super) &'a str);

fn expected(what: &str) -> Refusal {
    Refusal::expected(String::from(what))
}

macro_rules! numbers {
    ($($method:ident $visit:ident $type:ident $read:ident,)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
            visitor.$visit($read(self.0, $type::MIN.into(), $type::MAX.into())? as $type)
        })*
    };
}

/// A whole number in a range: one function for all types, so that an image has one parser.
fn unsigned(text: &str, least: u64, most: u64) -> Result<u64, Refusal> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| Refusal::expected(alloc::format!("a whole number from {least} to {most}")))
}

/// The same with a sign.
fn signed(text: &str, least: i64, most: i64) -> Result<i64, Refusal> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| Refusal::expected(alloc::format!("a whole number from {least} to {most}")))
}

impl<'de> serde::Deserializer<'de> for Value<'_> {
    type Error = Refusal;

    numbers! {
        deserialize_i8 visit_i8 i8 signed,
        deserialize_i16 visit_i16 i16 signed,
        deserialize_i32 visit_i32 i32 signed,
        deserialize_i64 visit_i64 i64 signed,
        deserialize_u8 visit_u8 u8 unsigned,
        deserialize_u16 visit_u16 u16 unsigned,
        deserialize_u32 visit_u32 u32 unsigned,
        deserialize_u64 visit_u64 u64 unsigned,
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_f64(self.0.parse().map_err(|_| expected("a number"))?)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_f32(self.0.parse().map_err(|_| expected("a number"))?)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_bool(self.0.parse().map_err(|_| expected("true or false"))?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_seq(Items(self.0))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        if variants.contains(&self.0) {
            visitor.visit_enum(Variant(self.0))
        } else {
            Err(Refusal::expected(alloc::format!("one of {}", variants.join(", "))))
        }
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_str(self.0)
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct tuple tuple_struct map struct identifier ignored_any
    }
}

/// The items of a comma-separated list.
struct Items<'a>(&'a str);

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Refusal;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Refusal> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let (item, rest) = split_once(self.0, b',').unwrap_or((self.0, ""));
        self.0 = rest;
        seed.deserialize(Value(item)).map(Some)
    }
}

/// A variant without data, by its name.
struct Variant<'a>(&'a str);

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = Refusal;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Refusal> {
        let name: StrDeserializer<'_, Refusal> = self.0.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Refusal;

    fn unit_variant(self) -> Result<(), Refusal> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _seed: T) -> Result<T::Value, Refusal> {
        Err(expected("a variant that a word can name"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _length: usize, _visitor: V) -> Result<V::Value, Refusal> {
        Err(expected("a variant that a word can name"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Refusal> {
        Err(expected("a variant that a word can name"))
    }
}
