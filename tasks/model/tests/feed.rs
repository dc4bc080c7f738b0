//! The task, fed with arrays, and as a process with a file.

use std::process::Command;

use kernel::feed::{self, Gap, Reading, Reason, SENSORS_MAX, Sensor};
use model::{Error, Flag, Parameters, Predictions, Report, run};
use testing::{Feeder, Guest};

const S: i64 = 1_000_000_000;

fn reported(parameters: Parameters, fed: Feeder) -> Result<Report, Error> {
    let guest = Guest::new();
    guest.feed(fed);
    guest.run(run(parameters, &guest), |_| {}).expect("a feed that is there is read to its end")
}

/// The sum of two sensors.
fn sum(flag_above: Option<f64>) -> Parameters {
    let inputs = vec!["a".into(), "b".into()];
    Parameters { inputs, coefficients: Some(vec![1.0, 1.0]), flag_above, ..Parameters::default() }
}

fn describe(feed: &mut Feeder, name: &str) -> usize {
    feed.sensor(Sensor { name, ..Sensor::default() })
}

fn at(time_s: i64, value: f64) -> Reading {
    Reading { time_ns: time_s * S, value }
}

/// NIST's Statistical Reference Datasets, linear regression, Norris: 36 pairs (y, x), and the certified line through them.
/// <https://www.itl.nist.gov/div898/strd/lls/data/Norris.shtml>
const NORRIS: [(f64, f64); 36] = [
    (0.1, 0.2),
    (338.8, 337.4),
    (118.1, 118.2),
    (888.0, 884.6),
    (9.2, 10.1),
    (228.1, 226.5),
    (668.5, 666.3),
    (998.5, 996.3),
    (449.1, 448.6),
    (778.9, 777.0),
    (559.2, 558.2),
    (0.3, 0.4),
    (0.1, 0.6),
    (778.1, 775.5),
    (668.8, 666.9),
    (339.3, 338.0),
    (448.9, 447.5),
    (10.8, 11.6),
    (557.7, 556.0),
    (228.3, 228.1),
    (998.0, 995.8),
    (888.8, 887.6),
    (119.6, 120.2),
    (0.3, 0.3),
    (0.6, 0.3),
    (557.6, 556.8),
    (339.3, 339.1),
    (888.0, 887.2),
    (998.5, 999.0),
    (778.9, 779.0),
    (10.2, 11.1),
    (117.6, 118.3),
    (228.9, 229.2),
    (668.4, 669.1),
    (449.2, 448.9),
    (0.2, 0.5),
];

#[test]
fn a_regression_leaves_the_residuals_that_nist_certifies() {
    let parameters = Parameters {
        inputs: vec!["x".into()],
        coefficients: Some(vec![1.002_116_818_020_45]),
        intercept: Some(-0.262_323_073_774_029),
        flag_above: Some(f64::NEG_INFINITY),
        ..Parameters::default()
    };
    let mut feed = Feeder::new();
    let sensor = describe(&mut feed, "x");
    feed.values(sensor, &NORRIS.map(|(_, x)| x));
    let report = reported(parameters, feed).expect("a whole feed");
    assert_eq!((report.flagged, report.flags.len()), (36, 36));
    let squares = report.flags.iter().zip(NORRIS).map(|(flag, (y, _))| (y - flag.prediction).powi(2)).sum::<f64>();
    let deviation = (squares / 34.0).sqrt();
    assert!((deviation - 0.884_796_396_144_373).abs() < 1e-12, "{deviation}");
}

#[test]
fn each_reading_of_an_input_gives_a_prediction_from_the_newest_of_all() {
    let mut feed = Feeder::new();
    let (a, other, b) = (describe(&mut feed, "a"), describe(&mut feed, "other"), describe(&mut feed, "b"));
    feed.readings(a, &[at(1, 1.0), at(2, 2.0)]);
    feed.readings(other, &[at(1, f64::NAN), at(0, 1.0)]);
    feed.readings(b, &[at(1, 10.0), at(1, 20.0)]);
    feed.readings(a, &[at(3, 5.0)]);
    let report = reported(sum(Some(22.0)), feed).expect("a whole feed");
    assert_eq!((report.readings, report.implausible, report.late, report.incomplete), (7, 0, 0, 2));
    let predictions = Predictions { count: 3, minimum: 12.0, maximum: 25.0, mean: 59.0 / 3.0, last: 25.0 };
    let found = report.predictions.expect("there are predictions");
    assert!((found.mean - predictions.mean).abs() < 1e-12);
    assert_eq!(Predictions { mean: predictions.mean, ..found }, predictions);
    assert_eq!((report.flagged, report.flags), (1, vec![Flag { time_ns: 3 * S, prediction: 25.0 }]));
}

#[test]
fn what_is_late_or_no_number_is_not_used_and_a_gap_makes_an_input_unknown() {
    let mut feed = Feeder::new();
    let (a, b) = (describe(&mut feed, "a"), describe(&mut feed, "b"));
    feed.readings(a, &[at(5, 1.0), at(4, 100.0), at(6, f64::INFINITY), at(6, -1e31)]);
    feed.readings(b, &[at(0, 2.0)]);
    feed.gap(Gap { sensor: Some(a), readings: 8, reason: Reason::NotTaken });
    feed.readings(b, &[at(7, 3.0)]);
    feed.readings(a, &[at(7, 4.0)]);
    feed.gap(Gap { sensor: None, readings: 0, reason: Reason::Restarted });
    feed.readings(a, &[at(8, 5.0)]);
    let report = reported(sum(None), feed).expect("a whole feed");
    assert_eq!((report.implausible, report.late, report.incomplete, report.left_out), (2, 1, 3, 8));
    let found = report.predictions.expect("there are predictions");
    assert_eq!((found.count, found.minimum, found.last), (2, 3.0, 7.0));
}

/// The tree of depth two that scikit-learn 1.x finds for Fisher's irises, by the width of petals alone: 0 is setosa, 1 versicolor, 2
/// virginica. The flowers are the first of each species in the set.
#[test]
fn a_tree_is_what_scikit_learn_says_of_it() {
    let parameters = Parameters {
        inputs: vec!["petal-width".into()],
        feature: Some(vec![0, -2, 0, -2, -2]),
        threshold: Some(vec![0.8, -2.0, 1.75, -2.0, -2.0]),
        left: Some(vec![1, -1, 3, -1, -1]),
        right: Some(vec![2, -1, 4, -1, -1]),
        value: Some(vec![0.0, 0.0, 1.0, 1.0, 2.0]),
        flag_above: Some(-1.0),
        ..Parameters::default()
    };
    let mut feed = Feeder::new();
    let sensor = describe(&mut feed, "petal-width");
    feed.values(sensor, &[0.2, 1.4, 2.5]);
    let flags = reported(parameters, feed).expect("a whole feed").flags;
    assert_eq!(flags.iter().map(|flag| flag.prediction).collect::<Vec<_>>(), [0.0, 1.0, 2.0]);
}

#[test]
fn inputs_that_the_feed_does_not_have_are_named_and_one_that_it_has_twice_is_an_error() {
    let mut feed = Feeder::new();
    let a = describe(&mut feed, "a");
    feed.values(a, &[1.0]);
    let report = reported(sum(None), feed).expect("a whole feed");
    assert_eq!((report.missing, report.predictions, report.incomplete), (vec!["b".to_owned()], None, 1));
    let report = reported(sum(None), Feeder::new()).expect("a whole feed");
    assert_eq!(report.missing, ["a", "b"]);
    let mut feed = Feeder::new();
    for name in ["a", "x", "x", "a"] {
        describe(&mut feed, name);
    }
    assert_eq!(reported(sum(None), feed), Err(Error::Ambiguous("a".into())));
    let twice = Parameters { inputs: vec!["a".into(), "a".into()], ..sum(None) };
    assert_eq!(reported(twice, Feeder::new()), Err(Error::Ambiguous("a".into())));
    assert_eq!(reported(Parameters { inputs: vec![], ..sum(None) }, Feeder::new()), Err(Error::Inputs));
    assert_eq!(reported(sum(Some(f64::NAN)), Feeder::new()), Err(Error::Number("flag_above")));
}

#[test]
fn a_live_feed_has_its_report_when_the_task_is_asked_to_end() {
    let mut feed = Feeder::new();
    let [a, b] = ["a", "b"].map(|name| describe(&mut feed, name));
    feed.values(a, &[1.0]);
    feed.values(b, &[1.0]);
    let guest = Guest::new();
    guest.feed_live(feed);
    let report = guest.run(run(sum(None), &guest), Guest::stop).expect("it ends").expect("a report");
    assert_eq!((report.readings, report.stopped, report.predictions.is_some()), (2, true, true));
    let guest = Guest::new();
    guest.feed_bytes(Feeder::new().interrupted());
    let report = guest.run(run(sum(None), &guest), |_| {}).expect("it ends");
    assert_eq!(report, Err(Error::Feed(feed::Error::Interrupted { readings: 0 })));
}

#[test]
fn flags_beyond_the_report_are_counted_and_those_before_are_not_lost() {
    let mut feed = Feeder::new();
    let [a, b] = ["a", "b"].map(|name| describe(&mut feed, name));
    for at in 2..SENSORS_MAX {
        describe(&mut feed, &at.to_string());
    }
    feed.values(a, &[1.0]);
    let late = |at| Reading { time_ns: i64::MAX - 5000 + at, value: 1.0 };
    feed.readings(b, &(0..5000).map(late).collect::<Vec<_>>());
    let report = reported(sum(Some(0.0)), feed).expect("a whole feed");
    assert_eq!(report.flagged, 5000);
    let bytes = postcard::to_stdvec(&report).expect("a report").len();
    assert!((kernel::nodes::MAX_BYTES * 9 / 10..=kernel::nodes::MAX_BYTES).contains(&bytes), "{bytes} bytes");
}

#[test]
fn a_model_is_words_of_the_command_line() {
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("readings.csv");
    std::fs::write(&file, "time,t,h\n1,20,50\n2,21,60\n").expect("a file");
    let feed = format!("feed={}", file.display());
    let process = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_model")).arg(&feed).args(words).output();
        let output = output.expect("the task as a process");
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    // All readings of t lie before those of h in a feed that is made of a file.
    let said = process(&["inputs=t,h", "coefficients=1,-0.5", "intercept=10", "flag_above=5"]);
    assert!(said.contains("predictions.count=2 ") && said.contains("predictions.last=1.0 "), "{said}");
    let tree = ["inputs=t,h", "feature=1,-2,-2", "threshold=55,-2,-2", "left=1,-1,-1", "value=0,1,2"];
    let said = process(&[&tree[..], &["right=2,-1,-1"]].concat());
    assert!(said.contains("predictions.minimum=1.0 predictions.maximum=2.0 "), "{said}");
    let said = process(&[&tree[..], &["right=1,-1,-1"]].concat());
    assert!(said.contains("error: left, right: node 1 is the child of one node"), "{said}");
}
