//! A task's parameters as a person writes them: `key=value key=value ...`, typed by serde.
//!
//! Lists are written `key=one,two`. A key that may be left out has the type `Option`. Every error names the key and says
//! what would be right. Where a program writes parameters, they travel as postcard instead.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::de::{DeserializeOwned, MapAccess, Visitor};

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

impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Error::Malformed { key: String::new(), value: String::new(), expected: alloc::format!("{message}") }
    }

    fn missing_field(key: &'static str) -> Self {
        Error::Missing { key }
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
    pub fn parse(command_line: &'a str) -> Result<Self, Error> {
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        for word in command_line.split_ascii_whitespace() {
            let Some((key, value)) = word.split_once('=').filter(|(key, _)| !key.is_empty()) else {
                return Err(Error::NotAPair { word: word.to_owned() });
            };
            if pairs.iter().any(|(earlier, _)| *earlier == key) {
                return Err(Error::Repeated { key: key.to_owned() });
            }
            pairs.push((key, value));
        }
        Ok(Self { pairs, known: Vec::new() })
    }

    /// Reads the fields of the struct `T`, and leaves other keys to other readers.
    ///
    /// # Errors
    /// [`Error::Missing`] and [`Error::Malformed`].
    pub fn read<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        T::deserialize(Reader { pairs: &self.pairs, known: &mut self.known })
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`Error::Unknown`] when a key is left that no reader knew.
    pub fn finish(self) -> Result<(), Error> {
        match self.pairs.iter().find(|(key, _)| !self.known.contains(key)) {
            Some((key, _)) => Err(Error::Unknown { key: (*key).to_owned(), known: self.known }),
            None => Ok(()),
        }
    }
}

/// Deserializes one struct from the pairs.
struct Reader<'p, 'a> {
    pairs: &'p [(&'a str, &'a str)],
    known: &'p mut Vec<&'static str>,
}

impl<'de> serde::Deserializer<'de> for Reader<'_, '_> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.known.extend_from_slice(fields);
        visitor.visit_map(Fields { pairs: self.pairs, fields, value: None })
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Error> {
        Err(Error::NotAStruct)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit newtype_struct
        seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// The pairs whose keys are fields of the struct.
struct Fields<'p, 'a> {
    pairs: &'p [(&'a str, &'a str)],
    fields: &'static [&'static str],
    value: Option<(&'a str, &'a str)>,
}

impl<'de> MapAccess<'de> for Fields<'_, '_> {
    type Error = Error;

    fn next_key_seed<K: serde::de::DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        while let Some((first, rest)) = self.pairs.split_first() {
            self.pairs = rest;
            if self.fields.contains(&first.0) {
                self.value = Some(*first);
                return seed.deserialize(value::Value(first.0)).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<S: serde::de::DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        // serde asks for a value only after a key.
        let (key, text) = self.value.take().unwrap_or_default();
        seed.deserialize(value::Value(text)).map_err(|error| match error {
            Error::Malformed { expected, .. } => {
                Error::Malformed { key: key.to_owned(), value: text.to_owned(), expected }
            }
            other => other,
        })
    }
}

#[cfg(test)]
mod tests;
