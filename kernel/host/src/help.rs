//! A task's parameters, listed from their schema.

use std::fmt::Write;

use postcard_schema::Schema;
use postcard_schema::schema::{DataModelType, DataModelVariant, NamedType};

/// The keys, with what each takes and whether it must be given.
pub fn text<P: Schema>(task: &str) -> String {
    let mut text = format!("usage: {task} [key=value ...]");
    let fields = match P::SCHEMA.ty {
        DataModelType::Struct(fields) => *fields,
        _ => &[],
    };
    if fields.is_empty() {
        text.push_str("\nThis task has no parameters.");
    }
    let width = fields.iter().map(|field| field.name.len()).max().unwrap_or(0);
    for field in fields {
        let (ty, needed) = match field.ty.ty {
            DataModelType::Option(inner) => (*inner, ""),
            _ => (field.ty, ", must be given"),
        };
        // Writing to a string does not fail.
        let _ = write!(text, "\n  {:width$}  {}{needed}", field.name, kind(ty));
    }
    text
}

/// What a value looks like, in words.
fn kind(ty: &NamedType) -> String {
    let whole = |least: i128, most: i128| format!("a whole number from {least} to {most}");
    match ty.ty {
        DataModelType::Bool => "true or false".into(),
        DataModelType::I8 => whole(i8::MIN.into(), i8::MAX.into()),
        DataModelType::U8 => whole(0, u8::MAX.into()),
        DataModelType::I16 => whole(i16::MIN.into(), i16::MAX.into()),
        DataModelType::U16 => whole(0, u16::MAX.into()),
        DataModelType::I32 => whole(i32::MIN.into(), i32::MAX.into()),
        DataModelType::U32 => whole(0, u32::MAX.into()),
        DataModelType::I64 => whole(i64::MIN.into(), i64::MAX.into()),
        DataModelType::U64 | DataModelType::Usize => whole(0, u64::MAX.into()),
        DataModelType::F32 | DataModelType::F64 => "a number".into(),
        DataModelType::Char => "a character".into(),
        DataModelType::String => "text".into(),
        DataModelType::Option(inner) | DataModelType::NewtypeStruct(inner) => kind(inner),
        DataModelType::Seq(inner) => format!("a list, separated by commas: {}", kind(inner)),
        DataModelType::Enum(variants) => {
            let words = variants.iter().filter(|variant| matches!(variant.ty, DataModelVariant::UnitVariant));
            format!("one of {}", words.map(|variant| variant.name).collect::<Vec<_>>().join(", "))
        }
        _ => ty.name.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Schema)]
    #[allow(dead_code, reason = "only its schema is used")]
    struct Parameters {
        broker: String,
        port: Option<u16>,
        topics: Vec<String>,
    }

    #[test]
    fn the_listing_says_what_each_key_takes_and_what_must_be_given() {
        let expected = "usage: collect [key=value ...]\
            \n  broker  text, must be given\
            \n  port    a whole number from 0 to 65535\
            \n  topics  a list, separated by commas: text, must be given";
        assert_eq!(text::<Parameters>("collect"), expected);
    }

    #[derive(Schema)]
    struct Nothing;

    #[test]
    fn a_task_without_parameters_says_so() {
        assert!(text::<Nothing>("hello").ends_with("no parameters."));
    }
}
