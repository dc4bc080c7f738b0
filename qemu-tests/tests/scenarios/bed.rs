//! The bed tests itself, with a guest made by hand: what fails here is not Spore's fault.

use anyhow::{Context as _, Result, ensure};
use qemu_tests::broker::Broker;
use qemu_tests::harness::{Context, Scenario};
use qemu_tests::protocol::{BRIDGE, HOST_ADDRESS, Ping, TcpConnections, TcpStream, UdpEcho};
use qemu_tests::{GuestSpec, ShutdownReason, probe};
use std::io::{Read, Write};
use std::net::{self, Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket};
use std::thread;
use std::time::Duration;

/// All of this module's.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "bed: a guest's console and reason reach the host unchanged", run: console_and_reason },
    Scenario { name: "bed: a restarted guest ends twice", run: restart },
    Scenario { name: "bed: xenstore values keep their bytes", run: xenstore },
    Scenario { name: "bed: dom0 reaches the host", run: network },
    Scenario { name: "bed: dom0's test clients agree with an honest echo server", run: clients },
    Scenario { name: "bed: there is room for a guest of 512 MiB", run: large_guest },
    Scenario { name: "bed: both hotplug scripts put a guest's interface on the bridge", run: hotplug },
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
