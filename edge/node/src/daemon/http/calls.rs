//! From a request to what it asks for.

use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response};
use protocol::api::About;
use protocol::{CommandId, Document, Envelope, Tenant, TenantRecord, document};

use super::body::{Body, json};
use super::routes::{Call, Content, Route};
use super::{Server, openapi, response, streams};
use crate::Key;
use crate::daemon::books::{Caller, Which};
use crate::daemon::metrics;
use crate::daemon::refused::Refused;

/// The longest wait for a request's body.
const BODY_PATIENCE: Duration = Duration::from_secs(60);
/// Ended commands in a list when nobody says how many.
const USUAL_ENDED: usize = 100;
/// The most.
const MOST_ENDED: usize = 10_000;

pub(super) async fn call(
    server: &Server,
    route: &Route,
    arguments: &[String],
    caller: Caller,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refused> {
    let clerk = &server.clerk;
    let query = Query::of(route, request.uri().query().unwrap_or_default())?;
    match route.call {
        Call::Submit => {
            let envelope = body(request, Envelope::MOST_BYTES).await?;
            let (status, is_new) = clerk.ask(move |books| books.submit(&envelope, &caller)).await?;
            Ok(json(if is_new { 201 } else { 200 }, &status))
        }
        Call::Commands => {
            let ended = query.parsed("ended")?.unwrap_or(USUAL_ENDED).min(MOST_ENDED);
            let which = Which { tenant: query.parsed::<Tenant>("tenant")?, ended };
            Ok(json(200, &clerk.ask(move |books| books.commands(&caller, &which)).await?))
        }
        Call::Command => {
            let key = key(arguments)?;
            Ok(json(200, &clerk.ask(move |books| books.command(&caller, &key)).await?))
        }
        Call::Remove => {
            let key = key(arguments)?;
            clerk.ask(move |books| books.remove(&caller, &key)).await?;
            Ok(response(204, super::JSON, Body::Whole(None)))
        }
        Call::Stop => {
            let key = key(arguments)?;
            Ok(json(200, &clerk.ask(move |books| books.stop(&caller, &key)).await?))
        }
        Call::Result => {
            let key = key(arguments)?;
            Ok(json(200, &clerk.ask(move |books| books.result(&caller, &key)).await?))
        }
        Call::Logs => {
            let how = streams::How { follow: query.is("follow"), raw: query.is("raw") };
            streams::logs(server, caller, key(arguments)?, how).await
        }
        Call::Node => Ok(json(200, &clerk.ask(move |books| books.node_state(&caller)).await?)),
        Call::Tasks => Ok(json(200, &clerk.ask(move |books| books.tasks(&caller)).await?)),
        Call::Tenants => Ok(json(200, &clerk.ask(move |books| books.tenants(&caller)).await?)),
        Call::PutTenant => put_tenant(server, &arguments[0], request).await,
        Call::RemoveTenant => {
            let (tenant, force) = (name::<Tenant>(&arguments[0])?, query.is("force"));
            clerk.ask(move |books| books.remove_tenant(&tenant, force)).await?;
            Ok(response(204, super::JSON, Body::Whole(None)))
        }
        Call::Events => {
            let after = last_event_id(&request)?.map_or_else(|| query.parsed("after"), |last| Ok(Some(last)))?;
            streams::events(clerk, caller, after).await
        }
        Call::Metrics => {
            let Content::Other(kind) = route.gives else { unreachable!("metrics are text") };
            Ok(response(200, kind, clerk.ask(|books| metrics::page(books)).await?.into()))
        }
        Call::About => {
            let version = env!("CARGO_PKG_VERSION").to_owned();
            Ok(json(200, &About { node: server.name.clone(), version }))
        }
        Call::OpenApi => Ok(json(200, &openapi::document())),
    }
}

async fn put_tenant(server: &Server, tenant: &str, request: Request<Incoming>) -> Result<Response<Body>, Refused> {
    let tenant: Tenant = name(tenant)?;
    let record: TenantRecord = document::decode(&body(request, TenantRecord::MOST_BYTES).await?)
        .map_err(|error| Refused::new(400, error, "send a tenant as /v1/openapi.json describes it"))?;
    if record.tenant != tenant {
        let problem = format!("the path names tenant \"{tenant}\", the document \"{}\"", record.tenant);
        return Err(Refused::new(400, problem, "name the same one"));
    }
    Ok(json(200, &server.clerk.ask(move |books| books.put_tenant(record)).await?))
}

/// The event that a reader of a stream had seen when it broke off.
fn last_event_id(request: &Request<Incoming>) -> Result<Option<u64>, Refused> {
    let Some(value) = request.headers().get("last-event-id") else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| Refused::new(400, "Last-Event-ID is no number", "send the last event's id"))
}

/// A request's body, up to its limit.
async fn body(request: Request<Incoming>, most: usize) -> Result<Vec<u8>, Refused> {
    let collected = tokio::time::timeout(BODY_PATIENCE, Limited::new(request.into_body(), most).collect()).await;
    let late = |_| Refused::new(408, "the body did not come in time", "send it at once");
    let collected = collected.map_err(late)?;
    let problem = |error| format!("the body could not be taken: {error}; {most} bytes are read at most");
    Ok(collected.map_err(|error| Refused::new(413, problem(error), "send less"))?.to_bytes().to_vec())
}

/// A command by a path's arguments.
fn key(arguments: &[String]) -> Result<Key, Refused> {
    Ok(Key { tenant: name::<Tenant>(&arguments[0])?, id: name::<CommandId>(&arguments[1])? })
}

fn name<T: std::str::FromStr<Err: ToString>>(text: &str) -> Result<T, Refused> {
    text.parse().map_err(|error: T::Err| Refused::new(400, error.to_string(), "correct the path"))
}

/// What a query says.
struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query; names that the route does not know are refused.
    fn of(route: &Route, text: &str) -> Result<Self, Refused> {
        let mut pairs = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, "true"));
            if !route.query.iter().any(|(known, _)| *known == name) {
                let problem = format!("the query's \"{}\" is unknown", name.escape_debug());
                return Err(Refused::new(400, problem, "see /v1/openapi.json for what there is"));
            }
            pairs.push((name.to_owned(), value.to_owned()));
        }
        Ok(Self(pairs))
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn is(&self, name: &str) -> bool {
        self.value(name) == Some("true")
    }

    fn parsed<T: std::str::FromStr<Err: ToString>>(&self, name: &str) -> Result<Option<T>, Refused> {
        let parsed = self.value(name).map(str::parse).transpose();
        parsed.map_err(|error: T::Err| Refused::new(400, format!("{name}: {}", error.to_string()), "correct the query"))
    }
}
