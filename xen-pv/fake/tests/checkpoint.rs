//! What a task saves, through the store.

use std::rc::Rc;

use kernel::Restored;
use kernel::checkpoint::{Error, KEPT, MAX_BYTES};
use xen_fake::{FakeXen, Machine};
use xen_pv::checkpoint::Checkpoints;

const HOME: &str = "/local/domain/7";

/// A guest whose toolstack keeps what its task saves.
fn kept() -> (Machine, Rc<Checkpoints<FakeXen>>) {
    let mut machine = Machine::new();
    machine.store.write(&format!("{HOME}/{KEPT}"), "");
    let checkpoints = Rc::new(Checkpoints::new(machine.client));
    (machine, checkpoints)
}

fn restored(machine: &mut Machine) -> Restored {
    let checkpoints = Checkpoints::new(machine.client);
    machine.run(async move { checkpoints.restored().await })
}

fn save(machine: &mut Machine, checkpoints: &Rc<Checkpoints<FakeXen>>, state: Vec<u8>) -> Result<(), Error> {
    let checkpoints = checkpoints.clone();
    machine.run(async move { checkpoints.save(&state).await })
}

fn look(machine: &mut Machine, checkpoints: &Rc<Checkpoints<FakeXen>>) -> Restored {
    let checkpoints = checkpoints.clone();
    machine.run(async move { checkpoints.restored().await })
}

#[test]
fn where_nobody_keeps_them_nothing_is_written() {
    let mut machine = Machine::new();
    let checkpoints = Rc::new(Checkpoints::new(machine.client));
    assert_eq!(look(&mut machine, &checkpoints), Restored::Unkept);
    assert_eq!(save(&mut machine, &checkpoints, vec![1]), Ok(()));
    assert_eq!(machine.store.read(&format!("{HOME}/{KEPT}/0-0")), None);
}

#[test]
fn the_last_one_saved_comes_back_and_an_empty_one_is_none() {
    let (mut machine, checkpoints) = kept();
    assert_eq!(look(&mut machine, &checkpoints), Restored::Nothing);
    for length in [1usize, 5000, MAX_BYTES, 20, 4000] {
        let state = vec![length as u8 | 1; length];
        assert_eq!(save(&mut machine, &checkpoints, state.clone()), Ok(()));
        assert_eq!(restored(&mut machine), Restored::State(state));
    }
    assert_eq!(save(&mut machine, &checkpoints, Vec::new()), Ok(()));
    assert_eq!(restored(&mut machine), Restored::Nothing);
}

#[test]
fn a_run_goes_on_with_the_numbers_of_the_one_before() {
    let (mut machine, checkpoints) = kept();
    look(&mut machine, &checkpoints);
    save(&mut machine, &checkpoints, vec![1; 3000]).expect("saved");
    let next = Rc::new(Checkpoints::new(machine.client));
    assert_eq!(look(&mut machine, &next), Restored::State(vec![1; 3000]));
    save(&mut machine, &next, vec![2; 10]).expect("saved");
    assert_eq!(restored(&mut machine), Restored::State(vec![2; 10]));
}

#[test]
fn one_that_is_too_large_is_refused_with_its_size_and_the_one_before_stays() {
    let (mut machine, checkpoints) = kept();
    look(&mut machine, &checkpoints);
    save(&mut machine, &checkpoints, vec![7]).expect("saved");
    let error = save(&mut machine, &checkpoints, vec![0; MAX_BYTES + 1]).expect_err("too large");
    assert_eq!(error, Error::TooLarge(MAX_BYTES + 1));
    assert_eq!(error.to_string(), "a checkpoint of 32769 bytes; one has 32768 at most");
    assert_eq!(restored(&mut machine), Restored::State(vec![7]));
}
