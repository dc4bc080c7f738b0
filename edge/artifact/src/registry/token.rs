//! How a registry asks who asks, and tokens of those that have them given out elsewhere.
//!
//! Sources: RFC 9110, 11.6.1; the distribution project's token authentication specification.

use serde::Deserialize;
use ureq::Agent;
use ureq::http::StatusCode;

use super::answer::told;
use super::credentials::Credentials;
use crate::Error;
use crate::source::read_manifest;

/// A way to say who asks; the later one is preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scheme {
    Basic,
    Bearer,
}

/// What a registry says in the header WWW-Authenticate.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    pub(super) scheme: Scheme,
    /// For a token: the URL that gives it out.
    pub(super) realm: String,
    service: Option<String>,
    scope: Option<String>,
}

impl Challenge {
    /// Reads a challenge; one of another kind is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, mut rest) = text.split_once(' ')?;
        let scheme = match scheme {
            _ if scheme.eq_ignore_ascii_case("basic") => Scheme::Basic,
            _ if scheme.eq_ignore_ascii_case("bearer") => Scheme::Bearer,
            _ => return None,
        };
        let mut challenge = Self { scheme, realm: String::new(), service: None, scope: None };
        while let Some((name, value)) = rest.split_once('=') {
            let (value, after) = match value.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => value.split_at(value.find(',').unwrap_or(value.len())),
            };
            match name.trim().to_ascii_lowercase().as_str() {
                "realm" => value.clone_into(&mut challenge.realm),
                "service" => challenge.service = Some(value.to_owned()),
                "scope" => challenge.scope = Some(value.to_owned()),
                _ => {}
            }
            rest = after.trim_start_matches([',', ' ']);
        }
        Some(challenge)
    }
}

/// A token's document. Registries differ in its name.
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

/// Has a token given out, for who asks, or for anyone when nobody is named.
pub(super) fn token(agent: &Agent, challenge: &Challenge, credentials: Option<&Credentials>) -> Result<String, Error> {
    let url = &challenge.realm;
    let failed = |reason: String| Error::Registry { url: url.clone(), reason };
    let mut request = agent.get(url);
    for (name, value) in [("service", &challenge.service), ("scope", &challenge.scope)] {
        if let Some(value) = value {
            request = request.query(name, value);
        }
    }
    if let Some(credentials) = credentials {
        request = request.header("authorization", credentials.basic());
    }
    let response = request.call().map_err(|error| failed(tls::of_http(&error)))?;
    match response.status() {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let of = credentials.map(|credentials| format!(" with the password in {}", credentials.file.display()));
            let reason = format!("{}: it gives out no token{}", told(response), of.unwrap_or_default());
            return Err(Error::NotLetIn { url: url.clone(), reason });
        }
        _ => return Err(failed(told(response))),
    }
    let bytes = read_manifest(response.into_body().into_reader(), || url.clone())?;
    let token: Token = serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))?;
    let token = token.token.or(token.access_token).ok_or_else(|| failed("no token in its answer".to_owned()))?;
    Ok(format!("Bearer {token}"))
}

#[cfg(test)]
mod tests {
    use super::{Challenge, Scheme};

    #[test]
    fn a_challenge_is_read_as_registries_write_it() {
        let text = "Bearer realm=\"https://auth.example/token\",service=\"registry.example\",\
                    scope=\"repository:acme/hello:pull,push\"";
        let challenge = Challenge::parse(text).unwrap();
        assert_eq!((challenge.scheme, &*challenge.realm), (Scheme::Bearer, "https://auth.example/token"));
        assert_eq!(challenge.service.unwrap(), "registry.example");
        assert_eq!(challenge.scope.unwrap(), "repository:acme/hello:pull,push");
        assert_eq!(Challenge::parse("Basic realm=\"a b\", charset=\"UTF-8\"").unwrap().realm, "a b");
        assert_eq!(Challenge::parse("basic realm=plain").unwrap().realm, "plain");
        for text in ["Digest realm=\"x\"", "Basic", "", "Bearer realm=\"https://auth"] {
            assert_eq!(Challenge::parse(text), None, "{text}");
        }
    }
}
