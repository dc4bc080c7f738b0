//! The layout against Xen's own C header, as the C compiler sees it.

#[path = "../../sys/tests/c/mod.rs"]
mod c;

use std::fmt::Write;
use std::process::Command;

use channel::layout::{
    CLIENT_LIVE, CLIENT_NOTIFY, GRANTS, LEFT_CONS, LEFT_ORDER, LEFT_PROD, NOTIFY_READ, NOTIFY_WRITE, RIGHT_CONS,
    RIGHT_ORDER, RIGHT_PROD, SERVER_LIVE, SERVER_NOTIFY,
};

#[test]
fn offsets_sizes_and_bits_are_those_of_xens_header() {
    let fields = [
        ("left.cons", LEFT_CONS, 4),
        ("left.prod", LEFT_PROD, 4),
        ("right.cons", RIGHT_CONS, 4),
        ("right.prod", RIGHT_PROD, 4),
        ("left_order", LEFT_ORDER, 2),
        ("right_order", RIGHT_ORDER, 2),
        ("cli_live", CLIENT_LIVE, 1),
        ("srv_live", SERVER_LIVE, 1),
        ("cli_notify", CLIENT_NOTIFY, 1),
        ("srv_notify", SERVER_NOTIFY, 1),
        ("grants[0]", GRANTS, 4),
    ];
    let mut facts: Vec<(String, usize)> = Vec::new();
    for (name, offset, size) in fields {
        facts.push((format!("offsetof(struct vchan_interface, {name})"), offset));
        facts.push((format!("sizeof(((struct vchan_interface *)0)->{name})"), size));
    }
    facts.push((String::from("VCHAN_NOTIFY_WRITE"), NOTIFY_WRITE.into()));
    facts.push((String::from("VCHAN_NOTIFY_READ"), NOTIFY_READ.into()));

    let mut program = String::from("#include <stddef.h>\n#include <stdio.h>\n#include <xen/io/libxenvchan.h>\n");
    program.push_str("int main(void) {\n");
    for (expression, _) in &facts {
        writeln!(program, "    printf(\"%zu\\n\", (size_t)({expression}));").expect("a string");
    }
    program.push_str("    return 0;\n}\n");
    let output = Command::new(c::compile("vchan_header", &program, &[])).output().expect("it was just compiled");
    let text = String::from_utf8(output.stdout).expect("it prints numbers");
    let theirs: Vec<usize> = text.lines().map(|line| line.parse().expect("a number")).collect();
    assert_eq!(theirs.len(), facts.len());
    let different: Vec<_> = facts.iter().zip(theirs).filter(|((_, ours), theirs)| ours != theirs).collect();
    assert!(different.is_empty(), "{different:#?}");
}
