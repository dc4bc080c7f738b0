//! A task's parameters as a person writes them: `key=value key=value ...`, typed by serde.
//!
//! Lists are written `key=one,two`. A key that may be left out has the type `Option`. Every error names the key and
//! says what would be right. Where a program writes parameters, they travel as postcard instead.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;

use serde::de::{DeserializeOwned, DeserializeSeed, SeqAccess, Visitor};

mod value;

/// Why parameters were refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A word without `=`.
    NotAPair {
        /// The word.
        word: String,
    },
    /// The task has no such parameter.
    Unknown {
        /// The key.
        key: String,
        /// The keys there are.
        known: Vec<&'static str>,
    },
    /// The key is given more than once.
    Repeated {
        /// The key.
        key: String,
    },
    /// A parameter that the task needs is not given.
    Missing {
        /// The key.
        key: &'static str,
    },
    /// The value does not fit the parameter's type.
    Malformed {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// The parameters' type is not a struct: a mistake of the task's author.
    NotAStruct,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NotAPair { word } => write!(f, "parameter \"{word}\": expected key=value"),
            Error::Unknown { key, known } => {
                write!(f, "parameter \"{key}\" is unknown")?;
                for (i, key) in known.iter().enumerate() {
                    write!(f, "{}{key}", if i == 0 { "; there are: " } else { ", " })?;
                }
                Ok(())
            }
            Error::Repeated { key } => write!(f, "parameter \"{key}\" is given twice"),
            Error::Missing { key } => write!(f, "parameter \"{key}\" is missing: add {key}=..."),
            // Values that are right one by one may not fit together; then the message says all.
            Error::Malformed { key, expected, .. } if key.is_empty() => f.write_str(expected),
            Error::Malformed { key, value, expected } => {
                write!(f, "parameter \"{key}\": \"{value}\" is not {expected}")
            }
            Error::NotAStruct => f.write_str("the parameters are not a struct"),
        }
    }
}

impl core::error::Error for Error {}

impl Error {
    /// A value that is not what it should be; without a key, `expected` says all.
    #[cfg(feature = "net")]
    #[inline(never)]
    pub(crate) fn malformed(key: &str, value: &str, expected: &str) -> Box<Self> {
        Box::new(Self::Malformed { key: key.to_owned(), value: value.to_owned(), expected: expected.to_owned() })
    }
}

/// An [`Error`] on its way out of serde's code: a single word, because that code hands it on once for each field.
#[derive(Debug)]
struct Refusal(Box<Error>);

impl Refusal {
    /// A value that does not know yet whose it is.
    fn expected(what: String) -> Self {
        Self(Box::new(Error::Malformed { key: String::new(), value: String::new(), expected: what }))
    }

    /// Names the key and the value, if it is a value that was refused.
    fn of(mut self, key: &str, text: &str) -> Self {
        if let Error::Malformed { key: its_key, value, .. } = &mut *self.0 {
            *its_key = key.to_owned();
            *value = text.to_owned();
        }
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl core::error::Error for Refusal {}

impl serde::de::Error for Refusal {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::expected(message.to_string())
    }

    fn missing_field(key: &'static str) -> Self {
        Self(Box::new(Error::Missing { key }))
    }
}

/// A command line, from which several readers each take the keys they know.
pub struct Parameters<'a> {
    pairs: Vec<(&'a str, &'a str)>,
    known: Vec<&'static str>,
}

impl<'a> Parameters<'a> {
    /// Splits a command line into pairs.
    ///
    /// # Errors
    /// [`Error::NotAPair`] and [`Error::Repeated`].
    pub fn parse(command_line: &'a str) -> Result<Self, Box<Error>> {
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        for word in command_line.split_ascii_whitespace() {
            let Some((key, value)) = split_once(word, b'=').filter(|(key, _)| !key.is_empty()) else {
                return Err(Box::new(Error::NotAPair { word: word.to_owned() }));
            };
            if pairs.iter().any(|(earlier, _)| *earlier == key) {
                return Err(Box::new(Error::Repeated { key: key.to_owned() }));
            }
            pairs.push((key, value));
        }
        Ok(Self { pairs, known: Vec::new() })
    }

    /// Reads the fields of the struct `T`, and leaves other keys to other readers.
    ///
    /// # Errors
    /// [`Error::Missing`] and [`Error::Malformed`].
    pub fn read<T: DeserializeOwned>(&mut self) -> Result<T, Box<Error>> {
        self.read_with(PhantomData::<T>)
    }

    /// The same for who knows the struct only when the program runs: tools, from a task's [schema](crate::schema). What
    /// they accept is what a guest accepts, because both are read here.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_with<'de, S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Box<Error>> {
        seed.deserialize(Reader { pairs: &self.pairs, known: &mut self.known }).map_err(|refusal| refusal.0)
    }

    /// The text of one key, without serde.
    #[cfg(feature = "net")]
    pub(crate) fn text(&mut self, key: &'static str) -> Option<&'a str> {
        self.known.push(key);
        self.pairs.iter().find(|pair| pair.0 == key).map(|pair| pair.1)
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`Error::Unknown`] when a key is left that no reader knew.
    pub fn finish(self) -> Result<(), Box<Error>> {
        match self.pairs.iter().find(|(key, _)| !self.known.contains(key)) {
            Some((key, _)) => Err(Box::new(Error::Unknown { key: (*key).to_owned(), known: self.known })),
            None => Ok(()),
        }
    }
}

/// The parts of a text before and behind a separator, which is ASCII.
// The standard library's function searches for any character, with code for long texts: 300 bytes more.
#[inline(never)]
pub(crate) fn split_once(text: &str, separator: u8) -> Option<(&str, &str)> {
    let at = text.bytes().position(|byte| byte == separator)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// Deserializes one struct from the pairs.
struct Reader<'p, 'a> {
    pairs: &'p [(&'a str, &'a str)],
    known: &'p mut Vec<&'static str>,
}

impl<'de> serde::Deserializer<'de> for Reader<'_, '_> {
    type Error = Refusal;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.known.extend_from_slice(fields);
        visitor.visit_seq(Fields { pairs: self.pairs, fields })
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_unit()
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Refusal> {
        Err(Refusal(Box::new(Error::NotAStruct)))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit newtype_struct
        seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// The struct's fields in their order, each with its pair if there is one. A map would serve as well; its reader costs
/// half a kilobyte more for each field.
struct Fields<'p, 'a> {
    pairs: &'p [(&'a str, &'a str)],
    fields: &'static [&'static str],
}

impl<'de> SeqAccess<'de> for Fields<'_, '_> {
    type Error = Refusal;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Refusal> {
        let Some((key, rest)) = self.fields.split_first() else { return Ok(None) };
        self.fields = rest;
        let read = match self.pairs.iter().find(|pair| pair.0 == *key) {
            Some((_, text)) => seed.deserialize(value::Value(text)).map_err(|refusal: Refusal| refusal.of(key, text)),
            None => seed.deserialize(Missing(key)),
        };
        read.map(Some)
    }
}

/// A field without a pair.
struct Missing(&'static str);

impl<'de> serde::Deserializer<'de> for Missing {
    type Error = Refusal;

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_none()
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Refusal> {
        Err(serde::de::Error::missing_field(self.0))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests;
