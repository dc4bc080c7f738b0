//! A board in a folder: the program, its tenants, and calls to it.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use artifact::{Architecture, Built, Config, Layout, pack, sign};
use description::Description;
use protocol::command::{Destination, Lifetime, Memory, OnCrash, Task};
use protocol::{
    Access, Cpu, Digest, Parameters, Purpose, Quota, SecretKey, SignedCommand, Tenant, TenantRecord, Timestamp,
    Version, document,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::toolstack;

/// The longest wait for something that must happen: generous, for a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(120);
/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// What a test's tenant may use unless the test says otherwise.
pub const QUOTA: Quota = Quota {
    guests: 100,
    memory_mib: 1000,
    queued: 20_000,
    starts_per_minute: 1_000_000,
    result_bytes: 1 << 30,
    cpu: Cpu { weight: 256, cap_percent: 0 },
};

/// A tenant, with what it signs with and the task that it has signed.
#[derive(Debug)]
pub struct TestTenant {
    /// Its name.
    pub name: Tenant,
    /// Its key.
    pub key: SecretKey,
    /// Its task.
    pub task: Digest,
}

/// An answer of the node.
#[derive(Debug)]
pub struct Answer {
    /// The status of HTTP.
    pub status: u16,
    /// The body, when it is JSON.
    pub json: Value,
    /// The body.
    pub text: String,
}

/// A board in a folder of its own.
pub struct Board {
    program: Box<dyn Fn(&Path) -> Command + Sync>,
    child: Option<Child>,
    folder: TempDir,
}

impl Board {
    /// A board on which a program runs that is started with its config's path, with these lines in it besides.
    ///
    /// # Panics
    /// It does not start.
    pub fn start(program: impl Fn(&Path) -> Command + Sync + 'static, config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (socket, state, tasks) = (path("node.sock"), path("state"), path("tasks"));
        let text = format!(
            "name = \"board\"\nsocket = \"{socket}\"\nstate = \"{state}\"\ntasks = \"{tasks}\"\n\
             poll_milliseconds = 50\n{config}\n"
        );
        fs::write(folder.path().join("node.toml"), text).unwrap();
        Layout::create(&folder.path().join("tasks")).unwrap();
        let mut board = Self { program: Box::new(program), child: None, folder };
        board.begin();
        board
    }

    /// The board's folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A file that commands the toolstack, or that it has written.
    #[must_use]
    pub fn fake(&self, name: &str) -> PathBuf {
        self.path().join("state/fake").join(name)
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.path().join("node.sock")
    }

    /// The program's process.
    ///
    /// # Panics
    /// It does not run.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Starts the program and waits until it serves.
    ///
    /// # Panics
    /// It does not.
    pub fn begin(&mut self) {
        let log = File::options().create(true).append(true).open(self.path().join("log")).unwrap();
        let mut command = (self.program)(&self.path().join("node.toml"));
        command.stdin(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().unwrap());
        wait_for("the node to serve", || UnixStream::connect(self.socket()).is_ok());
    }

    /// Kills the program as the kernel does: nothing of it runs any more.
    ///
    /// # Panics
    /// It does not run.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// A tenant with a key and a signed task in the board's folder.
    ///
    /// # Panics
    /// It is not added.
    #[must_use]
    pub fn tenant(&self, name: &str, quota: Quota) -> TestTenant {
        let (key, name) = (SecretKey::new(), name.parse::<Tenant>().unwrap());
        let config =
            Config::new(Description::of::<toolstack::Parameters, toolstack::Report>("fake"), 4, Vec::new()).unwrap();
        let config = Config { log_strings: Some(toolstack::log_strings()), ..config };
        let image = format!("the image of {name}").into_bytes();
        let built = Built { architecture: Architecture::here(), config, image };
        let layout = Layout::open(&self.path().join("tasks")).unwrap();
        let task = pack(&[built], &name, &layout, None).unwrap();
        sign(&layout, task, &key).unwrap();
        let record = TenantRecord { tenant: name.clone(), keys: vec![key.public().to_pem()], quota };
        let answer = self.call("PUT", &format!("/v1/tenants/{name}"), "", &document::encode(&record));
        assert_eq!(answer.status, 200, "{}", answer.text);
        TestTenant { name, key, task }
    }

    /// Calls the node, as root or with an access.
    ///
    /// # Panics
    /// It does not answer.
    #[must_use]
    pub fn call(&self, method: &str, path: &str, authorization: &str, body: &[u8]) -> Answer {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream.write_all(&request(method, path, authorization, body)).unwrap();
        answer(stream).unwrap()
    }

    /// The same, as root.
    #[must_use]
    pub fn get(&self, path: &str) -> Answer {
        self.call("GET", path, "", b"")
    }

    /// Begins to read a stream, whose lines then come one by one.
    ///
    /// # Panics
    /// It does not begin.
    pub fn stream(&self, path: &str, authorization: &str) -> impl Iterator<Item = String> + use<> {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream.write_all(&request("GET", path, authorization, b"")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        BufReader::new(stream).lines().map_while(Result::ok)
    }

    /// Sends a command.
    #[must_use]
    pub fn send(&self, tenant: &TestTenant, id: &str, parameters: &str) -> Answer {
        self.send_command(tenant, &command(tenant, id, parameters))
    }

    /// Sends a command that the test has written.
    #[must_use]
    pub fn send_command(&self, tenant: &TestTenant, command: &protocol::Command) -> Answer {
        self.call("POST", "/v1/commands", "", &SignedCommand::seal(command, &tenant.key).to_bytes())
    }

    /// Waits until a command is in this phase.
    ///
    /// # Panics
    /// It does not get there.
    pub fn wait(&self, tenant: &TestTenant, id: &str, phase: &str) {
        let path = format!("/v1/commands/{}/{id}", tenant.name);
        let mut last = Value::Null;
        let reached = |last: &Value| last == phase || last.get(phase).is_some();
        let deadline = Instant::now() + PATIENCE;
        while !reached(&last) {
            assert!(Instant::now() < deadline, "{id} is {last}, not {phase}: {}", self.log());
            last = self.get(&path).json["state"].clone();
            thread::sleep(LOOK);
        }
    }

    /// What the program has said.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.path().join("log")).unwrap_or_default()
    }

    /// Guests that there are.
    ///
    /// # Panics
    /// There is no folder for them.
    #[must_use]
    pub fn guests(&self) -> usize {
        fs::read_dir(self.fake("guests")).unwrap().count()
    }

    /// A line of the program's status in /proc, in KiB: `VmRSS`, `VmHWM`.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn memory_kib(&self, line: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process())).unwrap();
        let found = status.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':'));
        found.unwrap().split_whitespace().next().unwrap().parse().unwrap()
    }
}

/// What a run costs, for who measures.
impl Board {
    /// The CPU time of the program's process so far, in milliseconds.
    ///
    /// # Panics
    /// The kernel does not say.
    #[must_use]
    pub fn cpu_milliseconds(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process())).unwrap();
        // proc(5): utime and stime are fields 14 and 15, in hundredths of a second; the name in field 2 may have spaces.
        let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        [11, 12].into_iter().map(|field| fields[field].parse::<u64>().unwrap() * 10).sum()
    }

    /// Bytes that the program's process has caused to be written to a disk.
    ///
    /// # Panics
    /// The kernel does not say.
    #[must_use]
    pub fn written_bytes(&self) -> u64 {
        let io = fs::read_to_string(format!("/proc/{}/io", self.process())).unwrap();
        io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).unwrap().parse().unwrap()
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if thread::panicking() {
            eprintln!("the node's log:\n{}", self.log());
        }
    }
}

impl TestTenant {
    /// The header with which the tenant is let in.
    #[must_use]
    pub fn access(&self, purpose: Purpose) -> String {
        let expires = Timestamp::from(SystemTime::now()).after(Duration::from_secs(600));
        let node = "board".parse().expect("a name");
        Access { version: Version, tenant: self.name.clone(), node, purpose, expires }.to_header(&self.key)
    }
}

/// A command of a tenant, with parameters such as `act=finish number=3`.
///
/// # Panics
/// The words are none.
#[must_use]
pub fn command(tenant: &TestTenant, id: &str, parameters: &str) -> protocol::Command {
    let pair = |word: &str| word.split_once('=').map(|(name, value)| (name.parse().unwrap(), value.to_owned()));
    protocol::Command {
        version: Version,
        tenant: tenant.name.clone(),
        id: id.parse().unwrap(),
        issued: SystemTime::now().into(),
        task: Task { digest: tenant.task, repository: None },
        parameters: Parameters(parameters.split_whitespace().filter_map(pair).collect()),
        contract: None,
        memory: Memory::WhatTheContractNeeds,
        lifetime: Lifetime::Ephemeral,
        priority: 0,
        deadline: None,
        longest_run_seconds: None,
        on_crash: OnCrash::GiveUp,
        result: Destination::Node,
    }
}

/// Waits until something is so.
///
/// # Panics
/// It does not happen.
pub fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(LOOK);
    }
}

fn request(method: &str, path: &str, authorization: &str, body: &[u8]) -> Vec<u8> {
    let authorization =
        if authorization.is_empty() { String::new() } else { format!("authorization: {authorization}\r\n") };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\ncontent-length: {}\r\n{authorization}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Reads an answer whose body is not in pieces.
fn answer(mut stream: UnixStream) -> io::Result<Answer> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| io::Error::other(format!("no answer: {text:?}")))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Ok(Answer { status, json: serde_json::from_str(body).unwrap_or(Value::Null), text: body.to_owned() })
}
