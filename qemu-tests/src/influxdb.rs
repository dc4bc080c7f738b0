//! A real InfluxDB 1.x on the host's loopback interface.

use crate::host_tool;
use crate::place;
use crate::process::{Log, Process};
use anyhow::{Context, Result, ensure};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

/// Longest wait for it to listen, and for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The name of its only database.
pub const DATABASE: &str = "house";

/// A running InfluxDB with one empty database. It ends on drop.
#[derive(Debug)]
pub struct InfluxDb {
    port: u16,
    /// What its user says of itself in a request; empty where anybody may ask.
    access: String,
    _process: Process,
}

impl InfluxDb {
    /// Starts one that anybody may ask, or only a user with this name and password, on a free port. Its files and its log are below
    /// `target/bed/influxdb/<name>`.
    ///
    /// # Errors
    /// The packages are missing, or it does not start.
    pub fn start(name: &str, login: Option<(&str, &str)>) -> Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let home = place::bed().join("influxdb").join(name);
        // Its data is of this life alone.
        if home.exists() {
            fs::remove_dir_all(&home).with_context(|| format!("remove {}", home.display()))?;
        }
        fs::create_dir_all(&home).with_context(|| format!("make {}", home.display()))?;
        let settings = home.join("conf");
        fs::write(&settings, settings_for(port, &home, login.is_some()))
            .with_context(|| format!("write {}", settings.display()))?;
        let mut command = host_tool::command("/usr/bin/influxd")?;
        command.arg("-config").arg(&settings);
        let file = File::create(home.join("log")).context("make a file for its log")?;
        let mut process = Process::start(command, &Log::default(), file).context("start InfluxDB")?;
        let listens = process.listens(port, PATIENCE)?;
        ensure!(listens, "InfluxDB did not start:\n{}", fs::read_to_string(home.join("log")).unwrap_or_default());
        let mut database = Self { port, access: String::new(), _process: process };
        if let Some((user, password)) = login {
            database.ask(&format!("CREATE USER \"{user}\" WITH PASSWORD '{password}' WITH ALL PRIVILEGES"))?;
            let _ = write!(database.access, "&u={user}&p={password}");
        }
        database.ask(&format!("CREATE DATABASE {DATABASE}"))?;
        Ok(database)
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Writes lines of its protocol, with times in nanoseconds.
    ///
    /// # Errors
    /// It does not take them.
    pub fn write(&self, lines: &str) -> Result<()> {
        self.post(&format!("/write?db={DATABASE}{}", self.access), "text/plain", lines)
    }

    /// Has it do something.
    ///
    /// # Errors
    /// It does not.
    pub fn ask(&self, query: &str) -> Result<()> {
        let encoded: String = query.bytes().fold(String::new(), |mut encoded, byte| {
            let _ = write!(encoded, "%{byte:02x}");
            encoded
        });
        let path = format!("/query?db={DATABASE}{}", self.access);
        self.post(&path, "application/x-www-form-urlencoded", &format!("q={encoded}"))
    }

    fn post(&self, path: &str, form: &str, content: &str) -> Result<()> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).context("connect to InfluxDB")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let length = content.len();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {form}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{content}"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).context("InfluxDB's answer")?;
        let done = answer.starts_with("HTTP/1.1 20") && !answer.contains("\"error\"");
        ensure!(done, "InfluxDB says to {path}: {answer}");
        Ok(())
    }
}

/// Everything below its folder, and one port.
fn settings_for(port: u16, home: &Path, login: bool) -> String {
    let home = home.display();
    format!(
        "reporting-disabled = true\nbind-address = \"127.0.0.1:0\"\n\
         [meta]\ndir = \"{home}/meta\"\n\
         [data]\ndir = \"{home}/data\"\nwal-dir = \"{home}/wal\"\n\
         [monitor]\nstore-enabled = false\n\
         [http]\nbind-address = \"127.0.0.1:{port}\"\nauth-enabled = {login}\nlog-enabled = true\n"
    )
}
