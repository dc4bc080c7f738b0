//! What the operator says of sensors: what their messages do not, and what their readings must keep to.

use alloc::string::String;

use feed::TEXT_BYTES;

use crate::options::{number, pairs};
use crate::pattern::Pattern;

/// What is said of all sensors with such a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Their names.
    pub name: Pattern,
    /// What they measure.
    pub kind: Option<String>,
    /// Where they are.
    pub place: Option<String>,
    /// The smallest value that makes sense.
    pub minimum: Option<f64>,
    /// The largest.
    pub maximum: Option<f64>,
    /// The most readings a second of each.
    pub most_per_second: Option<u32>,
}

impl Rule {
    /// Reads `name=home/*/temperature&kind=temperature&place=Home&min=-40&max=85&rate=10`, of which all but the name may be
    /// left out.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let name = text.split('&').next().and_then(|first| first.strip_prefix("name="));
        let name = Pattern::new(name.ok_or("it begins with name=, a pattern")?);
        let mut rule = Self { name, kind: None, place: None, minimum: None, maximum: None, most_per_second: None };
        let described = |text: &str| {
            let fits = text.len() <= TEXT_BYTES && !text.chars().any(char::is_control);
            if fits { Ok(Some(text.into())) } else { Err("a kind and a place have 128 bytes at most") }
        };
        for pair in pairs(text).skip(1) {
            match pair? {
                ("kind", text) => rule.kind = described(text)?,
                ("place", text) => rule.place = described(text)?,
                ("min", text) => rule.minimum = Some(number(text, "min is a number")?),
                ("max", text) => rule.maximum = Some(number(text, "max is a number")?),
                ("rate", text) => rule.most_per_second = Some(number(text, "rate is a number of readings a second")?),
                _ => return Err("a key is name, kind, place, min, max or rate"),
            }
        }
        Ok(rule)
    }
}

#[cfg(test)]
mod tests {
    use super::Rule;

    #[test]
    fn a_rule_says_what_it_says() {
        let rule = Rule::parse("name=a/*&kind=temperature&place=Höfe&min=-40&max=85.5&rate=3").expect("a rule");
        assert!(rule.name.matches("a/b"));
        assert_eq!((rule.kind.as_deref(), rule.place.as_deref()), (Some("temperature"), Some("Höfe")));
        assert_eq!((rule.minimum, rule.maximum, rule.most_per_second), (Some(-40.0), Some(85.5), Some(3)));
        let text = "x".repeat(129);
        for wrong in [
            "",
            "kind=a",
            "name=a&b",
            "name=a&min=x",
            "name=a&rate=-1",
            "name=a&unit=b",
            &std::format!("name=a&kind={text}"),
        ] {
            assert!(Rule::parse(wrong).is_err(), "{wrong}");
        }
    }
}
