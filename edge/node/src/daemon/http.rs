//! The interface: HTTP/1.1 and JSON on a unix socket, and with TLS on TCP ([`remote`]).
//!
//! [`routes`] is the one table of what there is; the OpenAPI document is made of it and of the types. Each call is
//! judged by itself: the peer's user id, or a name in its certificate, makes an operator; the header Authorization a
//! tenant.

mod body;
mod calls;
mod openapi;
pub(super) mod remote;
mod routes;
mod streams;

use std::convert::Infallible;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use protocol::{AccessRefusal, NodeName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixListener;
use tokio::sync::Semaphore;

use super::books::Caller;
use super::clerk::Clerk;
use super::refused::Refused;
use crate::ReadConsole;
use crate::log::{self, Level};

use body::Body;

/// The most connections at once: more wait. One that follows a log or events keeps its place.
const MOST_CONNECTIONS: usize = 128;
/// The longest wait for a request's head.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);
/// The most bytes that a connection keeps of what it reads, and of what it writes.
const MOST_BUFFERED: usize = 32 * 1024;

/// Serves for ever.
pub(super) async fn serve(listener: UnixListener, server: Arc<Server>) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // No file descriptors, for example: others end and give some back.
                log::say(Level::Warning, &format!("taking a connection: {error}"));
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let server = server.clone();
        tokio::spawn(async move {
            let is_operator = stream.peer_cred().is_ok_and(|peer| peer.uid() == 0 || Some(peer.uid()) == own_uid());
            connection(stream, is_operator, &server).await;
            drop(place);
        });
    }
}

/// What each connection needs.
pub(super) struct Server {
    pub(super) clerk: Clerk,
    pub(super) name: NodeName,
    pub(super) consoles: Arc<dyn ReadConsole>,
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin, is_operator: bool, server: &Server) {
    let service = service_fn(|request| async move { Ok::<_, Infallible>(server.answer(request, is_operator).await) });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(MOST_BUFFERED)
        .serve_connection(TokioIo::new(stream), service);
    // Who goes away in the middle does so often, and it is nobody's fault.
    drop(served.await);
}

/// The user that this program runs as.
fn own_uid() -> Option<u32> {
    std::fs::metadata("/proc/self").ok().map(|folder| folder.uid())
}

impl Server {
    async fn answer(&self, request: Request<Incoming>, is_operator: bool) -> Response<Body> {
        match self.call(request, is_operator).await {
            Ok(response) => response,
            Err(refused) => body::json(refused.status, &refused.problem),
        }
    }

    async fn call(&self, request: Request<Incoming>, is_operator: bool) -> Result<Response<Body>, Refused> {
        let (route, arguments) = routes::find(request.method().as_str(), request.uri().path())?;
        let caller = self.caller(&request, is_operator).await?;
        route.who.may_be(&caller)?;
        calls::call(self, route, &arguments, caller, request).await
    }

    /// Who calls. Who shows an access is the tenant that it names, whatever user that is.
    async fn caller(&self, request: &Request<Incoming>, is_operator: bool) -> Result<Caller, Refused> {
        let Some(header) = request.headers().get(AUTHORIZATION) else {
            return Ok(if is_operator { Caller::Operator } else { Caller::Stranger });
        };
        let header =
            header.to_str().map(str::to_owned).map_err(|_| not_let_in(AccessRefusal::NotAnAccess, &self.name))?;
        let caller = self.clerk.ask(move |books| books.let_in(&header)).await;
        caller.map_err(|refusal| not_let_in(refusal, &self.name))
    }
}

fn not_let_in(refusal: AccessRefusal, name: &NodeName) -> Refused {
    let remedy = match &refusal {
        AccessRefusal::Expired { .. } | AccessRefusal::TooLong { .. } => {
            "sign a new one, and compare both clocks".to_owned()
        }
        AccessRefusal::OtherNode(_) => format!("sign one for \"{name}\""),
        _ => "sign one with the tenant's key, as `spore --tenant NAME --key FILE` does".to_owned(),
    };
    Refused::new(401, refusal, &remedy)
}

/// The type of a request's or an answer's content.
const JSON: &str = "application/json";

/// An answer of this kind.
fn response(status: u16, kind: &str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(kind) = kind.parse() {
        response.headers_mut().insert(CONTENT_TYPE, kind);
    }
    response
}
