//! How contracts and rules are written: `key=value&key=value`.

/// The pairs of a text, in their order.
///
/// # Errors
/// What is wrong with it.
pub fn pairs(text: &str) -> impl Iterator<Item = Result<(&str, &str), &'static str>> {
    text.split('&').map(|pair| pair.split_once('=').ok_or("it is key=value, with & between"))
}

/// A number, of which `what` says what it must be.
pub fn number<T: core::str::FromStr>(text: &str, what: &'static str) -> Result<T, &'static str> {
    text.parse().map_err(|_| what)
}
