//! TLS with others' programs: a private registry, receivers and brokers of results, and clients of a node.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use artifact::{Access, Architecture, Built, Config, Layout, Reference, Registry, copy, pack, verify};
use description::Description;
use interop::{PASSWORD, Peer, private_registry, run};
use node_fake::board::{Board, QUOTA, command, wait_for};
use protocol::command::Destination;
use protocol::{SecretKey, Tenant};
use qemu_tests::{host_tool, packages, place, progress};
use tempfile::TempDir;
use tls::Client;
use tls_testing::{Authority, Valid};

/// A registry that speaks https and wants a name and a password, and someone who has them.
struct Desk {
    server: qemu_tests::registry::Registry,
    authority: Authority,
    home: TempDir,
}

impl Desk {
    fn new(hosts: &[&str], valid: Valid) -> Self {
        let (authority, home) = (Authority::new(), tempfile::tempdir().unwrap());
        let (certificate, key) = authority.issue("registry", hosts, valid);
        let server = private_registry(&certificate, &key).unwrap();
        Self { server, authority, home }
    }

    fn host(&self) -> String {
        format!("127.0.0.1:{}", self.server.port())
    }

    fn repository(&self) -> String {
        format!("{}/acme/hello", self.host())
    }

    /// Logs in with oras, which writes the file.
    fn log_in(&self) -> PathBuf {
        let file = self.home.path().join("auth.json");
        let mut oras = Peer::Oras.command(&self.home).unwrap();
        oras.args(["login", &self.host(), "-u", "ann", "-p", PASSWORD, "--plain-http=false"]);
        oras.arg("--ca-file").arg(self.authority.ca()).arg("--registry-config").arg(&file);
        run(&mut oras).unwrap();
        file
    }

    fn access(&self, credentials: Option<PathBuf>) -> Access {
        let tls = Client { ca: Some(self.authority.ca()), identity: None };
        Access { plain_http: Some(false), tls, credentials }
    }

    fn registry(&self, access: &Access) -> Registry {
        Registry::new(self.repository().parse().unwrap(), access).unwrap()
    }

    /// What goes wrong with a push that is reached so.
    fn wrong(&self, access: &Access) -> String {
        pack(&built(), &acme(), &self.registry(access), None).unwrap_err().to_string()
    }
}

fn acme() -> Tenant {
    "acme".parse().unwrap()
}

fn built() -> Vec<Built> {
    let config = Config::new(Description::of::<(), u32>("hello"), 4, Vec::new()).unwrap();
    vec![Built { architecture: Architecture::Armv7, config, image: vec![7; 50_000] }]
}

#[test]
fn a_private_registry_is_used_with_the_file_that_oras_has_written_and_by_oras_and_skopeo_too() {
    let desk = Desk::new(&["127.0.0.1"], Valid::Now);
    let file = desk.log_in();
    let registry = desk.registry(&desk.access(Some(file.clone())));
    let key = SecretKey::new();
    let one = Reference::Tag("one".parse().unwrap());
    let digest = pack(&built(), &acme(), &registry, Some(&one)).unwrap();
    artifact::sign(&registry, digest, &key).unwrap();
    verify(&registry, digest, &acme(), &[key.public()]).unwrap();

    let name = desk.repository();
    let mut oras = Peer::Oras.command(&desk.home).unwrap();
    oras.args(["cp", "-r", &format!("{name}:one"), "--to-oci-layout", "tasks:one", "--from-plain-http=false"]);
    oras.arg("--from-ca-file").arg(desk.authority.ca()).arg("--from-registry-config").arg(&file);
    run(&mut oras).unwrap();
    let layout = Layout::open(&desk.home.path().join("tasks")).unwrap();
    verify(&layout, digest, &acme(), &[key.public()]).unwrap();

    let certificates = desk.home.path().join("certificates");
    fs::create_dir(&certificates).unwrap();
    fs::copy(desk.authority.ca(), certificates.join("ca.crt")).unwrap();
    let mut skopeo = Peer::Skopeo.command(&desk.home).unwrap();
    skopeo.args(["copy", "--insecure-policy", "--all", "--preserve-digests", "--dest-authfile"]).arg(&file);
    skopeo.arg("--dest-cert-dir").arg(&certificates).args(["oci:tasks:one", &format!("docker://{name}:two")]);
    run(&mut skopeo).unwrap();
    copy(&registry, digest, &Layout::create(&desk.home.path().join("back")).unwrap(), None).unwrap();
}

#[test]
fn what_stands_between_a_person_and_a_private_registry_is_named() {
    let desk = Desk::new(&["127.0.0.1"], Valid::Now);
    let good = desk.access(None);
    let wrong = desk.wrong(&good);
    assert!(wrong.contains("401 Unauthorized") && wrong.contains("wants a name and a password"), "{wrong}");
    let file = desk.home.path().join("wrong.json");
    fs::write(&file, format!("{{\"auths\":{{\"{}\":{{\"auth\":\"YW5uOm5v\"}}}}}}", desk.host())).unwrap();
    let wrong = desk.wrong(&desk.access(Some(file)));
    assert!(wrong.contains("does not take the name and password in") && wrong.contains("wrong.json"), "{wrong}");
    let wrong = desk.wrong(&Access { tls: Client::default(), ..good.clone() });
    assert!(wrong.contains("the issuer of its certificate is not known here"), "{wrong}");
    let wrong = desk.wrong(&Access { plain_http: None, ..good.clone() });
    assert!(wrong.contains("it may speak https"), "{wrong}");
    let server = interop::registry().unwrap();
    let plain = format!("127.0.0.1:{}/acme/hello", server.port()).parse().unwrap();
    let plain = Registry::new(plain, &good).unwrap();
    let wrong = pack(&built(), &acme(), &plain, None).unwrap_err().to_string();
    assert!(wrong.contains("does not speak TLS: it may speak plain http"), "{wrong}");
    let other = Desk::new(&["registry.example"], Valid::Now);
    let wrong = other.wrong(&other.access(None));
    assert!(wrong.contains("is not for 127.0.0.1, but for") && wrong.contains("registry.example"), "{wrong}");
    let expired = Desk::new(&["127.0.0.1"], Valid::Before);
    let wrong = expired.wrong(&expired.access(None));
    assert!(wrong.contains("expired at 2021-01-01T00:00:00Z, the clock here says 2"), "{wrong}");
}

/// A program that ends on drop.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a program of the bed's packages for the host and waits until it listens.
fn start(program: &str, arguments: &[&Path], port: u16) -> Running {
    {
        let _lock = place::lock().unwrap();
        packages::HOST.provide(&mut progress::Lines).unwrap();
    }
    let mut command: Command = host_tool::command(program).unwrap();
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    let running = Running(command.spawn().unwrap());
    wait_for(program, || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
    running
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// A board whose node shows a certificate of the authority and trusts it, with these lines in its config.
fn board(authority: &Authority, lines: &str) -> Board {
    let (certificate, key) = authority.issue("board", &["board.example"], Valid::Now);
    let text =
        format!("ca = {:?}\nclient = {{ certificate = {certificate:?}, key = {key:?} }}\n{lines}\n", authority.ca());
    Board::start(node_fake::process::program, &text)
}

/// The node: this very program, in a process of its own.
#[test]
#[ignore = "a process that other tests start"]
fn node_process() {
    node_fake::process::run();
}

/// Has a command's result go somewhere, and waits until it is there.
fn deliver(board: &Board, destination: Destination) {
    let acme = board.tenant("acme", QUOTA);
    let mut sent = command(&acme, "one", "act=finish number=5");
    sent.result = destination;
    assert_eq!(board.send_command(&acme, &sent).status, 201);
    wait_for("the delivery", || board.get("/metrics").text.contains("spore_results_delivered_total 1"));
}

#[test]
fn a_result_is_posted_to_nginx_and_published_by_mosquitto_both_of_which_want_a_certificate() {
    let (authority, home) = (Authority::new(), tempfile::tempdir().unwrap());
    let (certificate, key) = authority.issue("server", &["localhost", "127.0.0.1"], Valid::Now);
    let (ca, folder) = (authority.ca().display().to_string(), home.path().display().to_string());
    let (certificate, key) = (certificate.display(), key.display());

    let port = free_port();
    let config = home.path().join("nginx.conf");
    fs::write(
        &config,
        format!(
            "daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{\n\
             access_log {folder}/access.log;\nclient_body_temp_path {folder};\nproxy_temp_path {folder};\n\
             fastcgi_temp_path {folder};\nuwsgi_temp_path {folder};\nscgi_temp_path {folder};\n\
             server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {certificate}; ssl_certificate_key {key};\n\
             ssl_client_certificate {ca}; ssl_verify_client on; location / {{ return 204; }} }}\n}}\n"
        ),
    )
    .unwrap();
    let _nginx = start("/usr/sbin/nginx", &[Path::new("-c"), &config], port);
    let receiving = board(&authority, &format!("receivers = [\"localhost:{port}\"]"));
    deliver(&receiving, Destination::Http { url: format!("https://localhost:{port}/results") });
    let access = fs::read_to_string(home.path().join("access.log")).unwrap();
    assert!(access.contains("\"POST /results HTTP/1.1\" 204"), "{access}");

    let port = free_port();
    let (config, log) = (home.path().join("mosquitto.conf"), home.path().join("mosquitto.log"));
    fs::write(
        &config,
        format!(
            "listener {port} 127.0.0.1\ncafile {ca}\ncertfile {certificate}\nkeyfile {key}\nrequire_certificate true\n\
             use_identity_as_username true\nallow_anonymous false\nlog_type all\nlog_dest file {}\nuser root\n",
            log.display()
        ),
    )
    .unwrap();
    let _mosquitto = start("/usr/sbin/mosquitto", &[Path::new("-c"), &config], port);
    let publishing = board(&authority, &format!("broker = \"mqtts://localhost:{port}\""));
    deliver(&publishing, Destination::Mqtt { topic: "acme/results".to_owned() });
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains("Received PUBLISH from spored-board (d0, q1, r0, m1, 'acme/results'"), "{log}");
    // By the common name of the node's certificate.
    assert!(log.contains("u'board'"), "{log}");
}

/// A node that listens, and who may come.
struct Door {
    authority: Authority,
    home: TempDir,
    port: u16,
    _board: Board,
}

impl Door {
    fn new() -> Self {
        let (authority, home, port) = (Authority::new(), tempfile::tempdir().unwrap(), free_port());
        let (certificate, key) = authority.issue("node", &["127.0.0.1"], Valid::Now);
        let listen = format!(
            "[listen]\naddress = \"127.0.0.1:{port}\"\ncertificate = {certificate:?}\nkey = {key:?}\nclient_ca = {:?}\n\
             operators = [\"ops.example\"]",
            authority.ca()
        );
        let board = board(&authority, &listen);
        wait_for("the node to listen", || board.log().contains("serves at https://"));
        Self { authority, home, port, _board: board }
    }

    fn operator(&self) -> (PathBuf, PathBuf) {
        self.authority.issue("operator", &["ops.example"], Valid::Now)
    }
}

#[test]
fn curl_talks_to_a_node_with_a_certificate_and_not_without() {
    let door = Door::new();
    let curl = |identity: Option<(PathBuf, PathBuf)>, path: &str| {
        let mut curl = Peer::Curl.command(&door.home).unwrap();
        curl.args(["--silent", "--show-error", "--fail-with-body", "--max-time", "120"]);
        curl.arg("--cacert").arg(door.authority.ca()).arg(format!("https://127.0.0.1:{}{path}", door.port));
        if let Some((certificate, key)) = identity {
            curl.arg("--cert").arg(certificate).arg("--key").arg(key);
        }
        run(&mut curl)
    };
    assert!(curl(Some(door.operator()), "/metrics").unwrap().contains("spore_guests"));
    let other = door.authority.issue("other", &["other.example"], Valid::Now);
    assert!(curl(Some(other.clone()), "/v1/about").unwrap().contains("\"board\""));
    let refused = curl(Some(other), "/metrics").unwrap_err().to_string();
    assert!(refused.contains("whose certificate the node's config names"), "{refused}");
    assert!(curl(None, "/v1/about").is_err());
}

#[test]
fn openssl_is_served_by_tls_1_2_and_1_3_and_by_nothing_older() {
    let door = Door::new();
    let (certificate, key) = door.operator();
    let request = door.home.path().join("request");
    fs::write(&request, "GET /v1/about HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n").unwrap();
    let openssl = |version: &str| {
        let mut openssl = Peer::Openssl.command(&door.home).unwrap();
        // What OpenSSL itself does not want to speak any more is let through.
        openssl.args(["s_client", "-quiet", "-verify_return_error", "-cipher", "DEFAULT@SECLEVEL=0", version]);
        openssl.args(["-connect", &format!("127.0.0.1:{}", door.port)]).arg("-CAfile").arg(door.authority.ca());
        openssl.arg("-cert").arg(&certificate).arg("-key").arg(&key).stdin(fs::File::open(&request).unwrap());
        run(&mut openssl)
    };
    for version in ["-tls1_2", "-tls1_3"] {
        let answer = openssl(version).unwrap();
        assert!(answer.contains("HTTP/1.1 200 OK"), "{version}: {answer}");
    }
    let refused = openssl("-tls1_1").unwrap_err().to_string();
    // What the node says, not what OpenSSL finds itself.
    assert!(refused.contains("tls alert"), "{refused}");
}
