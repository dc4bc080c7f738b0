//! What an answer says that is none that was asked for.

use std::io::Read;

use ureq::Body;
use ureq::http::Response;

/// The most of a refusal's text that is shown.
const MOST_ERROR_BYTES: u64 = 1000;

/// An answer's status and the beginning of its text.
pub(super) fn told(response: Response<Body>) -> String {
    let status = response.status();
    let mut text = String::new();
    // What cannot be read adds nothing to the status.
    let _ = response.into_body().into_reader().take(MOST_ERROR_BYTES).read_to_string(&mut text);
    format!("{status} {}", text.trim().escape_debug()).trim_end().to_owned()
}
