//! What who starts a guest says: the command line as text, the task's parameters as postcard.

use kernel::parameters::Parameters;

/// Reads the bytes as both.
pub fn run(bytes: &[u8]) {
    // The types of postcard's input are the task's own; a number of elements that is a lie must not be allocated.
    let _ = postcard::from_bytes::<collect::Parameters>(bytes);
    let Ok(text) = core::str::from_utf8(bytes) else { return };
    let mut words = match Parameters::parse(text) {
        Ok(words) => words,
        Err(error) => return drop(error.to_string()),
    };
    // In the order of the platform, which goes on after an error only to say which keys there are.
    let _ = kernel::net::Parameters::read(&mut words).map_err(|error| error.to_string());
    let _ = words.read::<collect::Parameters>().map_err(|error| error.to_string());
    let _ = words.finish().map_err(|error| error.to_string());
}
