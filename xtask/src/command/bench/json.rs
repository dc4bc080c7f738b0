//! The figures for programs.

use serde_json::{Map, Value, json};

use super::case::heap::Start;
use super::case::input::Inputs;
use super::figures::{Better, Figures, median};
use crate::arch::Arch;

/// The rows that stand for the whole, and for which there are aims.
const RATIOS: [&str; 10] = [
    "tcp_rx",
    "tcp_tx",
    "cpu_per_mb_rx",
    "cpu_per_mb_tx",
    "udp_pps_rx",
    "udp_pps_tx",
    "rtt",
    "create_to_packet",
    "memory",
    "image",
];

/// What was compared.
pub struct Facts<'a> {
    /// On which processor.
    pub arch: Arch,
    /// How often.
    pub rounds: u32,
    /// For how long data flowed each time.
    pub seconds: u32,
    /// Whether the machine's time passed with its instructions.
    pub icount: bool,
    /// The version of the kernel.
    pub linux: &'a str,
}

/// An object with the ratios of the most important rows (Spore divided by Linux, of medians), and all rows with all rounds.
pub fn of(facts: &Facts<'_>, figures: &Figures, starts: &[Vec<Start>], inputs: &Inputs) -> Value {
    let ratio = |key: &str| Some((key.to_owned(), Value::from(figures.row(key)?.ratio()?)));
    let ratios: Map<String, Value> = RATIOS.iter().filter_map(|key| ratio(key)).collect();
    let rows: Vec<Value> = figures
        .rows()
        .iter()
        .map(|row| {
            json!({
                "key": row.measure.key,
                "group": row.measure.group,
                "name": row.measure.name,
                "unit": row.measure.unit,
                "better": if row.measure.better == Better::More { "more" } else { "less" },
                "ratio": row.ratio(),
                "median": { "spore": median(&row.spore), "linux": median(&row.linux) },
                "rounds": { "spore": row.spore, "linux": row.linux },
            })
        })
        .collect();
    json!({
        "arch": facts.arch.name(),
        "rounds": facts.rounds,
        "seconds": facts.seconds,
        "icount": facts.icount,
        "linux": facts.linux,
        "ratios": ratios,
        "rows": rows,
        "starts": starts,
        "inputs": inputs,
    })
}

#[cfg(test)]
mod tests {
    use super::super::contestant::Side;
    use super::super::figures::Measure;
    use super::*;

    #[test]
    fn ratios_are_those_of_rows_that_both_sides_have() {
        let mut figures = Figures::default();
        for (key, sides) in
            [("tcp_rx", &[Side::Spore, Side::Linux][..]), ("rtt", &[Side::Spore]), ("ping", &[Side::Linux])]
        {
            sides.iter().for_each(|side| figures.add(Measure::less(key, "g", "n", "u"), *side, 3.0));
        }
        let facts = Facts { arch: Arch::X86_64, rounds: 5, seconds: 3, icount: false, linux: "6.1" };
        let json = of(&facts, &figures, &[], &Inputs::default());
        assert_eq!(json["ratios"], json!({ "tcp_rx": 1.0 }));
        assert_eq!(json["rows"][1]["rounds"], json!({ "spore": [3.0], "linux": [] }));
        assert_eq!(json["rows"].as_array().map(Vec::len), Some(3));
    }
}
