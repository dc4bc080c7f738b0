//! The program, as a person uses it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use description::Description;
use tempfile::TempDir;

/// What a run printed.
#[derive(Debug)]
struct Ran {
    good: bool,
    out: String,
    error: String,
}

/// A folder with a built task "hello", in which `spore` runs.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let images = folder.path().join("target/images/armv7/hello");
        fs::create_dir_all(&images).unwrap();
        let description = Description::of::<(), u32>("hello");
        let section = (1u8, &description.task, &description.version, &description.parameters, &description.report);
        fs::write(images.join("hello.elf"), elf_with(".spore.schema", &postcard::to_stdvec(&section).unwrap()))
            .unwrap();
        fs::write(images.join("hello.cfg"), "name = \"hello\"\nmemory = 4\nvif    = [ \"bridge=xenbr0\" ]\n").unwrap();
        fs::write(images.join("hello.img"), b"an image").unwrap();
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Runs the program with these words.
    fn spore(&self, words: &str) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_spore"));
        let output: Output = command.args(words.split(' ')).current_dir(self.path()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran { good: output.status.success(), out: text(output.stdout), error: text(output.stderr) }
    }

    fn good(&self, words: &str) -> String {
        let ran = self.spore(words);
        assert!(ran.good, "{words}: {}", ran.error);
        ran.out
    }

    fn bad(&self, words: &str) -> String {
        let ran = self.spore(words);
        assert!(!ran.good && ran.out.is_empty(), "{words}: {ran:?}");
        ran.error
    }
}

/// The least ELF file (64-bit) with a section.
fn elf_with(name: &str, content: &[u8]) -> Vec<u8> {
    let mut names = format!("\0{name}\0.shstrtab\0");
    let (content_at, names_at) = (64, 64 + content.len());
    // The section headers are aligned.
    while !(names_at + names.len()).is_multiple_of(8) {
        names.push('\0');
    }
    let headers_at = names_at + names.len();
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // ET_EXEC, EM_X86_64, version, entry, program headers, section headers, flags, sizes and counts.
    file.extend([2u16, 62].into_iter().flat_map(u16::to_le_bytes));
    file.extend(1u32.to_le_bytes());
    file.extend([0, 0, headers_at as u64].into_iter().flat_map(u64::to_le_bytes));
    file.extend(0u32.to_le_bytes());
    file.extend([64u16, 0, 0, 64, 3, 2].into_iter().flat_map(u16::to_le_bytes));
    file.extend_from_slice(content);
    file.extend_from_slice(names.as_bytes());
    let sections = [(0, 0, 0, 0), (1, 1, content_at, content.len()), (name.len() + 2, 3, names_at, names.len())];
    for (name, kind, at, length) in sections {
        file.extend([name as u32, kind].into_iter().flat_map(u32::to_le_bytes));
        file.extend([0, 0, at as u64, length as u64].into_iter().flat_map(u64::to_le_bytes));
        file.extend([0u32, 0].into_iter().flat_map(u32::to_le_bytes));
        file.extend([1u64, 0].into_iter().flat_map(u64::to_le_bytes));
    }
    file
}

#[test]
fn a_built_task_is_packed_signed_and_verified() {
    let desk = Desk::new();
    desk.good("key new acme");
    let packed = desk.good("pack hello oci:tasks:hello --tenant acme");
    assert!(packed.contains("tenant   acme\n") && packed.contains("armv7  8      4 MiB"), "{packed}");
    let error = desk.bad("verify oci:tasks:hello --tenant acme --key acme.pub");
    assert!(error.contains("is not signed: sign it with `spore sign`"), "{error}");
    desk.good("sign oci:tasks:hello --key acme.key");
    desk.good("verify oci:tasks:hello --tenant acme --key acme.pub");
    let shown: serde_json::Value =
        serde_json::from_str(&desk.good("verify oci:tasks:hello --tenant acme --key acme.pub --output json")).unwrap();
    assert_eq!((&shown["task"], &shown["images"][0]["architecture"]), (&"hello".into(), &"armv7".into()));
    // By its digest too, which no one can move.
    desk.good(&format!("verify oci:tasks@{} --tenant acme --key acme.pub", shown["digest"].as_str().unwrap()));
}

#[test]
fn a_task_is_packed_and_signed_in_one_go() {
    let desk = Desk::new();
    desk.good("key new acme");
    let packed = desk.good("pack hello oci:tasks:hello --tenant acme --key acme.key");
    assert!(packed.contains("signed by"), "{packed}");
    desk.good("verify oci:tasks:hello --tenant acme --key acme.pub");
}

#[test]
fn a_wrong_key_and_a_damaged_image_are_refused_with_the_reason() {
    let desk = Desk::new();
    desk.good("key new acme");
    desk.good("key new other");
    desk.good("pack hello oci:tasks:hello --tenant acme");
    desk.good("sign oci:tasks:hello --key acme.key");
    let error = desk.bad("verify oci:tasks:hello --tenant acme --key other.pub");
    assert!(error.starts_with("error: sha256:") && error.contains("is not signed by tenant \"acme\""), "{error}");
    let error = desk.bad("verify oci:tasks:hello --tenant acme --key acme.key");
    assert!(error.contains("acme.key: not a public key for P-256"), "{error}");
    let shown: serde_json::Value =
        serde_json::from_str(&desk.good("verify oci:tasks:hello --tenant acme --key acme.pub --output json")).unwrap();
    let image = shown["images"][0]["digest"].as_str().unwrap();
    let blob = desk.path().join("tasks/blobs/sha256").join(&image["sha256:".len()..]);
    fs::write(blob, b"no image").unwrap();
    let error = desk.bad("verify oci:tasks:hello --tenant acme --key acme.pub");
    assert!(error.contains(image) && error.contains("is damaged"), "{error}");
}

#[test]
fn a_secret_key_is_its_owners_alone_and_never_replaced() {
    let desk = Desk::new();
    desk.good("key new acme");
    let secret = desk.path().join("acme.key");
    assert_eq!(fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
    let before = fs::read(&secret).unwrap();
    let error = desk.bad("key new acme");
    assert!(error.contains("making acme.key: a key that is there is not replaced"), "{error}");
    assert_eq!(fs::read(&secret).unwrap(), before);
}

#[test]
fn errors_say_what_to_do() {
    let desk = Desk::new();
    let error = desk.bad("pack echo oci:tasks:echo --tenant acme");
    assert!(error.contains("has no image of \"echo\": build it with `cargo xtask build-image echo`"), "{error}");
    let error = desk.bad("pack hello tasks --tenant acme");
    assert!(error.contains("a folder is written as oci:FOLDER"), "{error}");
    let error = desk.bad("pack hello oci:tasks --tenant Acme");
    assert!(error.contains("is not the name of a tenant: 1 to 63 of a-z"), "{error}");
    let error = desk.bad("verify oci:nowhere --tenant acme --key acme.pub");
    assert!(error.contains("reading the public key acme.pub"), "{error}");
}

#[test]
fn completions_know_the_subcommands() {
    let script = Desk::new().good("completions bash");
    for word in ["pack", "push", "pull", "sign", "verify", "key", "run", "ps", "logs", "doctor", "tenant"] {
        assert!(script.contains(word), "{word}");
    }
}
