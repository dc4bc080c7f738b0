//! Bad traffic: frames of every kind of wrongness from dom0's side of the card, against a guest that is at work.
//!
//! The frames go straight into the guest's interface, past the bridge, which would drop some of them. After each attack
//! the guest must answer, and at its end it must not have used more memory than its sockets need.

use crate::collect;
use crate::echo::{self, ADDRESS, SERVER, ping};
use crate::load::Stream;
use crate::reconnect::answers;
use crate::support::{PATIENCE, ends_well, guest, printed, wait_until};
use ::echo::Report;
use anyhow::{Context as _, Result};
use qemu_tests::frames::{self, BROADCAST, ETHERNET_BYTES, Mac, Path, tcp_flags};
use qemu_tests::harness::{Context, Scenario};
use qemu_tests::protocol::{BRIDGE, DOM0_ADDRESS, Frames, FramesResult, TcpConnections};
use qemu_tests::{Guest, check};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

/// All of this module's.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "traffic: wrong lengths, fields and checksums at every layer harm nothing", run: wrong },
    Scenario { name: "traffic: frames longer than they say, and fragments, harm nothing", run: longer },
    Scenario { name: "traffic: a guest whose neighbours were forged finds them again", run: arp_spoofing },
    Scenario { name: "traffic: forged DHCP messages change nothing", run: dhcp_spoofing },
    Scenario { name: "traffic: a guest serves again after a flood of SYNs", run: syn_flood },
    Scenario { name: "traffic: a guest finds its broker among forged neighbours", run: forged_neighbours },
    Scenario { name: "traffic: a flood of small packets harms nothing", run: small_packets },
    Scenario { name: "traffic: small packets from Linux's generator arrive and harm nothing", run: generated },
    Scenario { name: "traffic: dom0 reads from a running guest what came, by reason", run: counted },
];

const LONG: Duration = Duration::from_secs(300);
/// A station that is not there.
const NOBODY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 77);
const NOBODYS_MAC: Mac = [2, 0, 0, 0, 0, 0x77];

/// A guest that is attacked through its interface.
struct Target<'a> {
    context: &'a Context<'a>,
    guest: Guest,
    server: SocketAddrV4,
    /// As if from dom0: what the guest answers has a receiver.
    from_dom0: Path,
    /// As if from a station that is not there.
    from_nobody: Path,
}

impl<'a> Target<'a> {
    fn new(context: &'a Context<'a>, guest: Guest, server: SocketAddrV4) -> Result<Self> {
        let mac = mac(&guest.spec().mac())?;
        let dom0 = mac_of(context, BRIDGE)?;
        let from_dom0 = Path { macs: [dom0, mac], addresses: [DOM0_ADDRESS, *server.ip()] };
        let from_nobody = Path { macs: [NOBODYS_MAC, mac], addresses: [NOBODY, *server.ip()] };
        Ok(Self { context, guest, server, from_dom0, from_nobody })
    }

    /// An echo server with a fixed address.
    fn echo(context: &'a Context<'a>) -> Result<Self> {
        Self::new(context, echo::start(context)?, SERVER)
    }

    fn interface(&self) -> Result<String> {
        Ok(format!("vif{}.0", self.guest.domain()?))
    }

    /// Sends the frames, and checks that at least `least_percent` of them left: an attack that does not take place
    /// proves nothing.
    fn attack(&self, frames: Vec<Vec<u8>>, rounds: u32, least_percent: u64) -> Result<FramesResult> {
        let count = frames.len() as u64 * u64::from(rounds);
        let wanted = Frames { interface: self.interface()?, frames, rounds };
        let result = self.context.bed.send_frames(wanted, LONG)?;
        check!(u64::from(result.sent) * 100 >= count * least_percent, "of {count} frames: {result:?}");
        Ok(result)
    }

    /// The guest answers pings and serves TCP. The first pings may be lost while it asks where dom0 is.
    fn is_well(&self) -> Result<()> {
        answers(self.context, *self.server.ip())?;
        let result = self.context.bed.ping(&qemu_tests::protocol::Ping { address: *self.server.ip(), ..ping(20) })?;
        check!(result.received == 20 && result.corrupted == 0, "{result:?}");
        let wanted =
            TcpConnections { address: self.server, count: 4, parallel: 4, size_bytes: 3000, patience_ms: 60_000 };
        let result = self.context.bed.tcp_connections(&wanted, PATIENCE)?;
        check!(result.succeeded == 4, "{result:?}");
        Ok(())
    }

    /// Ends the guest, and checks that it ends well and what it used.
    fn finish(mut self) -> Result<Report> {
        self.guest.shutdown()?;
        let report = ends_well(&mut self.guest)?;
        // "memory: 312 KiB of 3500 KiB heap used at most", in the words that `printed` reads.
        let line = self.guest.wait_for("memory: ", PATIENCE)?;
        let used_kib = printed(&line.replace("memory: ", "used="), "used")?;
        // The stack's budget for all sockets, 1 MiB at most, and the card's buffers.
        check!(used_kib < 1800, "{line}");
        Ok(report)
    }
}

/// The bytes of an Ethernet address in text.
fn mac(text: &str) -> Result<Mac> {
    let bytes: Vec<u8> = text.trim().split(':').map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<_, _>>()?;
    bytes.try_into().ok().with_context(|| format!("{text} is no Ethernet address"))
}

fn mac_of(context: &Context<'_>, interface: &str) -> Result<Mac> {
    mac(&context.bed.must(&format!("cat /sys/class/net/{interface}/address"))?)
}

/// One right frame of each protocol that the guest speaks, which are then spoilt.
fn samples(path: &Path) -> Vec<Vec<u8>> {
    vec![
        path.arp(1),
        path.ping(b"sixteen bytes ..."),
        path.udp([4000, 7], b"sixteen bytes ..."),
        path.tcp([4000, 7], tcp_flags::SYN, 1, b""),
        path.tcp([4001, 7], tcp_flags::ACK | tcp_flags::FIN, 1, b"sixteen bytes ..."),
    ]
}

fn wrong(context: &Context<'_>) -> Result<()> {
    let target = Target::echo(context)?;
    let stream = Stream::start(context, &target.guest)?;
    for path in [target.from_dom0, target.from_nobody] {
        for sample in samples(&path) {
            target.attack(frames::corrupted(&sample), 1, 90)?;
            target.attack(frames::cut(&sample), 1, 90)?;
        }
        target.attack(frames::noise(&path, 1000), 1, 90)?;
        stream.moves(&target.guest)?;
    }
    target.is_well()?;
    stream.finish()?;
    target.finish().map(drop)
}

/// Linux sends no frame that is longer than the frontend has agreed to (`xen-pv/fake` has a backend that does); up to
/// there, frames may be longer than their headers say, and a VLAN's tag makes them four bytes longer than others.
fn longer(context: &Context<'_>) -> Result<()> {
    const LARGEST_BYTES: usize = ETHERNET_BYTES + 1500;
    let target = Target::echo(context)?;
    let stream = Stream::start(context, &target.guest)?;
    for path in [target.from_dom0, target.from_nobody] {
        for sample in samples(&path) {
            target.attack(frames::stretched(&sample, (60..LARGEST_BYTES).step_by(10)), 1, 90)?;
            let [largest, longer] =
                [LARGEST_BYTES, LARGEST_BYTES + 5].map(|length| frames::stretched(&sample, [length]));
            target.attack([tagged(&largest), largest].concat(), 10, 100)?;
            let result = target.attack(longer, 1, 0)?;
            check!(result.refused == 1, "Linux sends overlong frames: here is a test to write");
        }
        target.attack(frames::fragments(&path, 200), 1, 90)?;
        stream.moves(&target.guest)?;
    }
    target.is_well()?;
    stream.finish()?;
    target.finish().map(drop)
}

/// The frames with the tag of a VLAN (IEEE 802.1Q).
fn tagged(frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    frames.iter().map(|frame| [&frame[..12], &[0x81, 0, 0, 1], &frame[12..]].concat()).collect()
}

/// Somebody says of dom0, and of the guest itself, that they are elsewhere. Nothing in ARP tells a lie from the truth,
/// so what is for dom0 goes astray until dom0 speaks; then all must be well again.
fn arp_spoofing(context: &Context<'_>) -> Result<()> {
    let target = Target::echo(context)?;
    let stream = Stream::start(context, &target.guest)?;
    let [_, own] = target.from_dom0.macs;
    let mut lies = Vec::new();
    for address in [DOM0_ADDRESS, Ipv4Addr::new(10, 0, 2, 2), ADDRESS, Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST] {
        for mac in [NOBODYS_MAC, BROADCAST, [0; 6], [1, 0, 0x5e, 0, 0, 1], own] {
            for receiver in [own, BROADCAST] {
                let path = Path { macs: [mac, receiver], addresses: [address, ADDRESS] };
                lies.extend([path.arp(1), path.arp(2)]);
            }
        }
    }
    target.attack(lies, 20, 90)?;
    // dom0 asks who has the guest's address, which is how it would find out after a while by itself.
    context.bed.must(&format!("ip neigh flush dev {BRIDGE}"))?;
    stream.moves(&target.guest)?;
    target.is_well()?;
    stream.finish()?;
    target.finish().map(drop)
}

fn dhcp_spoofing(context: &Context<'_>) -> Result<()> {
    let mut spec = guest(context, "echo", "")?;
    spec.vif = true;
    let mut guest = context.bed.create(&spec)?;
    let line = guest.wait_for("echo: listening on ", PATIENCE)?;
    let target = Target::new(context, guest, line.trim_start_matches("echo: listening on ").parse()?)?;
    let [_, mac] = target.from_nobody.macs;
    // Everybody has heard it: the guest asks without an address, and so all.
    let transaction = dhcp_transaction(context, mac)?;
    let mut forged = Vec::new();
    for receiver in [*target.server.ip(), Ipv4Addr::BROADCAST] {
        let path = Path { addresses: [Ipv4Addr::new(10, 0, 2, 2), receiver], ..target.from_nobody };
        // An offer, a refusal and an agreement, for a client that has asked for nothing.
        for kind in [2, 6, 5] {
            let message = path.udp([67, 68], &dhcp_message(kind, transaction, mac));
            forged.extend(frames::cut(&message));
            forged.push(message);
        }
    }
    target.attack(forged, 2, 90)?;
    target.is_well()?;
    let text = target.guest.console_text();
    check!(text.matches("network: ").count() == 1, "its address changed: {text}");
    target.finish().map(drop)
}

/// The word before a DHCP message's options.
const DHCP_COOKIE: [u8; 4] = [99, 130, 83, 99];

/// The number of the last exchange between the client and a DHCP server, from the packets that left for this machine.
fn dhcp_transaction(context: &Context<'_>, client: Mac) -> Result<[u8; 4]> {
    let capture = context.bed.capture().context("nothing is captured")?;
    wait_until("the client's message to DHCP servers is captured", || {
        let file = capture.file().unwrap_or_default();
        let cookies = file.windows(4).enumerate().filter(|(_, word)| *word == DHCP_COOKIE);
        let messages = cookies.filter_map(|(place, _)| file.get(place.checked_sub(236)?..place));
        let mut own = messages.filter(|message| message[0] == 1 && message[28..34] == client);
        Ok(own.next_back().and_then(|message| message[4..8].try_into().ok()))
    })
}

/// A server's message (RFC 2131) that would give the client another address, gateway and name server.
fn dhcp_message(kind: u8, transaction: [u8; 4], client: Mac) -> Vec<u8> {
    let wrong = [10, 0, 2, 99];
    let mut message = vec![0; 240];
    message[..4].copy_from_slice(&[2, 1, 6, 0]);
    message[4..8].copy_from_slice(&transaction);
    message[16..20].copy_from_slice(&wrong);
    message[28..34].copy_from_slice(&client);
    message[236..240].copy_from_slice(&DHCP_COOKIE);
    message.extend([53, 1, kind, 54, 4, 10, 0, 2, 2, 51, 4, 0, 0, 14, 16, 1, 4, 255, 255, 0, 0]);
    for option in [3, 6] {
        message.extend([option, 4]);
        message.extend(wrong);
    }
    message.push(255);
    message
}

/// Connections that are begun and never finished, from stations that are not there. They take what the listener has for
/// connections that come, and must give it back.
fn syn_flood(context: &Context<'_>) -> Result<()> {
    const COUNT: u16 = 4000;
    let target = Target::echo(context)?;
    let syn = |number: u16| {
        let [high, low] = number.to_be_bytes();
        let addresses = [Ipv4Addr::new(10, 0, 2, 100 + high), ADDRESS];
        let path = Path { macs: [[2, 0, 0, 1, high, low], target.from_dom0.macs[1]], addresses };
        path.tcp([1024 + number, 7], tcp_flags::SYN, u32::from(number), b"")
    };
    // Afterwards the guest knows where dom0 is: it asks for one unknown station a second, and the flood has it ask for
    // many.
    target.is_well()?;
    target.attack((0..COUNT).map(syn).collect(), 1, 90)?;
    let result = context.bed.ping(&ping(20))?;
    check!(result.received == 20, "{result:?}");
    wait_until("a connection after the flood", || {
        let one = TcpConnections { address: SERVER, count: 1, parallel: 1, size_bytes: 10, patience_ms: 20_000 };
        Ok((context.bed.tcp_connections(&one, PATIENCE)?.succeeded == 1).then_some(()))
    })?;
    target.is_well()?;
    target.finish().map(drop)
}

/// As fast as dom0 can: it has one CPU with the guest, so some are refused by Linux when the guest's queue is full.
fn small_packets(context: &Context<'_>) -> Result<()> {
    const ROUNDS: u32 = 2000;
    let target = Target::echo(context)?;
    let mut frames = Vec::new();
    for path in [target.from_dom0, target.from_nobody] {
        frames.extend([path.udp([4000, 7], b"."), path.udp([4000, 8], b"."), path.ping(b"."), path.arp(1)]);
        frames.extend([path.tcp([4000, 7], tcp_flags::ACK, 1, b""), vec![0; ETHERNET_BYTES + 1]]);
    }
    target.attack(frames, ROUNDS, 1)?;
    target.is_well()?;
    let report = target.finish()?;
    check!(report.datagrams > 0, "the flood did not reach the guest: {report:?}");
    Ok(())
}

/// A frame for a station with something at one place changed.
fn changed(frame: &[u8], at: usize, change: fn(u8) -> u8) -> Vec<u8> {
    let mut changed = frame.to_vec();
    changed[at] = change(changed[at]);
    changed
}

/// The guest's answers to `xl sysrq`, before and after frames of each kind of wrongness.
fn counted(context: &Context<'_>) -> Result<()> {
    const REASONS: [&str; 5] = ["checksum", "malformed", "fragments", "foreign", "backlog_full"];
    const COUNT: u64 = 40;
    const IP: usize = ETHERNET_BYTES;
    let target = Target::echo(context)?;
    let path = target.from_nobody;
    let [udp, tcp, ping] = [path.udp([4000, 7], b"."), path.tcp([4000, 7], tcp_flags::ACK, 1, b""), path.ping(b".")];
    let transport = IP + frames::IPV4_BYTES;
    let kinds = [
        ("checksum", changed(&udp, transport + 6, |byte| !byte)),
        ("checksum", changed(&tcp, transport + 16, |byte| !byte)),
        ("malformed", changed(&ping, transport + 2, |byte| !byte)),
        ("malformed", changed(&udp, IP + 10, |byte| !byte)),
        ("malformed", udp[..udp.len() - 1].to_vec()),
        ("fragments", frames::fragments(&path, 1).remove(0)),
        // As IPv6.
        ("foreign", [&udp[..12], &[0x86, 0xdd], &udp[IP..]].concat()),
    ];
    let counters = || target.guest.counters(PATIENCE);
    let start = counters()?;
    let quiet = ["checksum", "malformed", "fragments", "broken", "quarantined"].map(|name| start.get(name));
    check!(quiet == [Some(&0); 5] && start.get("connections") == Some(&1), "{start:?}");
    for (_, frame) in &kinds {
        target.attack(vec![frame.clone(); COUNT as usize], 1, 100)?;
    }
    let expected = |reason| COUNT * kinds.iter().filter(|(kind, _)| *kind == reason).count() as u64;
    let after = wait_until("every frame is counted", || {
        let after = counters()?;
        Ok(REASONS.iter().all(|reason| after[*reason] >= start[*reason] + expected(*reason)).then_some(after))
    })?;
    for reason in REASONS {
        let (count, expected) = (after[reason] - start[reason], expected(reason));
        // The bridge itself speaks IPv6.
        check!(count == expected || reason == "foreign", "{count} frames count as {reason} instead of {expected}");
    }
    let received = after["received"] - start["received"];
    let least = kinds.len() as u64 * COUNT - expected("checksum");
    check!(received >= least, "{received} frames were received instead of {least}");
    target.is_well()?;
    let syn = |number| path.tcp([2000 + number, 7], tcp_flags::SYN, 1, b"");
    target.attack((0..COUNT as u16).map(syn).collect(), 1, 100)?;
    let end = wait_until("a SYN is refused", || Ok(Some(counters()?).filter(|end| end["backlog_full"] > 0)))?;
    check!(end["heap_used"] <= end["heap_peak"] && end["sent"] > after["sent"] && end["broken"] == 0, "{end:?}");
    let said = format!("backlog_full={}", end["backlog_full"]);
    let text = target.guest.console_text();
    check!(text.lines().any(|line| line.starts_with("counters: ") && line.contains(&said)), "not in {text}");
    target.finish().map(drop)
}

/// Gives Linux's own generator these things to do on an interface, until the end of the scenario.
struct Generator<'a>(&'a Context<'a>);

impl<'a> Generator<'a> {
    fn new(context: &'a Context<'a>, interface: &str, options: &str) -> Result<Self> {
        context.bed.put("/tmp/options", options.as_bytes())?;
        let generator = Self(context);
        // Each option is a write of its own.
        context.bed.must(&format!(
            "cd /proc/net/pktgen && echo add_device {interface} >kpktgend_0 && while read option; do \
             echo \"$option\" >{interface} || exit 1; done </tmp/options"
        ))?;
        Ok(generator)
    }
}

impl Drop for Generator<'_> {
    fn drop(&mut self) {
        // What is wrong with dom0 is said by the next who needs it.
        let _ = self.0.bed.shell("cd /proc/net/pktgen && echo stop >pgctrl; echo rem_device_all >kpktgend_0");
    }
}

/// A broker appears while stations that are not there send, a thousand times a second, what the guest has to answer.
/// For each answer the stack would have to ask where its receiver is, and it asks once a second.
fn forged_neighbours(context: &Context<'_>) -> Result<()> {
    const BROKER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 201);
    const PORT: u16 = 1883;
    let parameters =
        format!("ip={}/24 source={BROKER}:{PORT} cloud={BROKER}:{PORT} topics=sensors/+", collect::ADDRESS);
    let mut spec = guest(context, "collect", &parameters)?;
    spec.vif = true;
    let mut guest = context.bed.create(&spec)?;
    guest.wait_for("network: ", PATIENCE)?;
    let options = format!(
        "count 0\ndelay 1000000\npkt_size 60\ndst {}\ndst_mac {}\n\
         src_min 10.0.2.100\nsrc_max 10.0.2.199\nflag IPSRC_RND\n\
         udp_dst_min 9\nudp_dst_max 9\n",
        collect::ADDRESS,
        spec.mac()
    );
    let flood = Generator::new(context, &format!("vif{}.0", guest.domain()?), &options)?;
    // The generator's file takes the word only when it has done its work; the shell must not keep our output for so
    // long.
    context.bed.must("(exec >/dev/null 2>&1; echo start >/proc/net/pktgen/pgctrl) &")?;
    let received = || -> Result<u64> { Ok(guest.counters(PATIENCE)?["received"]) };
    let before = received()?;
    // Who has asked before the flood began asks again to the moment when the second is over, so that the flood comes
    // too late. So both connections must have been given up once.
    wait_until("the guest calls anew under the flood", || {
        let attempts = guest.console_text().matches("; again in").count();
        Ok((received()? > before + 1000 && attempts >= 2).then_some(()))
    })?;
    let heard = "/tmp/broker-heard";
    context.bed.must(&format!(
        "ip address add {BROKER}/32 dev {BRIDGE} && (nc -l -p {PORT} </dev/null >{heard} 2>/dev/null &)"
    ))?;
    let since = Instant::now();
    let found = wait_until("the guest greets its broker", || {
        Ok(context.bed.shell(&format!("grep MQTT {heard}"))?.status == 0).map(|found| found.then_some(()))
    });
    context.bed.must(&format!("ip address delete {BROKER}/32 dev {BRIDGE}"))?;
    found?;
    drop(flood);
    // By chance it finds it at some time.
    check!(since.elapsed() < Duration::from_secs(30), "it has found its broker after {:?}", since.elapsed());
    guest.destroy()
}

/// From Linux's own generator, as fast as they go. They come from a station that is not there, so nearly all that goes
/// through the machine is the flood. What Linux drops it counts; all else must have reached the guest.
fn generated(context: &Context<'_>) -> Result<()> {
    const COUNT: u64 = 1_000_000;
    let target = Target::echo(context)?;
    let received = || -> Result<u64> { Ok(target.guest.counters(PATIENCE)?["received"]) };
    let (interface, mac, address) = (target.interface()?, target.guest.spec().mac(), target.server.ip());
    let statistics = format!("/sys/class/net/{interface}/statistics/tx_dropped");
    let dropped = || -> Result<u64> { Ok(context.bed.must(&format!("cat {statistics}"))?.trim().parse()?) };
    let (received_before, dropped_before) = (received()?, dropped()?);
    let options = format!(
        "count {COUNT}\ndelay 0\npkt_size 60\ndst {address}\ndst_mac {mac}\nsrc_min {NOBODY}\nsrc_max {NOBODY}\n\
         udp_src_min 4000\nudp_src_max 4000\nudp_dst_min 7\nudp_dst_max 7\n"
    );
    let generator = Generator::new(context, &interface, &options)?;
    let output = context.bed.shell_within("echo start >/proc/net/pktgen/pgctrl", Duration::from_secs(900))?;
    check!(output.status == 0, "{}", String::from_utf8_lossy(&output.stderr));
    drop(generator);
    // The last ones still wait in dom0.
    let lost = wait_until(&format!("{COUNT} packets have gone somewhere"), || {
        let lost = dropped()? - dropped_before;
        Ok((received()? - received_before + lost >= COUNT).then_some(lost))
    })?;
    check!(lost < COUNT / 10, "Linux has dropped {lost} of {COUNT} packets: this was no flood of the guest");
    target.is_well()?;
    target.finish().map(drop)
}
