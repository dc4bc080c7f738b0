//! Addresses as real DHCP servers and hosters' networks give them.

use crate::echo::ping;
use crate::reconnect::answers;
use crate::support::{PATIENCE, ends_well, guest, wait_until};
use ::echo::Report;
use anyhow::Result;
use qemu_tests::harness::{Context, Scenario};
use qemu_tests::protocol::{BRIDGE, Ping, TcpConnections};
use qemu_tests::{Dom0, Guest, GuestSpec, check};
use std::net::{Ipv4Addr, SocketAddrV4};

/// All of this module's.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "addresses: a second, authoritative DHCP server takes no address away", run: two_servers },
    Scenario { name: "addresses: an address of 32 bits has its gateway on the link", run: routed },
];

/// Where dom0 has tools from Debian's packages. The shell has its own of the same names.
const TOOLS: &str = "/usr/local/sbin";

/// A dnsmasq in dom0 that gives addresses, until it is dropped.
struct DhcpServer<'a> {
    dom0: &'a Dom0,
    /// Its files have this name.
    name: &'static str,
}

impl<'a> DhcpServer<'a> {
    fn start(context: &Context<'a>, name: &'static str, bridge: &str, options: &str) -> Result<Self> {
        context.bring_tools()?;
        let dom0 = context.bed;
        dom0.must(&format!(
            "{TOOLS}/dnsmasq --user=root --port=0 --interface={bridge} --bind-interfaces --no-ping --log-dhcp \
             --log-facility=/tmp/{name}.log --dhcp-leasefile=/tmp/{name}.leases --pid-file=/tmp/{name}.pid {options}"
        ))?;
        Ok(Self { dom0, name })
    }

    /// Whether its log has a line with both words.
    fn has_logged(&self, one: &str, other: &str) -> Result<bool> {
        let log = self.dom0.must(&format!("cat /tmp/{}.log", self.name))?;
        Ok(log.lines().any(|line| line.contains(one) && line.contains(other)))
    }
}

impl Drop for DhcpServer<'_> {
    fn drop(&mut self) {
        let name = self.name;
        // A bed with another DHCP server shows it soon enough.
        let _ = self.dom0.must(&format!("kill $(cat /tmp/{name}.pid); rm -f /tmp/{name}.*"));
    }
}

/// A bridge of dom0's own, with nothing else on it, until it is dropped.
struct Bridge<'a>(&'a Dom0);

impl<'a> Bridge<'a> {
    const NAME: &'static str = "routed";

    fn new(dom0: &'a Dom0, setup: &str) -> Result<Self> {
        let name = Self::NAME;
        dom0.must(&format!("ip link add {name} type bridge && echo 0 >/sys/class/net/{name}/bridge/forward_delay"))?;
        let bridge = Self(dom0);
        dom0.must(&format!("ip link set {name} up && {setup}"))?;
        Ok(bridge)
    }
}

impl Drop for Bridge<'_> {
    fn drop(&mut self) {
        // The next of its name says if there is one.
        let _ = self.0.must(&format!("ip link delete {}", Self::NAME));
    }
}

/// Where the guest says that it listens.
fn listening(guest: &mut Guest) -> Result<SocketAddrV4> {
    let line = guest.wait_for("echo: listening on ", PATIENCE)?;
    Ok(line.trim_start_matches("echo: listening on ").parse()?)
}

/// Checks that the guest answers pings and serves, and ends it.
fn serves(context: &Context<'_>, mut guest: Guest, server: SocketAddrV4) -> Result<()> {
    answers(context, *server.ip())?;
    let result = context.bed.ping(&Ping { address: *server.ip(), ..ping(50) })?;
    check!(result.received == 50, "{server}: {result:?}");
    let wanted = TcpConnections { address: server, count: 4, parallel: 2, size_bytes: 3000, patience_ms: 60_000 };
    let result = context.bed.tcp_connections(&wanted, PATIENCE)?;
    check!(result.succeeded == 4, "{server}: {result:?}");
    guest.shutdown()?;
    ends_well::<Report>(&mut guest).map(drop)
}

/// What dom0 sends to this machine, and so to QEMU's DHCP server, comes late until this is dropped.
struct Late<'a>(&'a Dom0);

impl<'a> Late<'a> {
    fn new(dom0: &'a Dom0) -> Result<Self> {
        dom0.must(&format!("{TOOLS}/tc qdisc add dev eth0 root netem delay 300ms"))?;
        Ok(Self(dom0))
    }
}

impl Drop for Late<'_> {
    fn drop(&mut self) {
        // A machine that stays slow is no other machine.
        let _ = self.0.must(&format!("{TOOLS}/tc qdisc delete dev eth0 root"));
    }
}

/// As where a router's own server is not the only one: dnsmasq that is told that it is authoritative refuses all that it
/// has not given itself. Once it takes its time, so that the guest chooses QEMU's server and is refused what that has given
/// already; and once it has nothing to offer, and refuses before QEMU's server has agreed.
fn two_servers(context: &Context<'_>) -> Result<()> {
    for (name, options) in [
        ("refused-after", "--dhcp-range=10.0.2.120,10.0.2.140,255.255.255.0,2m --dhcp-reply-delay=5"),
        ("refused-before", "--dhcp-range=10.0.2.0,static,255.255.255.0,2m"),
    ] {
        let rival = DhcpServer::start(context, name, BRIDGE, &format!("--dhcp-authoritative {options}"))?;
        let late = (name == "refused-before").then(|| Late::new(context.bed)).transpose()?;
        let mut spec = guest(context, "echo", "")?;
        (spec.vif, spec.name) = (true, name.to_owned());
        let mut guest = context.bed.create(&spec)?;
        let server = listening(&mut guest)?;
        check!(server.ip().octets()[3] < 120, "{server} is the other server's");
        let mac = spec.mac();
        wait_until("the second server refuses the guest's request", || {
            Ok(rival.has_logged("DHCPNAK", &mac)?.then_some(()))
        })?;
        drop(late);
        let text = guest.console_text();
        check!(text.matches("(dhcp)").count() == 1 && !text.contains(" lost, "), "the address was taken away: {text}");
        serves(context, guest, server)?;
    }
    Ok(())
}

/// A guest on the bridge whose only other station is dom0, as a gateway.
fn on_bridge(context: &Context<'_>, name: &str, parameters: &str) -> Result<GuestSpec> {
    let mut spec = guest(context, "echo", parameters)?;
    name.clone_into(&mut spec.name);
    spec.configuration = vec![format!("vif = [ \"mac={},bridge={}\" ]", spec.mac(), Bridge::NAME)];
    Ok(spec)
}

/// As hosters do it (vif-route): the guest has one address, and its gateway is in no network of its own.
fn routed(context: &Context<'_>) -> Result<()> {
    let gateway = Ipv4Addr::new(172, 31, 1, 1);
    let (fixed, named, in_routes) =
        (Ipv4Addr::new(10, 9, 0, 5), Ipv4Addr::new(10, 9, 0, 6), Ipv4Addr::new(10, 9, 0, 7));
    context.bring_tools()?;
    // The network of 24 bits is for dnsmasq, which gives no addresses of networks that it is not part of.
    let addresses = format!("ip address add 10.9.0.1/24 dev {0} && ip address add {gateway}/32 dev {0}", Bridge::NAME);
    let _bridge = Bridge::new(context.bed, &addresses)?;
    let mut guest = context.bed.create(&on_bridge(context, "fixed", &format!("ip={fixed}/32 gateway={gateway}"))?)?;
    let server = listening(&mut guest)?;
    check!(*server.ip() == fixed, "{server}");
    serves(context, guest, server)?;

    let one_host = "--dhcp-option=1,255.255.255.255";
    let router = format!("--dhcp-option=3,{gateway}");
    let routes = format!("--dhcp-option=121,{gateway}/32,0.0.0.0,0.0.0.0/0,{gateway}");
    for (name, address, way) in [("named", named, router), ("in-routes", in_routes, routes)] {
        let options = format!("--dhcp-range={address},{address},255.255.255.0,1h {one_host} {way}");
        let _server = DhcpServer::start(context, "hoster", Bridge::NAME, &options)?;
        let mut guest = context.bed.create(&on_bridge(context, name, "")?)?;
        guest.wait_for(&format!("network: {address}/32 gateway {gateway} (dhcp)"), PATIENCE)?;
        let server = listening(&mut guest)?;
        serves(context, guest, server)?;
    }
    Ok(())
}
