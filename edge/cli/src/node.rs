//! Talks to a board's node: HTTP on its unix socket, or with TLS.

mod way;

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, HOST};
use hyper::{Request, Response, Uri};
use protocol::api::{About, CommandStatus, Problem};
use protocol::{Access, CommandId, Document, Event, Purpose, Tenant, Timestamp, Version, document};
use tokio::runtime::Runtime;

use crate::command::secret_key;
use crate::reach::Tls;
use way::Way;

/// For how long an access is good: a following of a log may be longer, for it is judged when it begins.
const ACCESS: Duration = Duration::from_secs(300);

/// Where a node is.
#[derive(Debug, Clone, clap::Args)]
pub struct Address {
    /// The node's socket.
    #[arg(long, env = "SPORE_SOCKET", default_value = "/run/spore/node.sock", value_name = "PATH")]
    pub socket: PathBuf,
    /// A node elsewhere, in place of a socket: it wants a certificate (--cert-file, --key-file).
    #[arg(long, env = "SPORE_NODE", value_name = "https://HOST:PORT")]
    pub node: Option<Uri>,
    #[command(flatten)]
    pub tls: Tls,
}

/// Which node, and as whom it is asked.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    #[command(flatten)]
    pub address: Address,
    /// Ask as this tenant, with its key; as the operator without.
    #[arg(long, env = "SPORE_TENANT", value_name = "NAME")]
    pub tenant: Option<Tenant>,
    /// The tenant's private key.
    #[arg(long, env = "SPORE_KEY", value_name = "FILE")]
    pub key: Option<PathBuf>,
}

/// A command as a person names it: `tenant/id`, or its id alone where the tenant is known.
#[derive(Debug, Clone)]
pub struct Name {
    tenant: Option<Tenant>,
    id: CommandId,
}

impl std::str::FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (tenant, id) = match text.split_once('/') {
            Some((tenant, id)) => (Some(tenant.parse().map_err(|error| format!("{error}"))?), id),
            None => (None, text),
        };
        Ok(Self { tenant, id: id.parse().map_err(|error| format!("{error}"))? })
    }
}

/// A node that answers.
pub struct Node {
    runtime: Runtime,
    way: Way,
    authorization: Option<String>,
    tenant: Option<Tenant>,
}

impl Node {
    /// The node of these options, asked for this purpose.
    ///
    /// # Errors
    /// It does not answer, or a file that is named cannot be read.
    pub fn connect(options: &Options, purpose: Purpose) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (way, tenant) = (Way::to(&options.address)?, options.tenant.clone());
        let mut node = Self { runtime, way, authorization: None, tenant };
        if let Some(path) = &options.key {
            let tenant = node.tenant.clone().context("whose key is it? Say --tenant NAME")?;
            let key = secret_key(path)?;
            let About { node: name, .. } = node.get("/v1/about")?;
            let expires = Timestamp::from(SystemTime::now()).after(ACCESS);
            node.authorization =
                Some(Access { version: Version, tenant, node: name, purpose, expires }.to_header(&key));
        }
        Ok(node)
    }

    /// A command's path.
    ///
    /// # Errors
    /// Nobody has said whose it is.
    pub fn path(&self, name: &Name) -> Result<String> {
        let tenant = name.tenant.as_ref().or(self.tenant.as_ref());
        let tenant =
            tenant.with_context(|| format!("whose command is it? Write TENANT/{} or say --tenant", name.id))?;
        Ok(format!("/v1/commands/{tenant}/{}", name.id))
    }

    /// Asks for a document.
    ///
    /// # Errors
    /// The node says no, and why, or does not answer.
    pub fn get<D: Document>(&self, path: &str) -> Result<D> {
        self.call("GET", path, Vec::new())
    }

    /// Sends something and reads the document that comes back.
    ///
    /// # Errors
    /// As [`Node::get`].
    pub fn call<D: Document>(&self, method: &str, path: &str, body: Vec<u8>) -> Result<D> {
        Ok(document::decode(&self.bytes(method, path, body)?)?)
    }

    /// Sends something and reads what comes back.
    ///
    /// # Errors
    /// As [`Node::get`].
    pub fn bytes(&self, method: &str, path: &str, body: Vec<u8>) -> Result<Vec<u8>> {
        self.runtime.block_on(async {
            let response = self.send(method, path, body).await?;
            Ok(response.into_body().collect().await.context("the node's answer broke off")?.to_bytes().to_vec())
        })
    }

    /// Reads an answer that goes on, piece by piece, until `each` has enough or it ends.
    ///
    /// # Errors
    /// As [`Node::get`], and those of `each`.
    pub fn stream(&self, path: &str, mut each: impl FnMut(&[u8]) -> Result<bool>) -> Result<()> {
        self.runtime.block_on(async {
            let mut body = self.send("GET", path, Vec::new()).await?.into_body();
            while let Some(frame) = body.frame().await {
                let frame = frame.context("the node's answer broke off")?;
                if let Some(bytes) = frame.data_ref()
                    && !each(bytes)?
                {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Waits until a command has ended.
    ///
    /// # Errors
    /// As [`Node::get`].
    pub fn wait(&self, path: &str) -> Result<CommandStatus> {
        let mut lines = String::new();
        let mut ended = None;
        // The stream is there before the command is looked at: what happens between is in it.
        self.runtime.block_on(async {
            let mut body = self.send("GET", "/v1/events", Vec::new()).await?.into_body();
            loop {
                let bytes = self.send("GET", path, Vec::new()).await?.into_body().collect().await?.to_bytes();
                let status: CommandStatus = document::decode(&bytes)?;
                if status.state.phase().is_end() {
                    ended = Some(status);
                    return Ok::<_, anyhow::Error>(());
                }
                // Until something happens to this very command.
                loop {
                    let frame = body.frame().await.context("the node has ended; ask again when it is back")??;
                    lines.push_str(&String::from_utf8_lossy(frame.data_ref().map_or(&[][..], |bytes| bytes)));
                    let of_it = drain_events(&mut lines);
                    let is_it = |event: &Event| path.ends_with(&format!("/{}/{}", event.tenant, event.command));
                    if of_it.iter().any(is_it) {
                        break;
                    }
                }
            }
        })?;
        ended.ok_or_else(|| anyhow!("the command has not ended"))
    }

    async fn send(&self, method: &str, path: &str, body: Vec<u8>) -> Result<Response<Incoming>> {
        let mut sender = self.way.go().await?;
        let mut request = Request::builder().method(method).uri(path).header(HOST, self.way.host());
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request.body(Full::new(Bytes::from(body)))?;
        let response = sender.send_request(request).await.map_err(|error| self.way.broken(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let bytes = response.into_body().collect().await?.to_bytes();
        match document::decode::<Problem>(&bytes) {
            Ok(Problem { problem, remedy }) => bail!("{problem}\n  what to do: {remedy}"),
            Err(_) => bail!("the node at {} answers {status}", self.way),
        }
    }
}

/// Takes whole events off the beginning of a stream's text.
fn drain_events(text: &mut String) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some((event, rest)) = text.split_once("\n\n") {
        let data = event.lines().find_map(|line| line.strip_prefix("data: "));
        events.extend(data.and_then(|data| document::decode(data.as_bytes()).ok()));
        *text = rest.to_owned();
    }
    events
}
