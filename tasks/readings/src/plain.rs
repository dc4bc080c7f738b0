//! A number alone, as ESPHome, Homie and many small devices publish it: `21.5`.

use crate::{Item, Reading, Unreadable, number};

/// Reads the number. `reading` says everything about it but the value. `nan`, which stands for a sensor without a
/// value, is no number to compute with.
///
/// # Errors
/// [`Unreadable`] when it is neither.
pub fn read(text: &[u8], reading: Reading<'_>, take: &mut dyn FnMut(Item<'_>)) -> Result<(), Unreadable> {
    let text = text.trim_ascii();
    let item = match number::parse_decimal(text) {
        Some(value) => Item::Reading(Reading { value, ..reading }),
        None if text.eq_ignore_ascii_case(b"nan") => Item::Other,
        None => return Err(Unreadable),
    };
    take(item);
    Ok(())
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::read;
    use crate::{Item, Reading};

    const READING: Reading<'_> = Reading { name: "a", unit: "Cel", time: 5.0, dated: false, value: 0.0 };

    #[test]
    fn a_number_alone_is_a_reading() {
        for (text, item) in [
            ("21.5", Some(Item::Reading(Reading { value: 21.5, ..READING }))),
            (" +.5\r\n", Some(Item::Reading(Reading { value: 0.5, ..READING }))),
            ("NaN", Some(Item::Other)),
            ("", None),
            ("on", None),
            ("21.5 C", None),
            ("{\"v\":1}", None),
            ("1e999", None),
        ] {
            let mut items = Vec::new();
            let result =
                read(text.as_bytes(), READING, &mut |found| items.push(matches!(&item, Some(item) if *item == found)));
            assert_eq!((items, result.is_ok()), (item.iter().map(|_| true).collect(), item.is_some()), "{text}");
        }
    }
}
