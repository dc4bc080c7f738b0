//! The task `filter` as a process, with files of real web servers and tables that others publish.
//!
//! What it makes of servers that do not keep to HTTP is tested in `tasks/filter/tests`, how it runs in a guest in the scenarios.

mod figures;
mod tables;

use filter::{Error, Interruption, NotResumed, Parameters, Report};
use host::Host;
use kernel::Failed;
use qemu_tests::broker::Broker;
use qemu_tests::cable::Cable;
use qemu_tests::place;
use qemu_tests::progress::Lines;
use qemu_tests::replay::Data;
use qemu_tests::setup::setup_host;
use qemu_tests::web_server::{Kind, WebServer};

/// How many times the readings are in the file: more than the kernel's buffers of a connection hold.
const TIMES: u64 = 400;

/// A server with a file of readings, `readings.csv`.
fn serve(kind: Kind, name: &str) -> WebServer {
    setup_host(&mut Lines).unwrap();
    let server = WebServer::start(kind, name).unwrap();
    server.put("readings.csv", &Data::committed().lines().repeat(TIMES as usize).into_bytes()).unwrap();
    server
}

fn fetch(url: String, parameters: Parameters) -> Result<Report, Failed<Report, Error>> {
    async_io::block_on(filter::run(Parameters { url, ..parameters }, &Host::new().unwrap()))
}

/// Fetches readings from a port, and checks that all of them were counted once.
fn assert_complete(port: u16, path: &str) -> Report {
    let report = fetch(format!("http://127.0.0.1:{port}{path}"), Parameters::default()).unwrap();
    let data = Data::committed();
    let expected = data.expected(1).repeated(TIMES);
    assert!(report.complete);
    assert_eq!(report.bytes, data.lines().len() as u64 * TIMES);
    assert_eq!((report.readings, report.malformed, report.over_limit), (expected.readings, 0, 0));
    assert_eq!(report.sensors.len(), expected.sensors.len());
    for sensor in &report.sensors {
        assert_eq!(expected.compare_sensor(&sensor.name, &sensor.into()), None);
    }
    report
}

/// What every server does: plain, compressed, and redirected.
fn serves_files(kind: Kind, name: &str) {
    let server = serve(kind, name);
    for path in ["/plain/readings.csv", "/readings.csv", "/moved/readings.csv"] {
        assert_eq!(assert_complete(server.port(), path).resumed, 0, "{path}");
    }
    let missing = fetch(format!("http://127.0.0.1:{}/none.csv", server.port()), Parameters::default());
    assert_eq!(missing.unwrap_err().error, Error::Status(404));
}

/// A transfer whose connection is cut goes on, wherever it was cut, whether it was compressed or not.
fn goes_on(kind: Kind, name: &str) {
    let server = serve(kind, name);
    for (path, cuts) in
        [("/plain/readings.csv", [5_000, 100_001, 1_000_003]), ("/readings.csv", [1_000, 5_001, 20_003])]
    {
        for cut in cuts {
            let cable = Cable::to(server.address()).unwrap();
            cable.hiccup_after(cut);
            let report = assert_complete(cable.end().port(), path);
            assert_eq!(report.resumed, 1, "{path} cut after {cut} bytes");
        }
    }
}

#[test]
fn nginx_serves_files() {
    serves_files(Kind::Nginx, "nginx-files");
}

#[test]
fn lighttpd_serves_files() {
    serves_files(Kind::Lighttpd, "lighttpd-files");
}

#[test]
fn a_port_that_speaks_tls_is_hinted_at() {
    setup_host(&mut Lines).unwrap();
    std::fs::create_dir_all(place::logs()).unwrap();
    let keys = place::logs().join("filter-tls.keys");
    std::fs::write(&keys, "somebody:0123456789abcdef\n").unwrap();
    // Any server will do: it is OpenSSL that closes the connection without a word.
    let tls = format!("psk_hint any\npsk_file {}\n", keys.display());
    let server = Broker::start_with("filter-tls", &tls).unwrap();
    let failed = fetch(format!("http://127.0.0.1:{}/", server.port()), Parameters::default()).unwrap_err();
    assert_eq!(failed.error.to_string(), "the connection ended before the server answered, as on a port for https");
}

#[test]
fn a_transfer_from_nginx_that_was_cut_goes_on() {
    goes_on(Kind::Nginx, "nginx-cut");
}

#[test]
fn a_transfer_from_lighttpd_that_was_cut_goes_on() {
    goes_on(Kind::Lighttpd, "lighttpd-cut");
}

#[test]
fn a_body_of_nginx_in_chunks_is_read_to_its_end() {
    let server = serve(Kind::Nginx, "nginx-chunks");
    assert_complete(server.port(), "/chunked/readings.csv");
}

#[test]
fn an_early_hint_is_passed_over() {
    let behind = serve(Kind::Nginx, "hints-behind");
    let server = WebServer::start(Kind::EarlyHints(behind.port()), "hints").unwrap();
    assert_complete(server.port(), "/readings.csv");
}

#[test]
fn what_has_changed_meanwhile_is_not_put_together() {
    let server = serve(Kind::Nginx, "nginx-changed");
    let cable = Cable::to(server.address()).unwrap();
    // The file is another one by the time that the rest is asked for: the cable stays cut until then.
    cable.cut_after(100_000);
    let url = format!("http://127.0.0.1:{}/plain/readings.csv", cable.end().port());
    let task = std::thread::spawn(|| fetch(url, Parameters::default()));
    cable.wait_cut();
    server.put("readings.csv", b"a,1\n").unwrap();
    cable.mend();
    let failed = task.join().unwrap().unwrap_err();
    let Error::Interrupted { interruption, bytes, why } = failed.error else { panic!("{:?}", failed.error) };
    assert!(matches!(interruption, Interruption::Ended | Interruption::Lost));
    assert_eq!(why, NotResumed::Changed);
    let report = failed.report.unwrap();
    assert!((90_000..100_000).contains(&bytes) && report.bytes == bytes && !report.complete, "{report:?}");
    assert!(report.readings > 0 && report.malformed == 0, "{report:?}");
}
