//! URLs of the form `http://host[:port][/path]`.

use crate::Error;

/// Longest name in DNS.
const HOST_BYTES: usize = 253;

/// Longest path, with its query.
const PATH_BYTES: usize = 2048;

/// Where something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Url<'a> {
    /// An address or a name.
    pub host: &'a str,
    /// 80 if the URL names none.
    pub port: u16,
    /// As the URL has it: what a server is told for the header `Host`.
    pub authority: &'a str,
    /// With the query; empty or with a slash at its beginning.
    pub path: &'a str,
}

impl<'a> Url<'a> {
    /// The port for HTTP.
    const PORT: u16 = 80;

    /// Reads a URL.
    ///
    /// # Errors
    /// [`Error::Url`], for anything but a plain HTTP URL: what is sent to the server is made of nothing else.
    pub fn parse(text: &'a str) -> Result<Self, Error> {
        let rest = text.strip_prefix("http://").ok_or(Error::Url("must begin with http://"))?;
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::Url("has a space or another character that URLs have not"));
        }
        // By bytes: the searches of `str` would be a KB of code.
        let find = |text: &str, wanted: &[u8]| text.bytes().position(|byte| wanted.contains(&byte));
        let (authority, path) = rest.split_at(find(rest, b"/?#").unwrap_or(rest.len()));
        let path = &path[..find(path, b"#").unwrap_or(path.len())];
        let (host, port) = authority.split_at(find(authority, b":").unwrap_or(authority.len()));
        let port = match port.strip_prefix(':') {
            Some(port) => {
                port.parse().ok().filter(|port| *port != 0).ok_or(Error::Url("must have a port from 1 to 65535"))?
            }
            None => Self::PORT,
        };
        let named = (1..=HOST_BYTES).contains(&host.len()) && find(host, b"@[]").is_none();
        if !named {
            return Err(Error::Url("must have a host: http://host[:port]/path"));
        }
        if path.len() > PATH_BYTES || path.starts_with('?') {
            return Err(Error::Url("must have a path of up to 2048 characters that begins with a slash"));
        }
        Ok(Self { host, port, authority, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (&str, u16, &str, &str) {
        let Url { host, port, authority, path } = Url::parse(text).expect("a URL");
        (host, port, authority, path)
    }

    #[test]
    fn a_url_has_a_host_and_may_have_a_port_and_a_path() {
        assert_eq!(parsed("http://a"), ("a", 80, "a", ""));
        assert_eq!(parsed("http://a.b:8080/c/d?e=f:/#g"), ("a.b", 8080, "a.b:8080", "/c/d?e=f:/"));
        assert_eq!(parsed("http://10.0.2.2:1/"), ("10.0.2.2", 1, "10.0.2.2:1", "/"));
        assert_eq!(parsed("http://a#b"), ("a", 80, "a", ""));
    }

    #[test]
    fn what_cannot_be_fetched_says_why() {
        for text in [
            "",
            "a",
            "https://a/",
            "http://",
            "http:///a",
            "http://:80/",
            "http://a:0/",
            "http://a:65536/",
            "http://a:/",
            "http://a b/",
            "http://a/\r\nb: c",
            "http://me@a/",
            "http://[::1]/",
            "http://a?b",
        ] {
            assert!(matches!(Url::parse(text), Err(Error::Url(_))), "{text}");
        }
        assert!(Url::parse(&alloc::format!("http://a/{}", "b".repeat(PATH_BYTES))).is_err());
    }
}
