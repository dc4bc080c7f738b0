//! The interface for others than this machine's programs: TCP with TLS, where both sides show certificates.
//!
//! Whoever can reach the port can begin a handshake, so those that are not finished are few and short, and the oldest
//! gives way: nobody without a certificate keeps out who has one, or takes memory. Nothing here ends the node: files
//! that cannot be used, an address that is not there yet and a certificate that has expired are said, and looked at
//! again.

mod identity;
mod refusals;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;
use tls::rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Server;
use crate::Listen;
use crate::daemon::log::{self, Level};

use identity::CurrentIdentity;
use refusals::Refusals;

/// The most connections at once whose other side has shown a certificate: more wait.
const MOST_CONNECTIONS: usize = 32;
/// The most that have not, or wait.
const MOST_HANDSHAKES: usize = 16;
/// The longest time for a handshake.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);
/// How long a peer may be silent, or not take what is sent, before its connection ends.
const SILENCE: Duration = Duration::from_secs(60);
/// The pause between two tries to listen.
const PAUSE: Duration = Duration::from_secs(5);

/// Serves for ever.
pub(crate) async fn serve(listen: Listen, server: Arc<Server>) {
    let mut identity = CurrentIdentity::of(listen.clone());
    // What is wrong with it is said at once, though nobody comes.
    identity.look();
    let listener = bind(&listen).await;
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let refusals = Refusals::new(server.clerk.clone());
    let door = Arc::new(Door { server, operators: listen.operators, places, refusals });
    let mut handshakes: VecDeque<JoinHandle<()>> = VecDeque::new();
    loop {
        let accepted = timeout(SILENCE, listener.accept()).await;
        let config = identity.look();
        let Ok(accepted) = accepted else { continue };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // No file descriptors, for example: others end and give some back.
                log::say(Level::Warning, &format!("taking a connection: {error}"));
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(config) = config else {
            door.refusals.count(&peer.to_string(), "the node has no certificate to show");
            continue;
        };
        handshakes.retain(|handshake| !handshake.is_finished());
        if handshakes.len() >= MOST_HANDSHAKES
            && let Some(oldest) = handshakes.pop_front()
        {
            oldest.abort();
            door.refusals.count("somebody", "its handshake gave way to newer ones");
        }
        handshakes.push_back(tokio::spawn(door.clone().admit(config, stream, peer)));
    }
}

/// What is the same for all connections.
struct Door {
    server: Arc<Server>,
    operators: Vec<String>,
    places: Arc<Semaphore>,
    refusals: Refusals,
}

impl Door {
    /// Takes a connection through its handshake, and has it served once there is a place.
    async fn admit(self: Arc<Self>, config: Arc<ServerConfig>, stream: TcpStream, peer: SocketAddr) {
        let stream = match timeout(HANDSHAKE_PATIENCE, shake(config, stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return self.refusals.count(&peer.to_string(), &tls::of(&error)),
            Err(_) => return self.refusals.count(&peer.to_string(), "it did not finish its handshake in time"),
        };
        let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let names = shown.first().map(tls::names).unwrap_or_default();
        let is_operator = names.iter().any(|name| self.operators.contains(name));
        let Ok(place) = self.places.clone().acquire_owned().await else { return };
        // A task of its own: this one may yet have to give way.
        tokio::spawn(async move {
            super::connection(stream, is_operator, &self.server).await;
            drop(place);
        });
    }
}

/// Listens, as soon as the address is there: a board's network may come later than its node.
async fn bind(listen: &Listen) -> TcpListener {
    let mut is_said = false;
    loop {
        match TcpListener::bind(listen.address).await {
            Ok(listener) => {
                log::say(Level::Info, &format!("serves at https://{}", listen.address));
                return listener;
            }
            Err(error) if is_said => drop(error),
            Err(error) => {
                log::say(Level::Warning, &format!("listening at {}: {error}; it is tried again", listen.address));
                is_said = true;
            }
        }
        sleep(PAUSE).await;
    }
}

async fn shake(config: Arc<ServerConfig>, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    stream.set_nodelay(true)?;
    // A peer that is gone, or takes nothing, is found by the kernel: it keeps its place no longer.
    sockopt::set_socket_keepalive(&stream, true)?;
    sockopt::set_tcp_keepidle(&stream, SILENCE / 2)?;
    sockopt::set_tcp_user_timeout(&stream, SILENCE.as_millis().try_into().unwrap_or(u32::MAX))?;
    TlsAcceptor::from(config).accept(stream).await
}
