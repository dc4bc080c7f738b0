//! The way to a registry: with TLS or without, and as whom.

use std::cell::RefCell;
use std::fmt::{self, Debug, Display, Formatter};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ureq::http::{Request, Response, StatusCode, request};
use ureq::{Agent, Body, ResponseExt};

use super::answer::told;
use super::credentials::{self, Credentials};
use super::token::{Challenge, Scheme, token};
use crate::Error;

/// The longest wait for a connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// The longest wait for the beginning of an answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// How registries are reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Whether without TLS. If nothing is said: on the loopback interface, and nowhere else.
    pub plain_http: Option<bool>,
    /// Whom to trust, and what to show.
    pub tls: tls::Client,
    /// A file with names and passwords, as `docker login` writes it.
    pub credentials: Option<PathBuf>,
}

impl Access {
    fn is_plain(&self, host: &str) -> bool {
        self.plain_http.unwrap_or_else(|| is_loopback(host))
    }
}

/// A registry, and the means to ask it.
pub(super) struct Connection {
    /// `https://host:port`.
    origin: String,
    agent: Agent,
    is_plain: bool,
    credentials: Option<Credentials>,
    /// What the registry was last shown, and has taken.
    authorization: RefCell<Option<String>>,
}

impl Debug for Connection {
    /// Without what the registry is shown.
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Connection").field(&self.origin).finish()
    }
}

impl Connection {
    /// Prepares the way; nothing is asked yet.
    pub(super) fn new(host: &str, access: &Access) -> Result<Self, Error> {
        let is_plain = access.is_plain(host);
        let config = Agent::config_builder()
            // A status is an answer: what it means depends on the question.
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_PATIENCE))
            .timeout_recv_response(Some(ANSWER_PATIENCE))
            // What began in private is not led on in public.
            .https_only(!is_plain)
            .tls_config(access.tls.http_config()?)
            .user_agent(concat!("spore/", env!("CARGO_PKG_VERSION")));
        let scheme = if is_plain { "http" } else { "https" };
        let credentials = access.credentials.as_deref().map(|file| credentials::of(host, file)).transpose()?;
        Ok(Self {
            origin: format!("{scheme}://{host}"),
            agent: config.build().new_agent(),
            is_plain,
            credentials: credentials.flatten(),
            authorization: RefCell::default(),
        })
    }

    /// The beginning of the registry's URLs.
    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    /// Sends a request; when the registry wants to know who asks, once more with an answer to that.
    pub(super) fn send(&self, request: request::Builder, body: &[u8]) -> Result<Response<Body>, Error> {
        let request = request.body(()).map_err(|error| self.failed(&self.origin, &error))?;
        let url = request.uri().to_string();
        let response = self.send_once(&request, body)?;
        if !self.wants_to_know(&response) {
            return Ok(response);
        }
        let Some(authorization) = self.authorize(&url, &response)? else { return Err(self.not_let_in(url, response)) };
        *self.authorization.borrow_mut() = Some(authorization);
        let response = self.send_once(&request, body)?;
        if self.wants_to_know(&response) { Err(self.not_let_in(url, response)) } else { Ok(response) }
    }

    /// Whether it is the registry that wants to know who asks. Where it has led, by a redirect or for an upload, another
    /// may answer, whose question would have a password sent to whom that one names.
    fn wants_to_know(&self, response: &Response<Body>) -> bool {
        response.status() == StatusCode::UNAUTHORIZED && self.is_own(&response.get_uri().to_string())
    }

    fn send_once(&self, request: &Request<()>, body: &[u8]) -> Result<Response<Body>, Error> {
        let mut again = Request::builder().method(request.method()).uri(request.uri());
        for (name, value) in request.headers() {
            again = again.header(name, value);
        }
        let url = request.uri().to_string();
        // A registry may have an upload go elsewhere: who asks is its business alone.
        if let Some(authorization) = &*self.authorization.borrow()
            && self.is_own(&url)
        {
            again = again.header("authorization", authorization);
        }
        let sent = if request.method().is_safe() {
            again.body(()).map(|request| self.agent.run(request))
        } else {
            again.body(body).map(|request| self.agent.run(request))
        };
        sent.map_err(|error| self.failed(&url, &error))?.map_err(|error| self.failed(&url, &tls::of_http(&error)))
    }

    fn is_own(&self, url: &str) -> bool {
        url.strip_prefix(&self.origin).is_some_and(|rest| rest.starts_with('/'))
    }

    /// What to show to a registry that says how it wants to know who asks; nothing when there is nothing.
    fn authorize(&self, url: &str, response: &Response<Body>) -> Result<Option<String>, Error> {
        let challenges = response.headers().get_all("www-authenticate").iter();
        let challenges = challenges.filter_map(|value| Challenge::parse(value.to_str().ok()?));
        let Some(challenge) = challenges.max_by_key(|challenge| challenge.scheme) else { return Ok(None) };
        match (challenge.scheme, &self.credentials) {
            (Scheme::Basic, credentials) => Ok(credentials.as_ref().map(Credentials::basic)),
            (Scheme::Bearer, credentials) => {
                if !self.is_plain && !challenge.realm.starts_with("https://") {
                    let reason = format!("it has tokens given out without TLS, at {}", challenge.realm.escape_debug());
                    return Err(self.failed(url, &reason));
                }
                token(&self.agent, &challenge, credentials.as_ref()).map(Some)
            }
        }
    }

    fn not_let_in(&self, url: String, response: Response<Body>) -> Error {
        let remedy = match &self.credentials {
            Some(credentials) => format!("it does not take the name and password in {}", credentials.file.display()),
            None => "it wants a name and a password: `docker login` or `oras login` writes them to a file, which \
                     --registry-config names, or `credentials` in the node's config"
                .to_owned(),
        };
        Error::NotLetIn { url: shown(&url), reason: format!("{}: {remedy}", told(response)) }
    }

    /// An answer that says no, with what the registry says about it.
    pub(super) fn unexpected(&self, url: &str, response: Response<Body>) -> Error {
        let status = response.status();
        let mut reason = told(response);
        if self.is_plain && status == StatusCode::BAD_REQUEST {
            reason += ": it may speak https, and was asked without TLS (--plain-http, http:// in the node's config)";
        }
        self.failed(url, &reason)
    }

    pub(super) fn failed(&self, url: &str, reason: &dyn Display) -> Error {
        Error::Registry { url: shown(url), reason: reason.to_string() }
    }
}

/// A URL as messages have it: in a query may stand what lets in, such as a signature of a store's.
fn shown(url: &str) -> String {
    url.split('?').next().unwrap_or_default().to_owned()
}

/// Whether a host (with a port or without) can only be this machine.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::{Access, is_loopback};

    #[test]
    fn tls_is_left_out_on_the_loopback_interface_or_when_that_is_said() {
        for host in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.3.2.1", "[::1]:5000"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["registry.example", "localhost.example:5000", "10.0.0.1:5000", "127.0.0.1.example"] {
            assert!(!is_loopback(host), "{host}");
        }
        let said = |plain_http| Access { plain_http, ..Access::default() };
        assert!(said(Some(true)).is_plain("registry.example") && !said(Some(false)).is_plain("localhost"));
        assert!(!said(None).is_plain("registry.example") && said(None).is_plain("localhost"));
    }
}
