//! Statistics as they are computed by hand: from all numbers at once, in two passes.

use readings::SensorReport;

/// Compares a sensor's report with the numbers that it is of.
pub fn assert_of(sensor: &SensorReport, numbers: &[f64]) {
    let name = &sensor.name;
    let count = numbers.len() as f64;
    let mean = numbers.iter().sum::<f64>() / count;
    let variance = numbers.iter().map(|number| (number - mean).powi(2)).sum::<f64>() / count;
    assert_eq!(sensor.count, numbers.len() as u64, "{name}");
    assert_eq!(sensor.minimum, numbers.iter().copied().fold(f64::INFINITY, f64::min), "{name}");
    assert_eq!(sensor.maximum, numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max), "{name}");
    let largest = sensor.minimum.abs().max(sensor.maximum.abs());
    assert!((sensor.mean - mean).abs() <= 1e-12 * largest, "{name}: {} instead of {mean}", sensor.mean);
    let close = (sensor.variance - variance).abs() <= 1e-9 * variance + 1e-12 * largest * largest;
    assert!(close, "{name}: {} instead of {variance}", sensor.variance);
}
