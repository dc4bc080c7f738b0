//! Tests against all numbers, sorted.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::{Answer, Sketch, rank};

fn sketch(room: usize, values: &[f64]) -> Sketch {
    let mut sketch = Sketch::new(room);
    values.iter().for_each(|value| sketch.push(*value));
    sketch
}

/// By how many ranks an answer is off.
fn off(sorted: &[f64], fraction: f64, answer: Answer) -> u64 {
    let first = sorted.partition_point(|value| *value < answer.value) as u64 + 1;
    let last = sorted.partition_point(|value| *value <= answer.value) as u64;
    assert!(first <= last, "{} is none of the numbers", answer.value);
    let rank = rank(fraction, sorted.len() as u64);
    rank.saturating_sub(last).max(first.saturating_sub(rank))
}

/// Numbers in an order that seems to have none, the same each time.
fn shuffled(count: u64) -> Vec<f64> {
    (0..count).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64).collect()
}

#[test]
fn numbers_that_find_room_have_exact_quantiles() {
    // R, quantile(c(15, 20, 35, 40, 50), c(.05, .3, .4, .5, 1), type = 1): 15 20 20 35 50
    let mut five = sketch(5, &[35.0, 20.0, 15.0, 50.0, 40.0]);
    let exact = |value| Some(Answer { value, off_by: 0 });
    assert_eq!([0.05, 0.3, 0.4, 0.5, 1.0].map(|part| five.quantile(part)), [15.0, 20.0, 20.0, 35.0, 50.0].map(exact));
    assert_eq!(five.quantile(0.0), exact(15.0));
    assert_eq!(Sketch::new(5).quantile(0.5), None);
    let mut many = sketch(4096, &shuffled(4096));
    let mut sorted = shuffled(4096);
    sorted.sort_by(f64::total_cmp);
    assert_eq!(many.quantile(0.25), exact(sorted[1023]));
}

#[test]
fn a_rank_is_not_moved_by_the_last_digit_of_a_product() {
    // 0.07 * 100 is 7.000000000000001.
    assert_eq!([rank(0.07, 100), rank(0.071, 100), rank(0.0, 9), rank(1.0, 9), rank(0.5, 1)], [7, 8, 1, 9, 1]);
}

#[test]
fn many_numbers_in_little_room_are_off_by_little() {
    const COUNT: u64 = 50_000;
    let up: Vec<_> = (0..COUNT).map(|at| at as f64).collect();
    let down: Vec<_> = up.iter().rev().copied().collect();
    let in_and_out: Vec<_> = up.iter().zip(&down).flat_map(|(one, other)| [*one, *other]).take(up.len()).collect();
    let few: Vec<_> = up.iter().map(|value| value % 7.0).collect();
    for (room, most) in [(64, COUNT / 32), (512, COUNT / 256), (4096, COUNT / 2048)] {
        // Equal numbers, and those from both sides, always come next to what leaves the most doubt.
        for (values, times) in [(&up, 1), (&down, 1), (&few, 2), (&shuffled(COUNT), 1), (&in_and_out, 4)] {
            let mut sketch = sketch(room, values);
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            for fraction in [0.0, 0.01, 0.25, 0.5, 0.9, 0.999, 1.0] {
                let answer = sketch.quantile(fraction).expect("there are numbers");
                assert!(off(&sorted, fraction, answer) <= answer.off_by, "{room} {fraction}: {answer:?}");
                assert!(answer.off_by <= most * times, "{room} {fraction}: {answer:?}");
            }
            assert!(sketch.tuples.len() <= room);
        }
    }
}

#[test]
fn less_room_costs_ranks_and_no_extreme() {
    let mut sketch = sketch(4096, &shuffled(4000));
    let mut sorted = shuffled(4000);
    sorted.sort_by(f64::total_cmp);
    for room in [1000, 64, 1] {
        sketch.restrict(room);
        for (fraction, extreme) in [(0.0, sorted[0]), (1.0, sorted[3999])] {
            assert_eq!(sketch.quantile(fraction), Some(Answer { value: extreme, off_by: 0 }));
        }
        let median = sketch.quantile(0.5).expect("there are numbers");
        assert!(median.off_by > 0 && off(&sorted, 0.5, median) <= median.off_by, "{median:?}");
    }
}

proptest! {
    #[test]
    fn an_answer_is_never_off_by_more_than_it_says(
        values in prop::collection::vec(prop_oneof![-5..5i32, any::<i32>()], 1..2000),
        room in 2..200usize,
        less in prop::option::of(2..200usize),
        fraction in 0.0..=1.0f64,
    ) {
        let values: Vec<f64> = values.into_iter().map(f64::from).collect();
        let mut sketch = sketch(room, &values);
        let room = less.inspect(|less| sketch.restrict(*less)).unwrap_or(room).min(room);
        let answer = sketch.quantile(fraction).expect("there are numbers");
        let mut sorted = values;
        sorted.sort_by(f64::total_cmp);
        prop_assert!(off(&sorted, fraction, answer) <= answer.off_by);
        prop_assert!(sorted.len() > room || answer.off_by == 0);
        prop_assert!(sketch.tuples.len() <= room);
    }
}
