//! Host names.

use core::future::poll_fn;
use core::net::{IpAddr, Ipv4Addr};
use core::task::Poll;

use embedded_nal_async::{AddrType, Dns};
use smoltcp::socket::dns;
use smoltcp::time::Duration;
use smoltcp::wire::{DnsQueryType, IpAddress};

use super::deadline::Deadline;
use super::state::State;
use super::{Error, Handle};

/// How long each server is asked before the next one, if any, has its turn.
const SERVER_TIMEOUT: Duration = Duration::from_secs(10);

/// A question under way. Dropping it gives it up.
struct Lookup<'a> {
    handle: &'a Handle,
    query: Option<dns::QueryHandle>,
    deadline: Deadline,
}

impl Drop for Lookup<'_> {
    fn drop(&mut self) {
        self.handle.with(|state| {
            state.deadlines.close(self.deadline);
            if let Some(query) = self.query {
                state.names().cancel_query(query);
            }
        });
    }
}

impl State {
    fn names(&mut self) -> &mut dns::Socket<'static> {
        self.sockets.set.get_mut(self.dns)
    }

    fn start_lookup(&mut self, name: &str) -> Result<dns::QueryHandle, Error> {
        if self.addressing.address().is_none() {
            return Err(Error::NoAddress);
        }
        if self.addressing.name_servers() == 0 {
            return Err(Error::NoNameServer);
        }
        let Self { interface, sockets, .. } = self;
        let query = sockets
            .set
            .get_mut::<dns::Socket<'_>>(self.dns)
            .start_query(interface.context(), name, DnsQueryType::A)
            .map_err(|_| Error::InvalidName)?;
        self.wake_poll_loop();
        Ok(query)
    }
}

impl Dns for Handle {
    type Error = Error;

    /// Looks up the IPv4 address of a name; an address as text is its own answer.
    async fn get_host_by_name(&self, host: &str, addr_type: AddrType) -> Result<IpAddr, Error> {
        if addr_type == AddrType::IPv6 {
            return Err(Error::Unsupported);
        }
        if let Ok(address) = host.parse::<Ipv4Addr>() {
            return Ok(IpAddr::V4(address));
        }
        let mut lookup = self.with(|state| {
            let query = state.start_lookup(host)?;
            let limit = SERVER_TIMEOUT * state.addressing.name_servers() as u32;
            Ok(Lookup { handle: self, query: Some(query), deadline: state.deadlines.open(limit) })
        })?;
        poll_fn(|context| {
            self.with(|state| {
                let Some(query) = lookup.query else { return Poll::Ready(Err(Error::Closed)) };
                let timed_out = state.deadlines.poll(lookup.deadline, context);
                let names = state.names();
                Poll::Ready(match names.get_query_result(query) {
                    Err(dns::GetQueryResultError::Pending) if timed_out => Err(Error::TimedOut),
                    Err(dns::GetQueryResultError::Pending) => {
                        names.register_query_waker(query, context.waker());
                        return Poll::Pending;
                    }
                    Err(dns::GetQueryResultError::Failed) => {
                        lookup.query = None;
                        Err(if timed_out { Error::TimedOut } else { Error::NameNotFound })
                    }
                    Ok(addresses) => {
                        lookup.query = None;
                        match addresses.first() {
                            Some(IpAddress::Ipv4(address)) => Ok(IpAddr::V4(*address)),
                            None => Err(Error::NameNotFound),
                        }
                    }
                })
            })
        })
        .await
    }

    /// Names are looked up forwards only.
    async fn get_host_by_address(&self, _addr: IpAddr, _result: &mut [u8]) -> Result<usize, Error> {
        Err(Error::Unsupported)
    }
}
