//! The client of the store.

use std::mem::offset_of;

use xen_fake::{FakeXen, Machine};
use xen_pv::xenstore::{Error, ErrorKind, Permission, Rights, Watch};
use xen_sys::io::xs_wire::{DomainInterface, MessageType};
use xen_sys::types::Domid;

const HOME: &str = "/local/domain/7";

/// Runs one request of the client.
macro_rules! ask {
    ($machine:expr, $client:ident => $request:expr) => {{
        let $client = $machine.client;
        $machine.run(async move { $request.await })
    }};
}

fn watch(machine: &mut Machine, path: &'static str) -> Watch<FakeXen> {
    ask!(machine, client => client.watch(path)).expect("a watch")
}

/// The changes that wait.
fn changes(machine: &mut Machine, watch: &std::rc::Rc<Watch<FakeXen>>) -> Vec<String> {
    let found = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let (place, watch) = (found.clone(), watch.clone());
    machine.tasks.spawn(async move {
        // Ends with the last change before the marker.
        loop {
            let path = watch.changed().await;
            if path.ends_with("/marker") {
                return;
            }
            place.borrow_mut().push(path);
        }
    });
    machine.settle();
    machine.store.write(&format!("{HOME}/data/marker"), "");
    machine.settle();
    found.take()
}

#[test]
fn what_is_written_is_read_back() {
    let mut machine = Machine::new();
    assert_eq!(ask!(machine, client => client.write("data/result", b"42")).expect("written"), b"OK\0");
    assert_eq!(machine.store.read("/local/domain/7/data/result").as_deref(), Some("42"));
    assert_eq!(ask!(machine, client => client.read("data/result")).expect("there"), b"42");
    assert_eq!(ask!(machine, client => client.read_text("/local/domain/7/data/result")).expect("there"), "42");
    let binary: Vec<u8> = (0..=255).collect();
    let value = binary.clone();
    ask!(machine, client => client.write("data/binary", &value)).expect("written");
    assert_eq!(ask!(machine, client => client.read("data/binary")).expect("there"), binary);
}

#[test]
fn children_are_listed_made_and_removed() {
    let mut machine = Machine::new();
    for path in ["data/b", "data/a", "data/a/deeper"] {
        ask!(machine, client => client.make_directory(path)).expect("made");
    }
    assert_eq!(ask!(machine, client => client.list("data")).expect("there"), ["a", "b"]);
    ask!(machine, client => client.remove("data/a")).expect("removed");
    assert_eq!(ask!(machine, client => client.list("data")).expect("there"), ["b"]);
    assert_eq!(ask!(machine, client => client.list("data/b")).expect("there"), Vec::<String>::new());
}

#[test]
fn errors_are_named_and_carry_the_path() {
    let mut machine = Machine::new();
    let error = ask!(machine, client => client.read("data/nothing")).expect_err("not there");
    assert_eq!(error, Error::new(ErrorKind::NotFound, "data/nothing"));
    assert_eq!(error.to_string(), "xenstore data/nothing: ENOENT");
    machine.store.write("/secret", "x");
    let error = ask!(machine, client => client.write("/secret", b"y")).expect_err("denied");
    assert_eq!(error.to_string(), "xenstore /secret: EACCES");
}

#[test]
fn permissions_are_read_and_set() {
    let mut machine = Machine::new();
    ask!(machine, client => client.write("data/shared", b"x")).expect("written");
    let permissions = [
        Permission { domain: Domid(7), rights: Rights::None },
        Permission { domain: Domid(0), rights: Rights::Both },
        Permission { domain: Domid(32751), rights: Rights::Read },
        Permission { domain: Domid(12), rights: Rights::Write },
    ];
    ask!(machine, client => client.set_permissions("data/shared", &permissions)).expect("set");
    assert_eq!(ask!(machine, client => client.permissions("data/shared")).expect("there"), permissions);
}

#[test]
fn several_requests_are_under_way_at_once_and_answered_in_any_order() {
    let mut machine = Machine::new();
    machine.store.reverse_replies = true;
    let client = machine.client;
    let values = machine.run(async move {
        let paths: Vec<_> = (0..10).map(|number| format!("data/{number}")).collect();
        let writes: Vec<_> = paths.iter().map(|path| client.write(path, path.as_bytes())).collect();
        for write in writes {
            write.await.expect("written");
        }
        let reads: Vec<_> = paths.iter().map(|path| client.read(path)).collect();
        let mut values = Vec::new();
        for read in reads {
            values.push(read.await.expect("there"));
        }
        values
    });
    assert_eq!(values, (0..10).map(|number| format!("data/{number}").into_bytes()).collect::<Vec<_>>());
}

#[test]
fn messages_larger_than_the_ring_pass_in_pieces() {
    let mut machine = Machine::new();
    let value: Vec<u8> = (0..4000u32).map(|number| number as u8).collect();
    let written = value.clone();
    ask!(machine, client => client.write("data/large", &written)).expect("written");
    assert_eq!(ask!(machine, client => client.read("data/large")).expect("there"), value);
}

#[test]
fn many_large_replies_pass_through_the_small_ring() {
    let mut machine = Machine::new();
    machine.store.write("/local/domain/7/data/large", &"x".repeat(1500));
    let client = machine.client;
    let lengths = machine.run(async move {
        let reads: Vec<_> = (0..20).map(|_| client.read("data/large")).collect();
        let mut lengths = Vec::new();
        for read in reads {
            lengths.push(read.await.expect("there").len());
        }
        lengths
    });
    assert_eq!(lengths, [1500; 20]);
}

#[test]
fn what_does_not_fit_is_refused_before_it_is_sent() {
    let mut machine = Machine::new();
    machine.settle();
    let before = machine.store.requests;
    let long = "x".repeat(2049);
    assert_eq!(ask!(machine, client => client.read(&long)).expect_err("long").kind, ErrorKind::TooLong);
    let error = ask!(machine, client => client.write("data/x", &[0; 4096])).expect_err("large");
    assert_eq!(error.kind, ErrorKind::TooLong);
    assert_eq!(ask!(machine, client => client.read("data\0x")).expect_err("zero").kind, ErrorKind::ZeroByte);
    assert_eq!(machine.store.requests, before);
}

#[test]
fn a_message_of_exactly_the_largest_size_is_sent_and_one_byte_more_is_refused() {
    let mut machine = Machine::new();
    // The path and a zero byte are part of the payload.
    let room = 4096 - "data/x".len() - 1;
    for (length, fits) in [(0, true), (room, true), (room + 1, false)] {
        let value = vec![b'v'; length];
        let outcome = ask!(machine, client => client.write("data/x", &value));
        assert_eq!(outcome.map_err(|error| error.kind).err(), (!fits).then_some(ErrorKind::TooLong), "{length}");
    }
    assert_eq!(ask!(machine, client => client.read("data/x")).expect("there").len(), room);
}

#[test]
fn a_path_of_exactly_the_largest_length_is_sent_and_one_byte_more_is_refused() {
    let mut machine = Machine::new();
    for (start, longest) in [("", 2048), ("/", 3072)] {
        for length in [longest, longest + 1] {
            let path = format!("{start}{}", "x".repeat(length - start.len()));
            let sent = machine.store.requests;
            let error = ask!(machine, client => client.read(&path)).expect_err("nothing is there");
            assert_eq!(machine.store.requests - sent, u32::from(length == longest), "{length}");
            assert_eq!(error.kind == ErrorKind::TooLong, length > longest, "{length}");
        }
    }
}

#[test]
fn replies_of_any_allowed_length_arrive() {
    for length in [0, 1, 15, 16, 1007, 1008, 1009, 4095, 4096] {
        let mut machine = Machine::new();
        machine.store.paused = true;
        let client = machine.client;
        let result = machine.tasks.spawn_for(async move { client.read("data/x").await });
        machine.settle();
        let value: Vec<u8> = (0..length).map(|number| number as u8).collect();
        machine.store.inject(MessageType::Read as u32, 1, &value);
        machine.settle();
        assert_eq!(result.take().expect("answered").expect("there"), value);
        assert_eq!(machine.client.unexpected_messages(), 0);
    }
}

#[test]
fn a_ring_may_be_full_to_the_last_byte_and_no_fuller() {
    let (rsp_prod, rsp_cons) = (offset_of!(DomainInterface, rsp_prod), offset_of!(DomainInterface, rsp_cons));
    let (req_prod, req_cons) = (offset_of!(DomainInterface, req_prod), offset_of!(DomainInterface, req_cons));
    // Where the store's index is, seen from the guest's.
    let cases = [
        (rsp_prod, rsp_cons, 1024, true),
        (rsp_prod, rsp_cons, 1025, false),
        (rsp_prod, rsp_cons, -1, false),
        (req_cons, req_prod, -1024, true),
        (req_cons, req_prod, -1025, false),
        (req_cons, req_prod, 1, false),
    ];
    for (theirs, ours, distance, whole) in cases {
        let mut machine = Machine::new();
        machine.store.paused = true;
        let index = machine.store.index(ours).wrapping_add_signed(distance);
        machine.store.overwrite_index(theirs, index);
        let client = machine.client;
        let result = machine.tasks.spawn_for(async move { client.read("data/x").await });
        machine.settle();
        let outcome = result.take().map(|outcome| outcome.expect_err("nobody answers").kind);
        assert_eq!(outcome, (!whole).then_some(ErrorKind::Disconnected), "{theirs} {distance}");
    }
}

#[test]
fn a_watch_tells_at_once_and_then_each_change() {
    let mut machine = Machine::new();
    let watch = std::rc::Rc::new(watch(&mut machine, "data"));
    assert_eq!(changes(&mut machine, &watch), ["data"]);
    machine.store.write("/local/domain/7/data/parameters", "x");
    machine.store.write("/local/domain/7/other", "x");
    machine.settle();
    assert_eq!(changes(&mut machine, &watch), ["data/parameters"]);
}

#[test]
fn changes_that_nobody_takes_are_bounded_and_none_is_forgotten() {
    let mut machine = Machine::new();
    let watch = std::rc::Rc::new(watch(&mut machine, "data"));
    machine.settle();
    for number in 0..1000 {
        machine.store.write(&format!("/local/domain/7/data/{number}"), "x");
        machine.settle();
    }
    let found = changes(&mut machine, &watch);
    assert_eq!(found.len(), 8);
    assert_eq!(found.last().map(String::as_str), Some("data"), "look at everything again");
}

#[test]
fn a_watch_that_is_dropped_ends() {
    let mut machine = Machine::new();
    let watch = watch(&mut machine, "data");
    assert_eq!(machine.store.watch_count(), 1);
    drop(watch);
    machine.settle();
    assert_eq!(machine.store.watch_count(), 0);
    machine.store.write("/local/domain/7/data/x", "x");
    machine.settle();
    assert_eq!(machine.client.unexpected_messages(), 0);
}

#[test]
fn a_transaction_appears_at_once_or_not_at_all() {
    let mut machine = Machine::new();
    let client = machine.client;
    machine.run(async move {
        let transaction = client.transaction().await.expect("begun");
        transaction.write("data/a", b"1").await.expect("written");
        assert_eq!(client.read("data/a").await.expect_err("not yet").kind, ErrorKind::NotFound);
        assert_eq!(transaction.read("data/a").await.expect("seen inside"), b"1");
        transaction.commit().await.expect("committed");
        assert_eq!(client.read("data/a").await.expect("there"), b"1");
        let transaction = client.transaction().await.expect("begun");
        transaction.write("data/a", b"2").await.expect("written");
        drop(transaction);
        assert_eq!(client.read("data/a").await.expect("there"), b"1");
    });
    machine.settle();
    assert_eq!(machine.store.transaction_count(), 0);
}

#[test]
fn a_transaction_that_others_disturb_is_tried_again() {
    let mut machine = Machine::new();
    let client = machine.client;
    let attempts = machine.run(async move {
        let mut attempts = 0;
        client
            .transact(async |transaction| {
                attempts += 1;
                if attempts < 4 {
                    // Someone else writes meanwhile.
                    client.write("data/disturbance", b"x").await?;
                }
                transaction.write("data/a", b"done").await?;
                Ok(())
            })
            .await
            .expect("committed in the end");
        attempts
    });
    assert_eq!(attempts, 4);
    assert_eq!(machine.store.read("/local/domain/7/data/a").as_deref(), Some("done"));
}

#[test]
fn a_transaction_that_is_always_disturbed_ends_with_the_stores_error() {
    let mut machine = Machine::new();
    let client = machine.client;
    let error = machine.run(async move {
        let disturbed = client.transact(async |transaction| {
            client.write("data/disturbance", b"x").await?;
            transaction.write("data/a", b"done").await.map(|_| ())
        });
        disturbed.await.expect_err("disturbed")
    });
    assert_eq!(error.kind, ErrorKind::Again);
    assert_eq!(machine.store.transaction_count(), 0);
}

#[test]
fn an_error_inside_a_transaction_undoes_it_and_is_not_tried_again() {
    let mut machine = Machine::new();
    let client = machine.client;
    let error = machine.run(async move {
        let failing = client.transact(async |transaction| {
            transaction.write("data/a", b"1").await?;
            transaction.read("data/nothing").await
        });
        failing.await.expect_err("fails")
    });
    machine.settle();
    assert_eq!(error, Error::new(ErrorKind::NotFound, "data/nothing"));
    assert!(!machine.store.exists("/local/domain/7/data/a"));
    assert_eq!(machine.store.transaction_count(), 0);
}

#[test]
fn a_request_that_nobody_waits_for_any_more_disturbs_no_other() {
    let mut machine = Machine::new();
    for _ in 0..50 {
        drop(machine.client.read("data/x"));
        drop(machine.client.write("data/y", b"written all the same"));
    }
    machine.settle();
    assert_eq!(machine.store.read("/local/domain/7/data/y").as_deref(), Some("written all the same"));
    assert_eq!(machine.client.unexpected_messages(), 0);
}

#[test]
fn replies_to_nothing_are_counted_and_passed_over() {
    let mut machine = Machine::new();
    machine.store.inject(MessageType::Read as u32, 9999, b"value");
    machine.store.inject(MessageType::WatchEvent as u32, 0, b"data\0no such token\0");
    machine.store.inject(MessageType::WatchEvent as u32, 0, b"no end");
    machine.store.inject(MessageType::WatchEvent as u32, 0, &[0xff, 0, b'1', 0]);
    machine.store.inject(77, 12345, b"");
    machine.settle();
    assert_eq!(machine.client.unexpected_messages(), 5);
    ask!(machine, client => client.write("data/x", b"x")).expect("the connection works");
}

#[test]
fn a_reply_of_another_kind_is_malformed() {
    let mut machine = Machine::new();
    machine.store.paused = true;
    let client = machine.client;
    let result = machine.tasks.spawn_for(async move { client.read("data/x").await });
    machine.settle();
    machine.store.inject(MessageType::Write as u32, 1, b"OK\0");
    machine.settle();
    let error = result.take().expect("answered").expect_err("malformed");
    assert_eq!(error, Error::new(ErrorKind::Malformed, "data/x"));
}

#[test]
fn an_error_that_has_no_name_is_unknown() {
    let mut machine = Machine::new();
    machine.store.paused = true;
    let client = machine.client;
    let result = machine.tasks.spawn_for(async move { client.read("data/x").await });
    machine.settle();
    machine.store.inject(MessageType::Error as u32, 1, b"ESOMETHING\0");
    machine.settle();
    assert_eq!(result.take().expect("answered").expect_err("fails").kind, ErrorKind::Unknown);
}

#[test]
fn values_that_are_not_text_are_malformed_where_text_is_due() {
    let mut machine = Machine::new();
    ask!(machine, client => client.write("data/x", &[0xff, 0xfe])).expect("written");
    assert_eq!(ask!(machine, client => client.read_text("data/x")).expect_err("not text").kind, ErrorKind::Malformed);
}

type Violation = Box<dyn Fn(&mut Machine)>;

/// Ways in which the store can break the protocol.
fn violations() -> Vec<Violation> {
    let rsp_prod = offset_of!(DomainInterface, rsp_prod);
    let req_cons = offset_of!(DomainInterface, req_cons);
    vec![
        Box::new(|machine| machine.store.inject_bytes(&[0xff; 64])),
        Box::new(|machine| machine.store.inject(MessageType::Read as u32, 1, &[0; 4097])),
        Box::new(move |machine| machine.store.overwrite_index(rsp_prod, 0x8000_0000)),
        Box::new(move |machine| machine.store.overwrite_index(rsp_prod, 1_000_000)),
        Box::new(move |machine| machine.store.overwrite_index(req_cons, 0x7fff_ffff)),
    ]
}

#[test]
fn a_store_that_breaks_the_protocol_fails_every_request_by_name() {
    for violate in violations() {
        let mut machine = Machine::new();
        machine.store.paused = true;
        let client = machine.client;
        let result = machine.tasks.spawn_for(async move {
            let (first, second) = (client.read("data/x"), client.read("data/y"));
            (first.await, second.await)
        });
        machine.settle();
        violate(&mut machine);
        // Something to send, so that the index of the other ring is looked at too.
        let client = machine.client;
        let third = machine.tasks.spawn_for(async move { client.read("data/z").await });
        machine.settle();
        let (first, second) = result.take().expect("answered");
        for (outcome, path) in [(first, "data/x"), (second, "data/y"), (third.take().expect("answered"), "data/z")] {
            assert_eq!(outcome.expect_err("lost"), Error::new(ErrorKind::Disconnected, path));
        }
        let error = ask!(machine, client => client.read("data/late")).expect_err("lost");
        assert_eq!(error.kind, ErrorKind::Disconnected);
    }
}

#[test]
fn a_store_that_can_start_anew_is_asked_to_and_watches_go_on() {
    for violate in violations() {
        let mut machine = Machine::new();
        machine.store.offer_reconnection();
        let watch = std::rc::Rc::new(watch(&mut machine, "data"));
        changes(&mut machine, &watch);
        violate(&mut machine);
        drop(machine.client.read("something to send"));
        machine.settle();
        machine.settle();
        ask!(machine, client => client.write("data/after", b"x")).expect("the connection works again");
        assert_eq!(machine.store.watch_count(), 1);
        let found = changes(&mut machine, &watch);
        assert!(found.iter().any(|path| path == "data/after"), "{found:?}");
    }
}

#[test]
fn a_watch_that_is_made_while_the_store_starts_anew_is_one_watch() {
    let mut machine = Machine::new();
    machine.store.offer_reconnection();
    // Taken by the guest, but not yet by the store.
    machine.store.inject_bytes(&[0xff; 64]);
    let client = machine.client;
    machine.store.serve();
    machine.events.dispatch();
    machine.tasks.run();
    let watch = machine.tasks.spawn_for(async move { client.watch("data").await });
    machine.settle();
    let watch = watch.take().expect("answered").expect("the store is back");
    assert_eq!(machine.store.watch_count(), 1);
    let found = changes(&mut machine, &std::rc::Rc::new(watch));
    assert_eq!(found.len(), 1, "{found:?}");
}
