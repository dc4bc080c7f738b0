//! The way to a node: its socket, or a connection with TLS.

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Error, Result, anyhow, bail};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tls::rustls::ClientConfig;
use tls::rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::Address;

/// The port of a node when none is named.
const PORT: u16 = 7443;

/// The way to a node.
pub enum Way {
    Socket(PathBuf),
    Tls { host: String, port: u16, name: ServerName<'static>, config: Arc<ClientConfig> },
}

impl Way {
    /// The way to a node of this address.
    pub fn to(address: &Address) -> Result<Self> {
        let Some(url) = &address.node else { return Ok(Self::Socket(address.socket.clone())) };
        let host = url.host().filter(|_| url.scheme_str() == Some("https"));
        let host = host.with_context(|| format!("{url}: a node elsewhere is written as https://HOST:PORT"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host.clone()).with_context(|| format!("\"{host}\" is no host"))?;
        Ok(Self::Tls { host, port: url.port_u16().unwrap_or(PORT), name, config: address.tls.client().config()? })
    }

    /// What the node is called in a request.
    pub fn host(&self) -> String {
        match self {
            Self::Socket(_) => "node".to_owned(),
            Self::Tls { host, port, .. } => format!("{host}:{port}"),
        }
    }

    /// Connects.
    pub async fn go(&self) -> Result<SendRequest<Full<Bytes>>> {
        match self {
            Self::Socket(path) => {
                let stream = UnixStream::connect(path).await.with_context(|| {
                    format!("no node answers at {self}: is spored running? `systemctl status spored`, `spore doctor`")
                })?;
                begin(stream).await
            }
            Self::Tls { host, port, name, config } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await.with_context(|| {
                    format!("no node answers at {self}: does its config say [listen], and is the port right?")
                })?;
                let connector = TlsConnector::from(config.clone());
                match connector.connect(name.clone(), stream).await {
                    Ok(stream) => begin(stream).await,
                    Err(error) => bail!("{self}: {}", tls::of(&error)),
                }
            }
        }
    }

    /// A request that was not answered.
    pub fn broken(&self, error: &hyper::Error) -> Error {
        let reason = tls::of(error);
        match self {
            Self::Socket(_) => anyhow!("asking the node at {self}: {reason}"),
            // With TLS 1.3 a client learns after its part of the handshake what the server thinks of its certificate.
            Self::Tls { .. } => anyhow!("asking the node at {self}: {reason} (does it take your certificate?)"),
        }
    }
}

impl Display for Way {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => path.display().fmt(formatter),
            Self::Tls { host, port, .. } => write!(formatter, "https://{host}:{port}"),
        }
    }
}

async fn begin(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<SendRequest<Full<Bytes>>> {
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}
