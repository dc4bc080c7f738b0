//! What a hypercall overwrites, as the compiler sees it: an argument that is wanted again is put into its register
//! again.
//!
//! Xen may overwrite the registers of a hypercall's arguments, and its debug builds do. The compiler's own assembly
//! shows whether it knows that. This covers x86_64, for which the build machine's compiler has everything; on ARM the
//! same registers are marked in `src/arch/armv7/hypercall.rs`.
#![cfg(target_arch = "x86_64")]

use std::fs;
use std::path::Path;
use std::process::Command;

/// Two hypercalls in a row with the same arguments.
const PROBE: &str = r#"
    mod hypercall;
    #[unsafe(no_mangle)]
    pub unsafe fn twice_2(a: usize, b: usize) -> isize {
        unsafe { hypercall::hypercall2(29, a, b) + hypercall::hypercall2(29, a, b) }
    }
    #[unsafe(no_mangle)]
    pub unsafe fn twice_3(a: usize, b: usize, c: usize) -> isize {
        unsafe { hypercall::hypercall3(29, a, b, c) + hypercall::hypercall3(29, a, b, c) }
    }
    #[unsafe(no_mangle)]
    pub unsafe fn twice_4(a: usize, b: usize, c: usize, d: usize) -> isize {
        unsafe { hypercall::hypercall4(29, a, b, c, d) + hypercall::hypercall4(29, a, b, c, d) }
    }
"#;

/// The instructions of a function between its two hypercalls, operands of the destination first.
fn between(assembly: &str, function: &str) -> Vec<String> {
    let body = assembly.split_once(&format!("\n{function}:")).expect("the function").1;
    let mut parts = body.split("syscall");
    let part = parts.nth(1).expect("two hypercalls");
    assert!(parts.next().is_some() && !part.contains(".cfi_endproc"), "two hypercalls in one function: {part}");
    part.lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn arguments_are_put_into_their_registers_for_each_hypercall() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/arch/x86_64/hypercall.rs");
    fs::copy(source, directory.join("hypercall.rs")).expect("the instruction");
    fs::write(directory.join("probe.rs"), PROBE).expect("the probe");
    let mut command = Command::new("rustc");
    command.current_dir(directory).args(["--edition=2024", "--crate-type=lib", "--emit=asm", "-Copt-level=2"]);
    let output = command.args(["-Cllvm-args=-x86-asm-syntax=intel", "probe.rs"]).output().expect("a compiler");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let assembly = fs::read_to_string(directory.join("probe.s")).expect("the assembly");
    let registers = [["rdi", "edi"], ["rsi", "esi"], ["rdx", "edx"], ["r10", "r10d"]];
    for count in 2..=registers.len() {
        let instructions = between(&assembly, &format!("twice_{count}"));
        for names in &registers[..count] {
            let is_set = names.iter().any(|name| {
                let set = format!("mov\t{name},");
                instructions.iter().any(|instruction| instruction.starts_with(&set))
            });
            assert!(is_set, "{} is taken to survive the first of two hypercalls: {instructions:#?}", names[0]);
        }
    }
}
