//! Where a client finds its server.

use xen_fake::Machine;
use xen_fake::machine::GUEST;
use xen_pv::vchan::{Address, directory};
use xen_pv::xenstore::{ErrorKind, Rights};
use xen_sys::types::{Domid, GrantRef, Port};

use crate::peer::PEER;

/// As the toolstack makes it: the guest's own.
fn own_data(machine: &mut Machine) -> String {
    let data = format!("{}/data", machine.store.home());
    machine.store.write(&data, "");
    machine.store.allow(&data, &[(GUEST, Rights::None)]);
    data
}

#[test]
fn a_server_shows_its_client_and_nobody_else_where_it_is() {
    let mut machine = Machine::new();
    let data = own_data(&mut machine);
    let store = machine.client;
    let address = Address { page: GrantRef(11), port: Port(22) };
    let found = machine.run(async move {
        let before = directory::find(&store, "data/vchan/3/feed").await;
        directory::publish(&store, "data/vchan/3/feed", PEER, address).await.expect("the guest's own");
        (before, directory::find(&store, "data/vchan/3/feed").await)
    });
    assert_eq!(found, (Ok(None), Ok(Some(address))));
    for (name, value) in [("ring-ref", "11"), ("event-channel", "22")] {
        let path = format!("{data}/vchan/3/feed/{name}");
        assert_eq!(machine.store.read(&path).as_deref(), Some(value));
        let path = format!("data/vchan/3/feed/{name}");
        let permissions = machine.run(async move { store.permissions(&path).await.expect("the guest's own") });
        let permissions: Vec<_> = permissions.iter().map(|one| (one.domain, one.rights)).collect();
        assert_eq!(permissions, [(GUEST, Rights::None), (PEER, Rights::Read)]);
    }
    let withdrawn = machine.run(async move {
        let first = directory::withdraw(&store, "data/vchan/3/feed").await;
        (first, directory::withdraw(&store, "data/vchan/3/feed").await)
    });
    assert_eq!((withdrawn, machine.store.exists(&format!("{data}/vchan/3/feed"))), ((Ok(()), Ok(())), false));
}

#[test]
fn an_address_that_is_none_is_not_found() {
    let mut machine = Machine::new();
    let data = own_data(&mut machine);
    for (page, port) in [("0", "1"), ("1", "0"), ("", "1"), ("1", "x"), ("4294967296", "1"), (" 1", "1")] {
        machine.store.write(&format!("{data}/it/ring-ref"), page);
        machine.store.write(&format!("{data}/it/event-channel"), port);
        let store = machine.client;
        assert_eq!(machine.run(async move { directory::find(&store, "data/it").await }), Ok(None), "{page}, {port}");
    }
}

#[test]
fn a_path_that_is_too_long_for_libxenvchan_is_refused() {
    let mut machine = Machine::new();
    let data = own_data(&mut machine);
    let address = Address { page: GrantRef(11), port: Port(22) };
    for (path, fits) in [
        ("data/vchan/32751/a-name-of-11", true),
        ("data/vchan/32751/a-name-of-12x", false),
        ("/local/domain/32751/data/vchan/32751/a-name-of-11x", false),
    ] {
        let store = machine.client;
        let published = machine.run(async move { directory::publish(&store, path, PEER, address).await });
        match published {
            Ok(()) => assert!(fits, "{path}"),
            Err(error) => assert_eq!((fits, error.kind, error.path.as_str()), (false, ErrorKind::TooLong, path)),
        }
    }
    assert!(!machine.store.exists(&format!("{data}/vchan/32751/a-name-of-12x")));
}

#[test]
fn a_server_is_waited_for() {
    let mut machine = Machine::new();
    let data = own_data(&mut machine);
    let store = machine.client;
    let waiting = machine.tasks.spawn_for(async move {
        let mut waits = 0;
        let path = directory::wait_for_text(&store, "data/feed", || waits += 1).await?;
        let address = directory::wait_for(&store, &path, || waits += 1).await?;
        Ok::<_, xen_pv::xenstore::Error>((path, address, waits))
    });
    machine.settle();
    machine.store.write(&format!("{data}/feed"), "");
    machine.settle();
    machine.store.write(&format!("{data}/feed"), &format!("{data}/it"));
    machine.settle();
    machine.store.write(&format!("{data}/it/ring-ref"), "5");
    machine.settle();
    assert!(waiting.borrow().is_none(), "half of an address is none");
    machine.store.write(&format!("{data}/it/event-channel"), "6");
    machine.settle();
    let found = waiting.take().expect("both are there");
    let address = Address { page: GrantRef(5), port: Port(6) };
    assert_eq!(found, Ok((format!("{data}/it"), address, 2)));
}

#[test]
fn the_server_is_the_domain_to_which_the_path_belongs() {
    assert_eq!(directory::owner("/local/domain/0/data/vchan/7/feed"), Some(Domid(0)));
    assert_eq!(directory::owner("/local/domain/32751/x"), Some(Domid(32_751)));
    for path in ["", "data/feed", "/local/domain/", "/local/domain/7", "/local/domain/x/a", "/local/domain/65536/a"] {
        assert_eq!(directory::owner(path), None, "{path}");
    }
}
