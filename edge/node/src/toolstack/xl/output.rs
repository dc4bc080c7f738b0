//! Reads what `xl` prints. What is not as it should be is an error that names it, never a guess.

use std::str::FromStr;
use std::time::Duration;

use crate::GuestId;
use crate::toolstack::Error;
use crate::toolstack::domains::{Condition, Domain};

/// The domains of a node in the list that `xl list -v` prints; those of others are passed over.
///
/// Source: `list_domains` of tools/xl/xl_info.c, Xen 4.17: name, number, memory, CPUs, six letters for the state, time,
/// uuid, the reason of its end or `-`, and a label. A name may hold spaces or be a uuid, so columns are
/// counted from the last one.
pub(super) fn domains(text: &str) -> Result<Vec<Domain>, Error> {
    let garbage = |line: &str, why: &str| Error::Garbage {
        command: "xl list".into(),
        read: line.to_owned(),
        why: why.to_owned(),
    };
    let mut lines = text.lines();
    let head = lines.next().unwrap_or_default();
    if !(head.starts_with("Name") && head.contains("UUID") && head.contains("Reason-Code")) {
        return Err(garbage(head, "it is not the head of the list"));
    }
    let mut domains = Vec::new();
    for line in lines.filter(|line| !line.trim().is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(place) = words.iter().rposition(|word| is_uuid(word)) else {
            return Err(garbage(line, "there is no uuid in it"));
        };
        let Ok(id) = words[place].parse::<GuestId>() else { continue };
        let before = |columns: usize| place.checked_sub(columns).map_or("", |place| words[place]);
        let number = before(5).parse().map_err(|_| garbage(line, "there is no number of a domain in it"))?;
        let memory_mib: u32 = before(4).parse().map_err(|_| garbage(line, "there is no memory in it"))?;
        let reason = words.get(place + 1).copied().unwrap_or_default();
        let condition = condition(before(2), reason).ok_or_else(|| garbage(line, "its state is unknown"))?;
        let cpu_time = before(1).parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let cpu_time = cpu_time.ok_or_else(|| garbage(line, "there is no CPU time in it"))?;
        domains.push(Domain { number, id, condition, memory_kib: u64::from(memory_mib) * 1024, cpu_time });
    }
    Ok(domains)
}

/// `rbpscd` with a dash for each that is not so; the fifth is a letter for the reason of an end.
fn condition(state: &str, reason: &str) -> Option<Condition> {
    let letters: Vec<char> = state.chars().collect();
    let &[running, blocked, paused, shut_down, _, dying] = letters.as_slice() else { return None };
    let is = |letter: char, set: char| match letter {
        '-' => Some(false),
        letter if letter == set => Some(true),
        _ => None,
    };
    is(running, 'r')?;
    is(blocked, 'b')?;
    Some(match (is(dying, 'd')?, is(shut_down, 's')?, is(paused, 'p')?) {
        (true, ..) => Condition::Dying,
        (_, true, _) => Condition::ShutDown(u32::from_str_radix(reason, 16).ok()?),
        (_, _, true) => Condition::Paused,
        _ => Condition::Running,
    })
}

fn is_uuid(word: &str) -> bool {
    let places = [8, 13, 18, 23];
    word.len() == 36
        && word.bytes().enumerate().all(|(place, byte)| match places.contains(&place) {
            true => byte == b'-',
            false => byte.is_ascii_hexdigit(),
        })
}

/// Free memory in KiB, of `xl info`, which has it in MiB.
pub(super) fn free_memory_kib(text: &str) -> Result<u64, Error> {
    let garbage = |read: &str, why: &str| Error::Garbage {
        command: "xl info".into(),
        read: read.to_owned(),
        why: why.to_owned(),
    };
    let line = text.lines().find(|line| line.starts_with("free_memory "));
    let line = line.ok_or_else(|| garbage(text, "there is no free_memory in it"))?;
    let mib = line.split_once(':').and_then(|(_, value)| u64::from_str(value.trim()).ok());
    let kib = mib.and_then(|mib| mib.checked_mul(1024));
    kib.ok_or_else(|| garbage(line, "it is no whole number of MiB"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Condition, domains, free_memory_kib};

    const HEAD: &str = "Name                                        ID   Mem VCPUs\tState\tTime(s)   UUID                            \
        Reason-Code\tSecurity Label\n";

    fn list(lines: &str) -> String {
        format!("{HEAD}{lines}")
    }

    fn id(number: u32) -> String {
        format!("73706f72-0000-8000-8000-{number:012}")
    }

    #[test]
    fn the_nodes_guests_are_told_from_others_and_by_what_they_do() {
        let line = |name: &str, number: u32, state: &str, reason: &str| {
            let id = id(number);
            format!("{name:<40} {number:5} {:5} {:5}     {state}  {:8.1} {id} {reason:>8} {:>16}\n", 4, 1, 0.1, "-")
        };
        let text = list(
            &[
                "Domain-0                                     0   512     1     r-----      12.3 \
                00000000-0000-0000-0000-000000000000        -                -\n"
                    .to_owned(),
                line(&id(1), 1, "-b----", "-"),
                line("on", 2, "------", "-"),
                line("a name with spaces", 3, "--p---", "-"),
                line("(null)", 4, "--ps-d", "0"),
                line("ended", 5, "---s--", "0"),
                line("crashed", 6, "---sc-", "3"),
            ]
            .concat(),
        );
        let domains = domains(&text).unwrap();
        let conditions: Vec<_> = domains.iter().map(|domain| (domain.number, domain.condition)).collect();
        assert_eq!(
            conditions,
            [
                (1, Condition::Running),
                (2, Condition::Running),
                (3, Condition::Paused),
                (4, Condition::Dying),
                (5, Condition::ShutDown(0)),
                (6, Condition::ShutDown(3)),
            ]
        );
        assert_eq!(domains[0].id.to_string(), id(1));
        assert_eq!((domains[0].memory_kib, domains[0].cpu_time), (4096, Duration::from_millis(100)));
    }

    #[test]
    fn garbage_is_named() {
        let id = id(1);
        for (text, why) in [
            (String::new(), "it is not the head of the list"),
            ("libxl: error".to_owned(), "it is not the head of the list"),
            (list("guest 1 4 1 r----- 0.1"), "there is no uuid in it"),
            (list(&format!("guest one 4 1 r----- 0.1 {id} - -")), "there is no number of a domain in it"),
            (list(&format!("{id} - -")), "there is no number of a domain in it"),
            (list(&format!("guest 1 four 1 r----- 0.1 {id} - -")), "there is no memory in it"),
            (list(&format!("guest 1 4 1 r----- -0.1 {id} - -")), "there is no CPU time in it"),
            (list(&format!("guest 1 4 1 running 0.1 {id} - -")), "its state is unknown"),
            (list(&format!("guest 1 4 1 r---- 0.1 {id} - -")), "its state is unknown"),
            (list(&format!("guest 1 4 1 x----- 0.1 {id} - -")), "its state is unknown"),
            (list(&format!("guest 1 4 1 ---s-- 0.1 {id} - -")), "its state is unknown"),
        ] {
            let error = domains(&text).unwrap_err().to_string();
            assert!(error.starts_with("xl list") && error.ends_with(why), "{text:?}: {error}");
        }
    }

    #[test]
    fn free_memory_is_read_from_its_line_and_nothing_else() {
        assert_eq!(free_memory_kib("total_memory           : 1023\nfree_memory            : 460\n").unwrap(), 471_040);
        for text in
            ["", "free_memory : many\n", "free_memory            : -1", "free_memory            : 99999999999999999999"]
        {
            assert!(free_memory_kib(text).unwrap_err().to_string().starts_with("xl info"), "{text}");
        }
    }
}
