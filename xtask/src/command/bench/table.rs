//! The table for people: ratios first, then the medians that they are made of.

use std::fmt::Write;

use super::figures::{Figures, Row, median, number};

/// All rows, those of a group together below its name and unit.
pub fn of(figures: &Figures) -> String {
    let mut table = String::new();
    let mut groups: Vec<(&str, &str)> = Vec::new();
    for row in figures.rows() {
        let group = (row.measure.group, row.measure.unit);
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    // Writing to a string cannot fail.
    let _ = writeln!(table, "{:>8} {:>12} {:>12}   (Spore : Linux, of medians)", "ratio", "Spore", "Linux");
    for (group, unit) in groups {
        let _ = writeln!(table, "\n{:>8} {:>12} {:>12}   {group}, {unit}", "", "", "");
        for row in figures.rows().iter().filter(|row| (row.measure.group, row.measure.unit) == (group, unit)) {
            let _ = writeln!(table, "{}", line(row));
        }
    }
    table
}

fn line(row: &Row) -> String {
    let shown = |figures: &[f64]| median(figures).map_or("-".to_owned(), number);
    let ratio = row.ratio().map_or("-".to_owned(), |ratio| format!("{} x", number(ratio)));
    let behind = if row.is_ahead() == Some(false) { "  <" } else { "" };
    format!("{ratio:>8} {:>12} {:>12}   {}{behind}", shown(&row.spore), shown(&row.linux), row.measure.name)
}

#[cfg(test)]
mod tests {
    use super::super::contestant::Side;
    use super::super::figures::Measure;
    use super::*;

    #[test]
    fn groups_stand_together_and_what_is_behind_is_marked() {
        let mut figures = Figures::default();
        let rx = || Measure::more("tcp_rx", "TCP", "to the guest", "Mbit/s");
        figures.add(rx(), Side::Spore, 200.0);
        figures.add(Measure::less("rtt", "latency", "round trip", "ms"), Side::Spore, 1.0);
        figures.add(rx(), Side::Linux, 400.0);
        figures.add(Measure::more("tcp_tx", "TCP", "from the guest", "Mbit/s"), Side::Linux, 1.0);
        let table = of(&figures);
        let lines: Vec<_> = table.lines().map(str::trim).collect();
        assert_eq!(
            lines[2..],
            [
                "TCP, Mbit/s",
                "0.500 x          200          400   to the guest  <",
                "-            -         1.00   from the guest",
                "",
                "latency, ms",
                "-         1.00            -   round trip",
            ]
        );
    }
}
