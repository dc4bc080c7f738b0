//! What was measured: all rounds of each row, and the medians of both sides.

use super::contestant::Side;

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measure {
    /// Its name in the file for programs.
    pub key: String,
    /// Rows of a group stand together, in the order in which they were first measured.
    pub group: &'static str,
    /// What is measured, within the group.
    pub name: String,
    /// Of the figures.
    pub unit: &'static str,
    /// Which way is better.
    pub better: Better,
}

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// More is better.
    More,
    /// Less is better.
    Less,
}

impl Measure {
    /// A row in which more is better.
    pub fn more(key: &str, group: &'static str, name: impl Into<String>, unit: &'static str) -> Self {
        Self { key: key.to_owned(), group, name: name.into(), unit, better: Better::More }
    }

    /// A row in which less is better.
    pub fn less(key: &str, group: &'static str, name: impl Into<String>, unit: &'static str) -> Self {
        Self { better: Better::Less, ..Self::more(key, group, name, unit) }
    }

    /// A value with its unit.
    pub fn shown(&self, value: f64) -> String {
        format!("{} {}", number(value), self.unit)
    }
}

/// A row with its figures.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Which one.
    pub measure: Measure,
    /// Spore's, in the order of the rounds.
    pub spore: Vec<f64>,
    /// Those of Linux.
    pub linux: Vec<f64>,
}

impl Row {
    /// Spore divided by Linux, of medians; nothing where one is missing.
    pub fn ratio(&self) -> Option<f64> {
        let (spore, linux) = (median(&self.spore)?, median(&self.linux)?);
        (linux != 0.0).then(|| spore / linux)
    }

    /// Whether Spore is the better one.
    pub fn is_ahead(&self) -> Option<bool> {
        let ratio = self.ratio()?;
        Some(match self.measure.better {
            Better::More => ratio >= 1.0,
            Better::Less => ratio <= 1.0,
        })
    }
}

/// All rows.
#[derive(Debug, Default)]
pub struct Figures(Vec<Row>);

impl Figures {
    /// Adds a figure to its row, which begins with the first one.
    pub fn add(&mut self, measure: Measure, side: Side, value: f64) {
        let at = self.0.iter().position(|row| row.measure.key == measure.key).unwrap_or_else(|| {
            self.0.push(Row { measure, spore: Vec::new(), linux: Vec::new() });
            self.0.len() - 1
        });
        let row = &mut self.0[at];
        match side {
            Side::Spore => row.spore.push(value),
            Side::Linux => row.linux.push(value),
        }
    }

    /// All rows, in the order of their first figures.
    pub fn rows(&self) -> &[Row] {
        &self.0
    }

    /// The row with this name.
    pub fn row(&self, key: &str) -> Option<&Row> {
        self.0.iter().find(|row| row.measure.key == key)
    }
}

/// The middle one; of an even number of figures, the mean of the two in the middle.
pub fn median(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        length if length % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// A figure with at least three digits that say something.
pub fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if size >= 1000.0 => crate::terminal::bytes(value.round() as u64),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        size if size >= 0.001 => format!("{value:.3}"),
        _ => format!("{value:.1e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_do_not_depend_on_the_order() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn a_ratio_is_that_of_medians_and_missing_where_a_side_is() {
        let mut figures = Figures::default();
        let measure = || Measure::less("rtt", "latency", "round trip", "ms");
        for value in [2.0, 3.0, 100.0] {
            figures.add(measure(), Side::Spore, value);
        }
        assert_eq!(figures.row("rtt").unwrap().ratio(), None);
        figures.add(measure(), Side::Linux, 4.0);
        let row = figures.row("rtt").unwrap();
        assert_eq!((row.ratio(), row.is_ahead()), (Some(0.75), Some(true)));
        figures.add(measure(), Side::Linux, -4.0);
        assert_eq!(figures.row("rtt").unwrap().ratio(), None);
    }

    #[test]
    fn figures_have_three_digits_or_all_of_them() {
        let shown = [0.0, 0.000_012, 0.0123, 1.234, 12.34, 123.4, 1_234_567.8].map(number);
        assert_eq!(shown, ["0", "1.2e-5", "0.012", "1.23", "12.3", "123", "1,234,568"]);
    }
}
