//! The bed tests itself, with a guest made by hand: what fails here is not Spore's fault.

use anyhow::{Context as _, Result, bail, ensure};
use qemu_tests::broker::Broker;
use qemu_tests::harness::{Context, Scenario};
use qemu_tests::protocol::{BRIDGE, HOST_ADDRESS, Ping, TcpConnections, TcpStream, TerminalSize, UdpEcho};
use qemu_tests::session::{News, Session};
use qemu_tests::{GuestSpec, ShutdownReason, probe, tools};
use std::fs;
use std::io::{Read, Write};
use std::net::{self, Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

/// All of this module's.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "bed: a guest's console and reason reach the host unchanged", run: console_and_reason },
    Scenario { name: "bed: a restarted guest ends twice", run: restart },
    Scenario { name: "bed: xenstore values keep their bytes", run: xenstore },
    Scenario { name: "bed: dom0 reaches the host", run: network },
    Scenario { name: "bed: dom0's test clients agree with an honest echo server", run: clients },
    Scenario { name: "bed: there is room for a guest of 512 MiB", run: large_guest },
    Scenario { name: "bed: both hotplug scripts put a guest's interface on the bridge", run: hotplug },
    Scenario {
        name: "bed: dom0 has a person's tools, a shared folder, and commands with input and status",
        run: command,
    },
    Scenario { name: "bed: dom0 has a shell on a terminal", run: shell },
    Scenario { name: "bed: packets to the host are captured", run: capture },
    Scenario { name: "bed: the broker passes messages on, also after a restart", run: broker },
];

const PATIENCE: Duration = Duration::from_secs(30);

fn console_and_reason(context: &Context<'_>) -> Result<()> {
    let mut text: Vec<u8> = (0..=255).cycle().take(2000).collect();
    text.extend(b"\nlast line\n");
    for reason in [ShutdownReason::PowerOff, ShutdownReason::Crash, ShutdownReason::Reboot] {
        let mut guest = context.bed.create(&GuestSpec::new("probe", probe::image(context.arch, &text, reason)))?;
        ensure!(guest.wait_for("last line", PATIENCE)? == "last line", "another line was found");
        let end = guest.wait_shutdown(PATIENCE)?;
        ensure!(end == reason, "it ended with {end} instead of {reason}");
        ensure!(guest.console_bytes() == text, "{} bytes came instead of {}", guest.console_bytes().len(), text.len());
        guest.destroy()?;
    }
    Ok(())
}

fn restart(context: &Context<'_>) -> Result<()> {
    let mut spec = GuestSpec::new("phoenix", probe::image(context.arch, b"up\n", ShutdownReason::Reboot));
    spec.on_reboot = "restart".into();
    let mut guest = context.bed.create(&spec)?;
    let first = guest.domain()?;
    for _ in 0..2 {
        guest.wait_for("up", PATIENCE)?;
        let end = guest.wait_shutdown(PATIENCE)?;
        ensure!(end == ShutdownReason::Reboot, "it ended with {end}");
    }
    ensure!(guest.domain()? > first, "it is still domain {first}");
    Ok(())
}

fn xenstore(context: &Context<'_>) -> Result<()> {
    let bytes: Vec<u8> = (0..=255).rev().collect();
    let mut spec = GuestSpec::new("probe", probe::image(context.arch, b"", ShutdownReason::PowerOff));
    spec.data = vec![("parameters".into(), bytes.clone())];
    let mut guest = context.bed.create(&spec)?;
    guest.wait_shutdown(PATIENCE)?;
    ensure!(guest.xenstore_read("data/parameters")? == Some(bytes), "the value has changed");
    ensure!(guest.xenstore_read("data/nothing")?.is_none(), "there is a value that nobody wrote");
    let path = guest.xenstore_path("data")?;
    guest.destroy()?;
    let gone = context.bed.xenstore_wait(&path, None, PATIENCE)?;
    ensure!(gone.is_none(), "{path} is still there");
    Ok(())
}

fn network(context: &Context<'_>) -> Result<()> {
    let ping = Ping { address: HOST_ADDRESS, count: 20, interval_us: 10_000, size_bytes: 56, patience_ms: 5000 };
    let result = context.bed.ping(&ping)?;
    ensure!(result.received == 20, "{result:?}");
    Ok(())
}

fn clients(context: &Context<'_>) -> Result<()> {
    let (tcp, udp) = (TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?);
    let address = |local: SocketAddr| SocketAddrV4::new(HOST_ADDRESS, local.port());
    let (tcp_address, udp_address) = (address(tcp.local_addr()?), address(udp.local_addr()?));
    // The servers end with the program: a listener cannot be woken otherwise.
    thread::spawn(move || tcp.incoming().flatten().for_each(|connection| drop(thread::spawn(|| echo(connection)))));
    thread::spawn(move || {
        let mut buffer = [0; 2000];
        while let Ok((length, from)) = udp.recv_from(&mut buffer) {
            let _ = udp.send_to(&buffer[..length], from);
        }
    });
    let wanted = TcpConnections { address: tcp_address, count: 40, parallel: 4, size_bytes: 1000, patience_ms: 20_000 };
    let result = context.bed.tcp_connections(&wanted, PATIENCE)?;
    ensure!(result.succeeded == 40, "{result:?}");
    let wanted = TcpStream { address: tcp_address, size_bytes: Some(5_000_000), seed: 1, patience_ms: 20_000 };
    let result = context.bed.tcp_stream(&wanted, PATIENCE)?;
    ensure!(result.received_bytes == 5_000_000 && result.error.is_none(), "{result:?}");
    let wanted = UdpEcho { address: udp_address, count: 50, size_bytes: 1400, patience_ms: 2000 };
    let result = context.bed.udp_echo(&wanted, PATIENCE)?;
    ensure!(result.received == 50, "{result:?}");
    Ok(())
}

fn echo(mut connection: net::TcpStream) {
    let mut buffer = [0; 8192];
    while let Ok(length @ 1..) = connection.read(&mut buffer) {
        if connection.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}

fn large_guest(context: &Context<'_>) -> Result<()> {
    let mut spec = GuestSpec::new("large", probe::image(context.arch, b"up\n", ShutdownReason::PowerOff));
    spec.memory_mib = 512;
    let mut guest = context.bed.create(&spec)?;
    guest.wait_for("up", PATIENCE)?;
    Ok(())
}

fn hotplug(context: &Context<'_>) -> Result<()> {
    for script in ["vif-bridge", "vif-bed"] {
        let mut spec = GuestSpec::new("probe", probe::image(context.arch, b"", ShutdownReason::PowerOff));
        spec.configuration = vec![format!("vif = [ \"bridge={BRIDGE},script={script}\" ]")];
        let mut guest = context.bed.create(&spec)?;
        guest.wait_shutdown(PATIENCE)?;
        let interfaces = context.bed.must(&format!("ls /sys/class/net/{BRIDGE}/brif"))?;
        let expected = format!("vif{}.0", guest.domain()?);
        ensure!(interfaces.contains(&expected), "{script}: {expected} is not on the bridge: {interfaces}");
        guest.destroy()?;
    }
    Ok(())
}

/// Takes what a session prints until it ends; returns that and the exit status.
fn talk(session: &mut Session) -> Result<(String, i32)> {
    let mut printed = Vec::new();
    loop {
        match session.next(PATIENCE)? {
            News::Printed(_, bytes) => printed.extend(bytes),
            News::Ended(status) => return Ok((String::from_utf8(printed)?, status)),
            News::Nothing => bail!("it is silent: {}", String::from_utf8_lossy(&printed)),
        }
    }
}

fn command(context: &Context<'_>) -> Result<()> {
    context.bring_tools()?;
    fs::write(context.share().join("in"), "from the host")?;
    let script =
        "set -e; cat /share/in; echo; cat >/share/out; ip -V; tcpdump --version 2>&1; dnsmasq --version; xl info
        tc qdisc add dev lo root netem delay 1ms loss 1%; tc qdisc show dev lo; tc qdisc del dev lo root; exit 7";
    let mut session = context.bed.start(tools::shell(Some(script.to_owned()), None))?;
    let input = session.input();
    input.write(b"from a pipe")?;
    input.end()?;
    let (printed, status) = talk(&mut session)?;
    ensure!(status == 7, "exit status {status}: {printed}");
    let expected =
        ["from the host\n", "iproute2", "tcpdump version", "Dnsmasq version", "xen_major", "netem", "loss 1%"];
    let missing = expected.iter().find(|text| !printed.contains(**text));
    ensure!(missing.is_none(), "no {missing:?} in {printed}");
    let out = fs::read_to_string(context.share().join("out"))?;
    ensure!(out == "from a pipe", "the shared folder has {out:?}");
    Ok(())
}

fn shell(context: &Context<'_>) -> Result<()> {
    context.bring_tools()?;
    let size = TerminalSize { rows: 31, columns: 97 };
    let mut session = context.bed.start(tools::shell(None, Some(size)))?;
    // As typed: what was typed before is a line of the shell, too.
    session.input().write(b"stty size; tty; exit 9\r")?;
    let (printed, status) = talk(&mut session)?;
    ensure!(status == 9, "exit status {status}: {printed}");
    ensure!(printed.contains("31 97") && printed.contains("/dev/pts/"), "no terminal: {printed}");
    Ok(())
}

fn capture(context: &Context<'_>) -> Result<()> {
    let ping = Ping { address: HOST_ADDRESS, count: 1, interval_us: 10_000, size_bytes: 1234, patience_ms: 5000 };
    context.bed.ping(&ping)?;
    let capture = context.bed.capture().context("nothing is captured")?;
    let deadline = Instant::now() + PATIENCE;
    // Ethernet, IP and ICMP add 42 bytes. Both the request and its answer have this length.
    let length = 1276u32.to_ne_bytes().repeat(2);
    loop {
        let file = capture.file().unwrap_or_default();
        if file.windows(length.len()).filter(|window| *window == length).count() == 2 {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "no request and answer in {} bytes", file.len());
    }
}

fn broker(context: &Context<'_>) -> Result<()> {
    let mut broker = Broker::start("bed")?;
    let subscription = broker.subscribe("sensors/#")?;
    let mut publisher = broker.publisher("sensors/7")?;
    publisher.send("21.5")?;
    publisher.finish()?;
    let (topic, payload) = subscription.next(PATIENCE).context("no message came")?;
    ensure!(topic == "sensors/7" && payload == "21.5", "{topic}: {payload}");
    broker.stop();
    broker.resume()?;
    let output = context.bed.must(&format!("nc -w 2 {HOST_ADDRESS} {} </dev/null && echo reached", broker.port()))?;
    ensure!(output.contains("reached"), "dom0 does not reach the broker");
    Ok(())
}
