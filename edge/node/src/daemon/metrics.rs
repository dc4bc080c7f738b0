//! What the node counts, in the text format of Prometheus.

use std::fmt::Write;

use protocol::{Figures, Phase, State};

use super::books::Books;
use super::refused::Refused;
use super::steps::Step;
use crate::disk::FORGOTTEN;

/// The page.
pub(super) fn page(books: &Books) -> Result<String, Refused> {
    let counts = books.counts();
    let mut page = String::new();
    let ended = [("finished", counts.finished), ("failed", counts.failed), ("cancelled", counts.cancelled)];
    let ended = ended.into_iter().chain([("expired", counts.expired)]);
    head(&mut page, "spore_commands_ended_total", "counter", "Commands that have ended since the node started.");
    for (phase, count) in ended {
        let _ = writeln!(page, "spore_commands_ended_total{{phase=\"{phase}\"}} {count}");
    }
    head(&mut page, "spore_commands", "gauge", "Commands that have not ended.");
    for phase in [Phase::Accepted, Phase::Queued, Phase::Starting, Phase::Running] {
        let here = |state: &State| state.phase() == phase;
        let count = books.entries().iter().filter(|entry| here(&entry.state)).count();
        let _ = writeln!(page, "spore_commands{{phase=\"{}\"}} {count}", format!("{phase:?}").to_lowercase());
    }
    let observed = books.observed();
    let guests = observed.map_or(0, |observed| observed.guests.len() as u64);
    let free = observed.map_or(0, |observed| observed.free_kib * 1024);
    let forgotten = books.journal().count(FORGOTTEN)?;
    for (name, kind, help, value) in [
        ("spore_commands_accepted_total", "counter", "Commands that were taken.", counts.accepted),
        ("spore_commands_refused_total", "counter", "Commands that were refused.", counts.refused),
        ("spore_commands_forgotten_total", "counter", "Ended commands that made room for others.", forgotten),
        ("spore_turns_failed_total", "counter", "Turns in which the toolstack failed.", counts.failed_turns),
        ("spore_results_delivered_total", "counter", "Results that were sent and taken.", counts.delivered),
        ("spore_deliveries_failed_total", "counter", "Tries to send a result that failed.", counts.failed_deliveries),
        ("spore_checkpoints_written_total", "counter", "Checkpoints that were written to disk.", books.saves()),
        (
            "spore_connections_refused_total",
            "counter",
            "Connections by TCP that have shown no certificate that is known, in time.",
            counts.refused_connections,
        ),
        ("spore_guests", "gauge", "Guests, ended ones that hold memory among them.", guests),
        ("spore_memory_free_bytes", "gauge", "Memory that may be given to new guests.", free),
        ("spore_resident_bytes", "gauge", "Memory of the node's program.", resident_bytes()),
    ] {
        head(&mut page, name, kind, help);
        let _ = writeln!(page, "{name} {value}");
    }
    steps(&mut page, books);
    figures(&mut page, books);
    Ok(page)
}

fn steps(page: &mut String, books: &Books) {
    let help = "How long the steps of commands took since the node started, failed ones among them.";
    head(page, "spore_step_seconds", "summary", help);
    for (step, name) in Step::ALL {
        let (count, time) = books.steps().total(step);
        let _ = writeln!(page, "spore_step_seconds_sum{{step=\"{name}\"}} {:.6}", time.as_secs_f64());
        let _ = writeln!(page, "spore_step_seconds_count{{step=\"{name}\"}} {count}");
    }
}

/// What guests count. Their names were judged when they were read.
fn figures(page: &mut String, books: &Books) {
    let guests: Vec<_> = books.looks().filter_map(|(entry, look)| Some((entry, look.figures.as_ref()?))).collect();
    let mut gauge = |name: &str, help: &str, of: &dyn Fn(&Figures) -> Vec<(String, u64)>| {
        head(page, name, "gauge", help);
        for (entry, figures) in &guests {
            let command = &entry.command;
            for (label, value) in of(figures) {
                let _ =
                    writeln!(page, "{name}{{tenant=\"{}\",command=\"{}\"{label}}} {value}", command.tenant, command.id);
            }
        }
    };
    let one = |value: u64| vec![(String::new(), value)];
    gauge("spore_guest_heap_used_bytes", "What a guest's heap held.", &|figures| one(figures.heap_used_bytes));
    gauge("spore_guest_heap_peak_bytes", "The most that it ever held.", &|figures| one(figures.heap_peak_bytes));
    gauge("spore_guest_counter", "What a guest has counted since it began.", &|figures| {
        figures.counters.iter().map(|(name, count)| (format!(",name=\"{name}\""), *count)).collect()
    });
}

fn head(page: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// Memory of this program; 0 where the system does not say.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
