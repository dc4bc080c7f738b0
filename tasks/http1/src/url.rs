//! URLs that can be fetched: `http://host[:port][/path][?query]` (RFC 3986; RFC 9110, section 4.2).

use alloc::string::String;
use core::fmt::{self, Write};

use fluent_uri::component::{Authority, Host};
use fluent_uri::{ParseError, ParseErrorKind, Uri, UriRef};

/// The longest URL in bytes: servers refuse longer ones.
const URL_BYTES: usize = 4096;

/// The port of HTTP.
const PORT: u16 = 80;

/// Where something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    uri: Uri<String>,
    port: u16,
}

/// Why a URL cannot be fetched, as the end of a sentence that begins with the URL.
pub type Fault = &'static str;

impl Url {
    /// Reads a URL.
    ///
    /// # Errors
    /// It is none, or none of plain HTTP.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if text.len() > URL_BYTES {
            return Err("is longer than 4096 bytes");
        }
        if !text.contains("://") {
            return Err("must begin with http://");
        }
        let uri = Uri::parse(text).map_err(|error| fault(text, error))?;
        Self::of(uri.to_owned())
    }

    /// What a reference in an answer from here leads to (RFC 3986, section 5.2).
    ///
    /// # Errors
    /// As [`Url::parse`].
    pub fn join(&self, reference: &str) -> Result<Self, Fault> {
        let parsed = UriRef::parse(reference).map_err(|error| fault(reference, error))?;
        let joined = parsed.resolve_against(&self.uri).map_err(|_| "cannot be resolved")?;
        if joined.as_str().len() > URL_BYTES {
            return Err("is longer than 4096 bytes");
        }
        Self::of(joined)
    }

    /// The same server's resource at a path, with these keys and values as its query, of any characters.
    ///
    /// # Errors
    /// As [`Url::parse`].
    pub fn with_query(&self, path: &str, pairs: &[(&str, &str)]) -> Result<Self, Fault> {
        let mut reference = String::from(path);
        for (number, (key, value)) in pairs.iter().enumerate() {
            reference.push(if number == 0 { '?' } else { '&' });
            push_encoded(&mut reference, key);
            reference.push('=');
            push_encoded(&mut reference, value);
        }
        self.join(&reference)
    }

    /// Checks what is a URI already.
    fn of(mut uri: Uri<String>) -> Result<Self, Fault> {
        // A fragment is the client's own business, and this one has none.
        uri.set_fragment(None);
        let scheme = uri.scheme().as_str();
        if scheme.eq_ignore_ascii_case("https") {
            return Err("asks for https, which is not supported yet");
        }
        if !scheme.eq_ignore_ascii_case("http") {
            return Err("must begin with http://");
        }
        let authority = uri.authority().ok_or("must begin with http://")?;
        if authority.userinfo().is_some() {
            return Err("has a user name before its host, which is not supported");
        }
        match authority.host_parsed() {
            Host::RegName(name) if name.as_str().is_empty() => return Err("has no host: http://host[:port]/path"),
            Host::RegName(_) | Host::Ipv4 { .. } => {}
            _ => return Err("has an IPv6 address, which is not supported yet"),
        }
        let port = port(authority).ok_or(PORT_FAULT)?;
        Ok(Self { uri, port })
    }

    /// The host: an address or a name.
    pub fn host(&self) -> &str {
        self.authority().map_or("", |authority| authority.host())
    }

    /// The port, 80 if the URL names none.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What a server is told for the field `Host`: the host, and the port if the URL names one.
    pub fn host_and_port(&self) -> &str {
        self.authority().map_or("", |authority| authority.as_str().trim_end_matches(':'))
    }

    /// What of the server's is wanted: path and query as the URL has them.
    pub fn target(&self) -> (&str, Option<&str>) {
        let path = self.uri.path().as_str();
        (if path.is_empty() { "/" } else { path }, self.uri.query().map(|query| query.as_str()))
    }

    fn authority(&self) -> Option<Authority<'_>> {
        self.uri.authority()
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.uri.as_str())
    }
}

/// Appends a text as a part of a query (RFC 3986, section 2.1).
fn push_encoded(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // A string takes what it is given.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

const PORT_FAULT: Fault = "has a port that is not from 1 to 65535";
const BRACKETS_FAULT: Fault = "has brackets around something that is no IPv6 address";

/// An authority's port; `None` if it is none that can be connected to.
fn port(authority: Authority<'_>) -> Option<u16> {
    match authority.port() {
        // RFC 3986, section 3.2.3: an empty port is the default one.
        None => Some(PORT),
        Some(port) if port.as_str().is_empty() => Some(PORT),
        Some(port) => port.as_str().parse().ok().filter(|port| *port != 0),
    }
}

/// What is wrong with a text that is no URI.
fn fault(text: &str, error: ParseError) -> Fault {
    let begun = begun_authority(text, error.index());
    match error.kind() {
        ParseErrorKind::InvalidPctEncodedOctet => "has a % without two hexadecimal digits behind it",
        ParseErrorKind::InvalidIpv6Addr => BRACKETS_FAULT,
        ParseErrorKind::UnexpectedChar if begun.contains('[') => BRACKETS_FAULT,
        ParseErrorKind::UnexpectedChar if begun.contains(':') => PORT_FAULT,
        ParseErrorKind::UnexpectedChar => {
            "has a character that URLs have not: write it as % and two hexadecimal digits"
        }
    }
}

/// The authority as far as it comes before this place of a text; empty if the place is not in it.
fn begun_authority(text: &str, place: usize) -> &str {
    let authority = text.get(..place).and_then(|before| before.split_once("//")).map_or("", |(_, authority)| authority);
    if authority.contains(['/', '?', '#', '@']) { "" } else { authority }
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned;
    use alloc::format;
    use alloc::string::ToString;

    use super::*;

    fn parsed(text: &str) -> (String, u16, String, String) {
        let url = Url::parse(text).expect("a URL");
        let (path, query) = url.target();
        let target = query.map_or(path.to_owned(), |query| format!("{path}?{query}"));
        (url.host().to_owned(), url.port(), url.host_and_port().to_owned(), target)
    }

    fn fields(host: &str, port: u16, host_and_port: &str, target: &str) -> (String, u16, String, String) {
        (host.to_owned(), port, host_and_port.to_owned(), target.to_owned())
    }

    #[test]
    fn a_url_has_a_host_and_may_have_a_port_a_path_and_a_query() {
        assert_eq!(parsed("http://a"), fields("a", 80, "a", "/"));
        assert_eq!(parsed("http://a.b:8080/c/d?e=f:/#g"), fields("a.b", 8080, "a.b:8080", "/c/d?e=f:/"));
        assert_eq!(parsed("http://10.0.2.2:1/"), fields("10.0.2.2", 1, "10.0.2.2:1", "/"));
        assert_eq!(parsed("http://a#b"), fields("a", 80, "a", "/"));
        assert_eq!(parsed("HTTP://A/b"), fields("A", 80, "A", "/b"));
        assert_eq!(parsed("http://a?b"), fields("a", 80, "a", "/?b"));
        assert_eq!(parsed("http://a:/b%20c"), fields("a", 80, "a", "/b%20c"));
    }

    #[test]
    fn what_cannot_be_fetched_says_why() {
        let long = format!("http://a/{}", "b".repeat(URL_BYTES));
        for (text, part) in [
            ("", "must begin with http://"),
            ("a", "must begin with http://"),
            ("localhost:8080/a", "must begin with http://"),
            ("ftp://a/", "must begin with http://"),
            ("https://a/", "https, which is not supported"),
            ("HttpS://a/", "https, which is not supported"),
            ("http://", "no host"),
            ("http:///a", "no host"),
            ("http://:80/", "no host"),
            ("http://a:0/", "port"),
            ("http://a:65536/", "port"),
            ("http://a:99999999999999999999/", "port"),
            ("http://a:b/", "port"),
            ("http://a:-1/", "port"),
            ("http://me@a/", "user name"),
            ("http://me:secret@127.0.0.1/", "user name"),
            ("http://[::1]/", "IPv6"),
            ("http://[::1]:80/", "IPv6"),
            ("http://[::1/", "brackets"),
            ("http://[a]/", "brackets"),
            ("http://a]/", "character"),
            ("http://a b/", "character"),
            ("http://a/b c", "character"),
            ("http://a/\r\nb: c", "character"),
            ("http://a/\u{e4}", "character"),
            ("http://a/100%", "hexadecimal digits behind it"),
            (long.as_str(), "longer"),
        ] {
            let fault = Url::parse(text).expect_err(text);
            assert!(fault.contains(part), "{text}: {fault}");
        }
    }

    #[test]
    fn a_query_may_have_any_characters() {
        let base = Url::parse("http://a:81/b?c").expect("a URL");
        let url = base.with_query("/query", &[("q", "SELECT \"a&b\"=1\u{e4}"), ("db", "x")]).expect("a URL");
        assert_eq!(url.to_string(), "http://a:81/query?q=SELECT%20%22a%26b%22%3D1%C3%A4&db=x");
        assert!(base.with_query("/", &[("q", &"\u{e4}".repeat(1000))]).expect_err("long").contains("longer"));
    }

    #[test]
    fn a_reference_leads_on_from_where_it_was_found() {
        let base = Url::parse("http://a:81/b/c?d").expect("a URL");
        for (reference, expected) in [
            ("http://e/f", "http://e/f"),
            ("HTTP://e", "HTTP://e"),
            ("//e:82/f?g#h", "http://e:82/f?g"),
            ("/f", "http://a:81/f"),
            ("f", "http://a:81/b/f"),
            ("../../f/./g", "http://a:81/f/g"),
            ("?h", "http://a:81/b/c?h"),
            ("", "http://a:81/b/c?d"),
        ] {
            assert_eq!(base.join(reference).map(|url| url.to_string()), Ok(expected.to_owned()), "{reference}");
        }
        for (reference, part) in [
            ("https://a/", "https"),
            ("mailto:a@b", "must begin"),
            ("/a b", "character"),
            ("//[::1]/", "IPv6"),
            ("//u@a/", "user name"),
        ] {
            assert!(base.join(reference).expect_err(reference).contains(part), "{reference}");
        }
        assert!(base.join(&"b".repeat(URL_BYTES)).expect_err("long").contains("longer"));
    }
}
