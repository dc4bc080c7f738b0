//! Another MQTT 5 broker than mosquitto, on the host's loopback interface: ejabberd, which is written in Erlang and shares
//! nothing with it.

use crate::host_tool;
use crate::packages::ERLANG_BROKER;
use crate::place;
use crate::process::{Log, Process};
use crate::root::Root;
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest wait for the broker to listen: Erlang loads some hundred modules.
const START_PATIENCE: Duration = Duration::from_secs(120);

/// How often to look whether it has ended instead.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The host whose users it knows.
const DOMAIN: &str = "localhost";

/// What it says when all is ready.
const READY: &str = "ejabberd is ready";

/// A running ejabberd that knows one user. It ends on drop.
#[derive(Debug)]
pub struct Ejabberd {
    port: u16,
    user: String,
    _process: Process,
}

impl Ejabberd {
    /// Starts a broker on a free port. Its log is `target/bed/logs/<name>.ejabberd.log`.
    ///
    /// # Errors
    /// The packages are missing, or the broker does not start.
    pub fn start(name: &str, user: &str, password: &str) -> Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let home = place::bed().join("ejabberd").join(name);
        // Its users and sessions are of this life alone.
        let _ = fs::remove_dir_all(&home);
        fs::create_dir_all(&home).with_context(|| format!("make {}", home.display()))?;
        fs::create_dir_all(place::logs()).context("make the folder for logs")?;
        let log = place::logs().join(format!("{name}.ejabberd.log"));
        let settings = home.join("ejabberd.yml");
        fs::write(&settings, settings_for(port)).with_context(|| format!("write {}", settings.display()))?;

        let root = Root(ERLANG_BROKER.root());
        let erlang = root.resolve("/usr/lib/erlang").context("the packages of ejabberd are missing: run setup")?;
        let runtime = runtime(&erlang)?;
        let mut command = host_tool::command_of(&ERLANG_BROKER, &format!("/usr/lib/erlang/{runtime}/bin/beam.smp"))?;
        // What Erlang's own script would say before it starts the same program.
        let programs = erlang.join(runtime).join("bin");
        command.args(["--", "-root"]).arg(&erlang).arg("-bindir").arg(&programs);
        command.args(["-progname", "erl", "--", "-home"]).arg(&home).arg("--");
        command.arg("-noinput").arg("-boot").arg(erlang.join("bin/start_clean"));
        command.args(["-mnesia", "dir"]).arg(format!("{:?}", home.join("tables")));
        command.arg("-eval").arg(begin(user, password));
        command.env("BINDIR", programs).env("ROOTDIR", &erlang).env("HOME", &home);
        command.env("ERL_LIBS", root.0.join(format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH)));
        command.env("EJABBERD_CONFIG_PATH", &settings).env("EJABBERD_LOG_PATH", &log);
        command.env("ERL_CRASH_DUMP", home.join("crash"));

        let said = Log::default();
        let errors = File::create(home.join("errors")).context("make a file for the broker's errors")?;
        let mut process = Process::start(command, &said, errors).context("start ejabberd")?;
        let deadline = Instant::now() + START_PATIENCE;
        while !said.wait(0, READY, 1, LOOK_AGAIN) {
            let waits = Instant::now() < deadline && process.0.try_wait()?.is_none();
            let files = [&log, &home.join("errors")].map(|file| fs::read_to_string(file).unwrap_or_default());
            ensure!(waits, "ejabberd did not start:\n{}", files.concat());
        }
        Ok(Self { port, user: format!("{user}@{DOMAIN}"), _process: process })
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The name that its user logs in with.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }
}

/// The folder of Erlang's runtime system, which has its version in its name.
fn runtime(erlang: &Path) -> Result<String> {
    let entries = fs::read_dir(erlang).with_context(|| format!("read {}", erlang.display()))?;
    let mut names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.find(|name| name.starts_with("erts-")).context("Erlang has no runtime system")
}

/// MQTT on one port, every topic open to who has logged in; and nothing else.
fn settings_for(port: u16) -> String {
    let everyone = r##"{"#": [{allow: all}]}"##;
    format!(
        "hosts: [{DOMAIN}]\nloglevel: info\nauth_method: internal\n\
         listen:\n  - {{port: {port}, ip: 127.0.0.1, module: mod_mqtt}}\n\
         modules:\n  mod_mqtt:\n    access_publish: {everyone}\n    access_subscribe: {everyone}\n"
    )
}

/// What Erlang is to do: start the broker, make its user, and say so.
fn begin(user: &str, password: &str) -> String {
    format!(
        "{{ok, _}} = application:ensure_all_started(ejabberd), \
         ok = ejabberd_auth:try_register(<<\"{user}\">>, <<\"{DOMAIN}\">>, <<\"{password}\">>), \
         io:put_chars(standard_error, \"{READY}\\n\")."
    )
}
