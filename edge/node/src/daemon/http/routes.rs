//! What can be asked for: one table.

use super::super::books::Caller;
use super::super::refused::Refused;

/// Something that can be asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Route {
    pub(super) method: &'static str,
    /// The path; a part in braces may be anything and is an argument.
    pub(super) path: &'static str,
    pub(super) call: Call,
    pub(super) who: Who,
    pub(super) summary: &'static str,
    /// The names and meanings of what may be asked in the query.
    pub(super) query: &'static [(&'static str, &'static str)],
    pub(super) takes: Option<Content>,
    pub(super) gives: Content,
}

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// JSON of a type, by the name of its schema.
    Json(&'static str),
    /// Of a type of content.
    Other(&'static str),
    /// Nothing.
    Empty,
}

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Submit,
    Commands,
    Command,
    Remove,
    Stop,
    Result,
    Logs,
    Node,
    Tasks,
    Tenants,
    PutTenant,
    RemoveTenant,
    Events,
    Metrics,
    About,
    OpenApi,
}

/// Who may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// Everyone who can connect.
    Anyone,
    /// The operator, and each tenant for what is its own.
    Tenant,
    /// The operator.
    Operator,
}

impl Who {
    pub(super) fn may_be(self, caller: &Caller) -> Result<(), Refused> {
        match (self, caller) {
            (Self::Anyone, _) | (_, Caller::Operator) | (Self::Tenant, Caller::Tenant(..)) => Ok(()),
            (Self::Operator, _) => Err(Refused::not_allowed(
                "only the board's operator may do this: root in dom0, or whose certificate the node's config names",
            )),
            (Self::Tenant, Caller::Stranger) => Err(Refused::new(
                401,
                "the caller is neither the board's operator nor has it proved to be a tenant",
                "be root, or show who you are: `spore --tenant NAME --key FILE`",
            )),
        }
    }
}

const STATUS: Content = Content::Json("CommandStatus");

/// All there is.
pub(super) const ROUTES: &[Route] = &[
    Route {
        method: "POST",
        path: "/v1/commands",
        call: Call::Submit,
        who: Who::Anyone,
        summary: "Have a signed command run. 201 when it is new, 200 when this very command is known.",
        query: &[],
        takes: Some(Content::Json("Envelope")),
        gives: STATUS,
    },
    Route {
        method: "GET",
        path: "/v1/commands",
        call: Call::Commands,
        who: Who::Tenant,
        summary: "Commands that have not ended, and the last ones that have.",
        query: &[("tenant", "only those of this tenant"), ("ended", "how many ended ones at most; 100 if left out")],
        takes: None,
        gives: Content::Json("CommandList"),
    },
    Route {
        method: "GET",
        path: "/v1/commands/{tenant}/{id}",
        call: Call::Command,
        who: Who::Tenant,
        summary: "A command's status.",
        query: &[],
        takes: None,
        gives: STATUS,
    },
    Route {
        method: "DELETE",
        path: "/v1/commands/{tenant}/{id}",
        call: Call::Remove,
        who: Who::Tenant,
        summary: "Remove what an ended command has left. Its id stays taken.",
        query: &[],
        takes: None,
        gives: Content::Empty,
    },
    Route {
        method: "POST",
        path: "/v1/commands/{tenant}/{id}/stop",
        call: Call::Stop,
        who: Who::Tenant,
        summary: "Take a command back; its guest is destroyed.",
        query: &[],
        takes: None,
        gives: STATUS,
    },
    Route {
        method: "GET",
        path: "/v1/commands/{tenant}/{id}/result",
        call: Call::Result,
        who: Who::Tenant,
        summary: "The report of a command that has ended. Reading it takes it: it goes first when room is needed.",
        query: &[],
        takes: None,
        gives: Content::Json("Report"),
    },
    Route {
        method: "GET",
        path: "/v1/commands/{tenant}/{id}/logs",
        call: Call::Logs,
        who: Who::Tenant,
        summary: "The last of the guest's console, log frames decoded.",
        query: &[
            ("follow", "true: go on until the guest is gone"),
            ("raw", "true: as the guest has printed it, with log frames as bytes"),
        ],
        takes: None,
        gives: Content::Other("text/plain; charset=utf-8"),
    },
    Route {
        method: "GET",
        path: "/v1/node",
        call: Call::Node,
        who: Who::Tenant,
        summary: "What the board has and what goes on there; for a tenant, of its own.",
        query: &[],
        takes: None,
        gives: Content::Json("NodeState"),
    },
    Route {
        method: "GET",
        path: "/v1/tasks",
        call: Call::Tasks,
        who: Who::Tenant,
        summary: "Tasks that the board keeps.",
        query: &[],
        takes: None,
        gives: Content::Json("TaskList"),
    },
    Route {
        method: "GET",
        path: "/v1/tenants",
        call: Call::Tenants,
        who: Who::Tenant,
        summary: "Tenants with their quotas and what they use; for a tenant, itself.",
        query: &[],
        takes: None,
        gives: Content::Json("TenantList"),
    },
    Route {
        method: "PUT",
        path: "/v1/tenants/{tenant}",
        call: Call::PutTenant,
        who: Who::Operator,
        summary: "Add a tenant, or change its keys and quota.",
        query: &[],
        takes: Some(Content::Json("TenantRecord")),
        gives: Content::Json("TenantStatus"),
    },
    Route {
        method: "DELETE",
        path: "/v1/tenants/{tenant}",
        call: Call::RemoveTenant,
        who: Who::Operator,
        summary: "Remove a tenant. Refused while commands of it have not ended, unless it is forced.",
        query: &[("force", "true: cancel them")],
        takes: None,
        gives: Content::Empty,
    },
    Route {
        method: "GET",
        path: "/v1/events",
        call: Call::Events,
        who: Who::Tenant,
        summary: "Server-sent events, each a command that has come to a state. The header Last-Event-ID, or after, \
                  names the last one that is known; without, those to come. A tenant's are numbered by themselves.",
        query: &[("after", "the last event that is known")],
        takes: None,
        gives: Content::Other("text/event-stream"),
    },
    Route {
        method: "GET",
        path: "/metrics",
        call: Call::Metrics,
        who: Who::Operator,
        summary: "What the node counts, for Prometheus.",
        query: &[],
        takes: None,
        gives: Content::Other("text/plain; version=0.0.4"),
    },
    Route {
        method: "GET",
        path: "/v1/about",
        call: Call::About,
        who: Who::Anyone,
        summary: "The node's name, for which a tenant signs its access.",
        query: &[],
        takes: None,
        gives: Content::Json("About"),
    },
    Route {
        method: "GET",
        path: "/v1/openapi.json",
        call: Call::OpenApi,
        who: Who::Anyone,
        summary: "This interface, as OpenAPI 3.1.",
        query: &[],
        takes: None,
        gives: Content::Other("application/json"),
    },
];

/// The route of a request, and its arguments in their order.
pub(super) fn find(method: &str, path: &str) -> Result<(&'static Route, Vec<String>), Refused> {
    let mut others = Vec::new();
    for route in ROUTES {
        let Some(arguments) = matches(route.path, path) else { continue };
        if route.method == method {
            return Ok((route, arguments));
        }
        others.push(route.method);
    }
    let remedy = "see /v1/openapi.json for what there is";
    if others.is_empty() {
        return Err(Refused::new(404, format!("there is nothing at {}", path.escape_debug()), remedy));
    }
    Err(Refused::new(405, format!("{path} knows {}, not {method}", others.join(", ")), remedy))
}

fn matches(template: &str, path: &str) -> Option<Vec<String>> {
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    let mut arguments = Vec::new();
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(arguments),
            (Some(part), Some(text)) if part.starts_with('{') && !text.is_empty() => arguments.push(text.to_owned()),
            (Some(part), Some(text)) if part == text => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ROUTES, find};

    #[test]
    fn every_route_finds_itself() {
        for route in ROUTES {
            let path = route.path.replace(['{', '}'], "");
            let (found, arguments) = find(route.method, &path).unwrap();
            assert_eq!((found.method, found.path), (route.method, route.path));
            assert_eq!(arguments.len(), route.path.matches('{').count());
        }
    }

    #[test]
    fn another_method_and_another_path_are_told_apart() {
        assert_eq!(find("PATCH", "/v1/commands").unwrap_err().status, 405);
        assert!(find("PATCH", "/v1/commands").unwrap_err().problem.problem.contains("knows POST, GET, not PATCH"));
        assert_eq!(find("GET", "/v1/commands/acme").unwrap_err().status, 404);
        assert_eq!(find("GET", "/v1/commands//x").unwrap_err().status, 404);
    }
}
