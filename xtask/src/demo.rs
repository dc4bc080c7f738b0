//! What the demos show: readings on their way in, summaries on their way out, and the figures at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use console::Line;
use qemu_tests::replay::{Expected, Figures, Message, Summaries, Summary};
use time::OffsetDateTime;

use crate::terminal::{self, Style, bytes};

/// Pause before each message of the replay: five days in a quarter of a minute.
pub const PACE: Duration = Duration::from_millis(40);

/// How long one look for something new may take.
pub const LOOK: Duration = Duration::from_millis(500);

/// How long after the guest's end a summary may still be on its way from the cloud's broker.
const LAST: Duration = Duration::from_secs(5);

/// A line about readings is printed for so much of the sensors' time.
const TOLD_S: i64 = 6 * 3600;

/// Longest line of the guest's console that is shown whole.
const LONGEST: usize = 200;

/// The quantities whose summaries are shown one by one; all are counted and compared.
const SHOWN: [&str; 3] = ["temperature", "wind-gust", "pressure"];

/// Tells of readings, some hours of them in a line.
#[derive(Debug, Default)]
pub struct Telling {
    since_s: i64,
    readings: usize,
    stations: BTreeSet<String>,
}

impl Telling {
    /// Counts a message; a line about those before it when enough time has passed between them.
    pub fn sent(&mut self, message: &Message) -> Option<String> {
        let mut line = None;
        if message.time_s >= self.since_s + TOLD_S {
            if self.readings > 0 {
                line = Some(self.line());
            }
            *self = Self { since_s: message.time_s, ..Self::default() };
        }
        self.readings += message.readings;
        self.stations.insert(message.topic.rsplit('/').next().unwrap_or_default().to_owned());
        line
    }

    /// A line about the messages since the last one.
    pub fn line(&self) -> String {
        let from: Vec<_> = self.stations.iter().map(String::as_str).collect();
        let voice = terminal::on_stdout("in    |", Style::Yellow);
        format!("{voice} {}: {} readings of {}", time(self.since_s), self.readings, from.join(", "))
    }
}

/// Receives summaries until there are `windows` different ones, or the guest is `over` and no more come; shows some.
///
/// # Errors
/// When something else than a summary comes.
pub fn watch(summaries: &Summaries, windows: usize, over: &AtomicBool) -> Result<Vec<Summary>> {
    let mut received: Vec<Summary> = Vec::new();
    let mut different = BTreeSet::new();
    while different.len() < windows {
        let last = over.load(Ordering::Relaxed);
        let Some(summary) = summaries.next(if last { LAST } else { LOOK })? else {
            if last {
                break;
            }
            continue;
        };
        if different.insert((summary.run, summary.sequence)) && is_shown(&summary.sensor) {
            println!("{}", summary_line(&summary));
        }
        received.push(summary);
    }
    Ok(received)
}

fn is_shown(sensor: &str) -> bool {
    SHOWN.iter().any(|quantity| sensor.rsplit(':').next() == Some(quantity))
}

fn summary_line(summary: &Summary) -> String {
    let voice = terminal::on_stdout("out   |", Style::Green);
    let Figures { count, minimum, maximum, mean, .. } = summary.figures;
    let [minimum, maximum, mean] = [minimum, maximum, mean].map(short);
    let (day, sensor, unit) = (time(summary.start_s), &summary.sensor, &summary.unit);
    let readings = if count == 1 { "reading" } else { "readings" };
    format!("{voice} {day}: {sensor}, {count} {readings}, {minimum} to {maximum}, mean {mean} {unit}")
}

/// A number with the digits that a person looks at: six of them.
fn short(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        return "0".into();
    }
    if !(1e-4..1e9).contains(&size) {
        return format!("{value:.3e}");
    }
    let decimals = (5 - size.log10().floor() as i32).clamp(0, 7) as usize;
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// Seconds since 1970 as `2013-02-07 06:00`; as they are when no calendar has them.
fn time(seconds: i64) -> String {
    match OffsetDateTime::from_unix_timestamp(seconds) {
        Ok(time) => format!("{} {:02}:{:02}", time.date(), time.hour(), time.minute()),
        Err(_) => format!("second {seconds}"),
    }
}

/// A console's line no longer than a person reads: the result of 27 sensors has some thousand characters.
pub fn cut(line: &Line) -> Line {
    match line {
        Line::Text(text) if text.chars().count() > LONGEST => {
            Line::Text(text.chars().take(LONGEST).chain(" ...".chars()).collect())
        }
        line => line.clone(),
    }
}

/// The guest's figures beside the expected ones.
#[derive(Debug)]
pub struct Verdict {
    rows: Vec<Row>,
    /// What was checked, in sentences.
    pub findings: Vec<String>,
    passed: bool,
}

#[derive(Debug)]
struct Row {
    sensor: String,
    unit: String,
    figures: Figures,
    right: bool,
}

impl Verdict {
    /// Compares a report of the task `collect`, as fields, and the received summaries with the expected figures.
    ///
    /// # Errors
    /// When the report lacks a field.
    pub fn new(fields: &[(String, String)], expected: &Expected, received: &[Summary]) -> Result<Self> {
        let fields: BTreeMap<&str, &str> = fields.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let rows = rows(&fields, expected)?;
        let mut verdict = Self { rows, findings: Vec::new(), passed: true };
        let readings = number(&fields, "readings")? as u64;
        verdict.find(
            readings == expected.readings,
            format!("{} readings were sent, the guest counted {}", bytes(expected.readings), bytes(readings)),
        );
        for problem in ["malformed", "late", "over_limit", "dropped"] {
            let count = number(&fields, problem)? as u64;
            if count > 0 {
                verdict.find(false, format!("the guest counted {count} as {problem}"));
            }
        }
        let differences = expected.compare(received);
        let windows: BTreeSet<_> = received.iter().map(|summary| (summary.run, summary.sequence)).collect();
        verdict.find(
            differences.is_empty(),
            format!(
                "{} windows were expected in the cloud, {} arrived, {} differences to an independent computation",
                expected.windows.len(),
                windows.len(),
                differences.len()
            ),
        );
        verdict.findings.extend(differences.iter().take(10).map(|difference| format!("       {difference}")));
        let right = verdict.rows.iter().filter(|row| row.right).count();
        verdict.find(
            right == expected.sensors.len() && right == verdict.rows.len(),
            format!(
                "{} sensors were expected in the report, {right} are in it with the right figures",
                expected.sensors.len()
            ),
        );
        Ok(verdict)
    }

    /// Adds what was checked, in a sentence, and whether it is right.
    pub fn find(&mut self, right: bool, text: String) {
        let mark = match right {
            true => terminal::on_stdout("right", Style::Green),
            false => terminal::on_stdout("WRONG", Style::Red),
        };
        self.findings.push(format!("{mark}  {text}"));
        self.passed &= right;
    }

    /// Whether all is right.
    pub fn passed(&self) -> bool {
        self.passed
    }

    /// One line per sensor.
    pub fn table(&self) -> String {
        let head = format!(
            "{:<27} {:>5} {:>10} {:>10} {:>11} {:>11} {:<4}",
            "sensor", "count", "minimum", "maximum", "mean", "variance", "unit"
        );
        let mut table = terminal::on_stdout(head.trim_end(), Style::Bold) + "\n";
        for Row { sensor, unit, figures, right } in &self.rows {
            let Figures { count, minimum, maximum, mean, variance } = figures;
            let [minimum, maximum, mean, variance] = [*minimum, *maximum, *mean, *variance].map(short);
            let mark = if *right { "right" } else { "WRONG" };
            let _ = writeln!(
                table,
                "{sensor:<27} {count:>5} {minimum:>10} {maximum:>10} {mean:>11} {variance:>11} {unit:<4} {mark}"
            );
        }
        table
    }
}

fn rows(fields: &BTreeMap<&str, &str>, expected: &Expected) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    while let Some(sensor) = fields.get(format!("sensors.{}.name", rows.len()).as_str()) {
        let field = |name: &str| number(fields, &format!("sensors.{}.{name}", rows.len()));
        let figures = Figures {
            count: field("count")? as u64,
            minimum: field("minimum")?,
            maximum: field("maximum")?,
            mean: field("mean")?,
            variance: field("variance")?,
        };
        let unit = fields.get(format!("sensors.{}.unit", rows.len()).as_str()).copied().unwrap_or_default().to_owned();
        let right = expected.compare_sensor(sensor, &figures).is_none();
        rows.push(Row { sensor: (*sensor).to_owned(), unit, figures, right });
    }
    rows.sort_by(|a, b| a.sensor.cmp(&b.sensor));
    Ok(rows)
}

fn number(fields: &BTreeMap<&str, &str>, key: &str) -> Result<f64> {
    let text = fields.get(key).with_context(|| format!("the report has no \"{key}\""))?;
    text.parse().with_context(|| format!("the report's \"{key}\" is \"{text}\""))
}

#[cfg(test)]
mod tests {
    use qemu_tests::replay::{Data, Expected, Summary};

    use super::{Telling, Verdict, short, time};

    const CSV: &str = "time,station,temp_F,dewpoint_F,humidity_pct,wind_dir_deg,wind_speed_mph,wind_gust_mph,precip_in,\
                       pressure_hPa,visibility_mi\n\
                       2013-02-07T00:00:00Z,EWR,32,,,,,,,,\n2013-02-07T07:00:00Z,EWR,50,,,,,,,,\n";

    fn fields(mean: &str) -> Vec<(String, String)> {
        let pairs = [
            ("readings", "2"),
            ("malformed", "0"),
            ("late", "0"),
            ("over_limit", "0"),
            ("dropped", "0"),
            ("sensors.0.name", "weather:EWR:temperature"),
            ("sensors.0.unit", "Cel"),
            ("sensors.0.count", "2"),
            ("sensors.0.minimum", "0"),
            ("sensors.0.maximum", "10"),
            ("sensors.0.mean", mean),
            ("sensors.0.variance", "25"),
        ];
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec()
    }

    fn summary(expected: &Expected) -> Summary {
        let ((sensor, start_s), figures) = expected.windows.first_key_value().unwrap();
        Summary {
            sensor: sensor.clone(),
            unit: "Cel".into(),
            start_s: *start_s,
            window_s: 86_400,
            run: 1,
            sequence: 0,
            figures: figures.clone(),
        }
    }

    #[test]
    fn right_figures_pass() {
        let expected = Data::read(CSV).unwrap().expected(86_400);
        let verdict = Verdict::new(&fields("5"), &expected, &[summary(&expected)]).unwrap();
        assert!(verdict.passed(), "{:?}", verdict.findings);
        let table = verdict.table();
        let row: Vec<_> = table.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row, ["weather:EWR:temperature", "2", "0", "10", "5", "25", "Cel", "right"]);
    }

    #[test]
    fn a_wrong_figure_and_a_missing_window_fail_and_are_named() {
        let expected = Data::read(CSV).unwrap().expected(86_400);
        let wrong = Verdict::new(&fields("5.1"), &expected, &[summary(&expected)]).unwrap();
        assert!(!wrong.passed());
        assert!(
            wrong.findings.contains(
                &"WRONG  1 sensors were expected in the report, 0 are in it with the right figures".to_owned()
            )
        );
        let missing = Verdict::new(&fields("5"), &expected, &[]).unwrap();
        assert!(!missing.passed());
        assert!(
            missing.findings.iter().any(|line| line.contains("no summary of the window")),
            "{:?}",
            missing.findings
        );
    }

    #[test]
    fn a_report_without_a_field_is_an_error_that_names_it() {
        let expected = Data::read(CSV).unwrap().expected(86_400);
        let error = Verdict::new(&fields("5")[1..], &expected, &[]).unwrap_err().to_string();
        assert_eq!(error, "the report has no \"readings\"");
    }

    #[test]
    fn readings_are_told_some_hours_at_a_time() {
        let messages = Data::read(CSV).unwrap().messages();
        let mut telling = Telling::default();
        assert_eq!(telling.sent(&messages[0]), None);
        let line = telling.sent(&messages[1]).unwrap();
        assert_eq!(line, "in    | 2013-02-07 00:00: 1 readings of EWR");
    }

    #[test]
    fn numbers_are_as_long_as_a_person_reads() {
        let shown = [0.0, -8.9, 12.079_161_36, 102_397.653_06, 0.000_355_6, 7.939_769e-7, 36_101_556.493_5].map(short);
        assert_eq!(shown, ["0", "-8.9", "12.0792", "102398", "0.0003556", "7.940e-7", "36101556"]);
    }

    #[test]
    fn times_are_dates() {
        assert_eq!(time(0), "1970-01-01 00:00");
        assert_eq!(time(951_782_340), "2000-02-28 23:59");
        assert_eq!(time(951_868_740), "2000-02-29 23:59");
        assert_eq!(time(1_360_195_200), "2013-02-07 00:00");
    }
}
