//! A report in postcard, read with its schema.

use anyhow::{Context, Result, bail, ensure};
use postcard_schema::schema::owned::{OwnedDataModelType as Type, OwnedDataModelVariant as Variant, OwnedNamedType};
use serde::de::DeserializeOwned;

use crate::Description;

impl Description {
    /// The fields of a report in their order, each with its path (`sensors.0.mean`) and its value as text.
    ///
    /// # Errors
    /// When the bytes do not fit the schema.
    pub fn report_fields(&self, postcard: &[u8]) -> Result<Vec<(String, String)>> {
        let mut reader = Reader { rest: postcard, path: Vec::new(), fields: Vec::new() };
        reader.value(&self.report).with_context(|| format!("the report of \"{}\" does not fit its type", self.task))?;
        ensure!(reader.rest.is_empty(), "the report of \"{}\" is longer than its type", self.task);
        Ok(reader.fields)
    }

    /// A report as one line of `key=value`.
    ///
    /// # Errors
    /// When the bytes do not fit the schema.
    pub fn report_line(&self, postcard: &[u8]) -> Result<String> {
        let pair = |(path, value): (String, String)| if path.is_empty() { value } else { format!("{path}={value}") };
        Ok(self.report_fields(postcard)?.into_iter().map(pair).collect::<Vec<_>>().join(" "))
    }
}

/// The bytes to come and where in the report they stand.
struct Reader<'b> {
    rest: &'b [u8],
    path: Vec<String>,
    fields: Vec<(String, String)>,
}

impl Reader<'_> {
    fn value(&mut self, named: &OwnedNamedType) -> Result<()> {
        match &named.ty {
            Type::Bool => self.plain::<bool>(),
            Type::I8 => self.plain::<i8>(),
            Type::U8 => self.plain::<u8>(),
            Type::I16 => self.plain::<i16>(),
            Type::I32 => self.plain::<i32>(),
            Type::I64 | Type::Isize => self.plain::<i64>(),
            Type::I128 => self.plain::<i128>(),
            Type::U16 => self.plain::<u16>(),
            Type::U32 => self.plain::<u32>(),
            Type::U64 | Type::Usize => self.plain::<u64>(),
            Type::U128 => self.plain::<u128>(),
            Type::F32 => self.plain::<f32>(),
            Type::F64 => self.plain::<f64>(),
            Type::Char => self.plain::<char>(),
            Type::String => self.plain::<String>(),
            Type::ByteArray => {
                let bytes: Vec<u8> = self.take()?;
                self.push(bytes.iter().map(|byte| format!("{byte:02x}")).collect());
                Ok(())
            }
            Type::Option(inner) => match self.take::<u8>()? {
                0 => Ok(()),
                1 => self.value(inner),
                other => bail!("{}: {other} is neither none nor some", self.place()),
            },
            Type::Unit | Type::UnitStruct => Ok(()),
            Type::NewtypeStruct(inner) => self.value(inner),
            Type::Seq(item) => {
                let count: u64 = self.take()?;
                (0..count).try_for_each(|number| self.within(&number.to_string(), item))
            }
            Type::Tuple(items) | Type::TupleStruct(items) => self.numbered(items),
            Type::Map { key, val } => {
                let count: u64 = self.take()?;
                (0..count).try_for_each(|number| {
                    self.within(&(2 * number).to_string(), key)?;
                    self.within(&(2 * number + 1).to_string(), val)
                })
            }
            Type::Struct(fields) => fields.iter().try_for_each(|field| self.within(&field.name, &field.ty)),
            Type::Enum(variants) => {
                let number: u32 = self.take()?;
                let variant = variants.get(number as usize);
                let variant = variant.with_context(|| format!("{}: there is no variant {number}", self.place()))?;
                self.variant(&variant.name, &variant.ty)
            }
            Type::Schema => bail!("{}: a schema as a value is not supported", self.place()),
        }
    }

    fn variant(&mut self, name: &str, variant: &Variant) -> Result<()> {
        if let Variant::UnitVariant = variant {
            self.push(name.to_owned());
            return Ok(());
        }
        self.path.push(name.to_owned());
        match variant {
            Variant::UnitVariant => {}
            Variant::NewtypeVariant(inner) => self.value(inner)?,
            Variant::TupleVariant(items) => self.numbered(items)?,
            Variant::StructVariant(fields) => {
                fields.iter().try_for_each(|field| self.within(&field.name, &field.ty))?;
            }
        }
        self.path.pop();
        Ok(())
    }

    fn numbered(&mut self, items: &[OwnedNamedType]) -> Result<()> {
        items.iter().enumerate().try_for_each(|(number, item)| self.within(&number.to_string(), item))
    }

    fn within(&mut self, name: &str, ty: &OwnedNamedType) -> Result<()> {
        self.path.push(name.to_owned());
        self.value(ty)?;
        self.path.pop();
        Ok(())
    }

    fn plain<T: DeserializeOwned + std::fmt::Display>(&mut self) -> Result<()> {
        let text = self.take::<T>()?.to_string();
        self.push(text);
        Ok(())
    }

    fn take<T: DeserializeOwned>(&mut self) -> Result<T> {
        let (value, rest) = postcard::take_from_bytes(self.rest).with_context(|| self.place())?;
        self.rest = rest;
        Ok(value)
    }

    fn push(&mut self, value: String) {
        self.fields.push((self.path.join("."), value));
    }

    fn place(&self) -> String {
        format!("at \"{}\"", self.path.join("."))
    }
}

#[cfg(test)]
mod tests {
    use postcard_schema::Schema;
    use serde::Serialize;

    use crate::Description;

    #[derive(Serialize, Schema)]
    struct Report {
        readings: u64,
        note: Option<String>,
        sensors: Vec<Sensor>,
        ended: Ended,
        last: Ended,
    }

    #[derive(Serialize, Schema)]
    struct Sensor {
        name: String,
        mean: f64,
        letter: char,
    }

    #[derive(Serialize, Schema)]
    enum Ended {
        Asked,
        Failed { code: i16 },
    }

    fn encoded() -> Vec<u8> {
        postcard::to_stdvec(&Report {
            readings: 300,
            note: None,
            sensors: vec![
                Sensor { name: "t".into(), mean: 1.5, letter: 'ß' },
                Sensor { name: "p".into(), mean: f64::NAN, letter: 'x' },
            ],
            ended: Ended::Asked,
            last: Ended::Failed { code: -7 },
        })
        .unwrap()
    }

    #[test]
    fn a_report_is_printed_without_knowing_its_type() {
        let line = Description::of::<(), Report>("collect").report_line(&encoded()).unwrap();
        assert_eq!(
            line,
            "readings=300 sensors.0.name=t sensors.0.mean=1.5 sensors.0.letter=ß sensors.1.name=p sensors.1.mean=NaN \
             sensors.1.letter=x ended=Asked last.Failed.code=-7"
        );
    }

    #[test]
    fn a_plain_value_has_no_name() {
        let line = Description::of::<(), u32>("count").report_line(&[5]).unwrap();
        assert_eq!(line, "5");
    }

    #[test]
    fn a_short_report_names_the_place_where_it_ends() {
        let bytes = encoded();
        let description = Description::of::<(), Report>("collect");
        let error = format!("{:#}", description.report_line(&bytes[..8]).unwrap_err());
        assert!(error.starts_with("the report of \"collect\" does not fit its type: at \"sensors.0.mean\""), "{error}");
        let long = [&bytes[..], &[0]].concat();
        let error = description.report_line(&long).unwrap_err().to_string();
        assert_eq!(error, "the report of \"collect\" is longer than its type");
    }
}
