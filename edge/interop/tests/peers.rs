//! What Spore writes others read, and the other way round: in a real registry, with the real cosign, oras and skopeo.

use std::fs;
use std::io::Read;

use artifact::{
    Access, Architecture, Built, Config, Layout, Registry, Release, Source, Target, copy, pack, sign, verify,
};
use description::Description;
use interop::{Peer, run};
use protocol::{Digest, SecretKey, Tenant};
use tempfile::TempDir;

/// A tenant with a task in a registry.
struct Desk {
    server: qemu_tests::registry::Registry,
    home: TempDir,
    key: SecretKey,
    digest: Digest,
}

impl Desk {
    fn new() -> Self {
        let desk = Self {
            server: interop::registry().unwrap(),
            home: tempfile::tempdir().unwrap(),
            key: SecretKey::new(),
            digest: Digest::of(b""),
        };
        fs::write(desk.home.path().join("acme.pem"), desk.key.to_pem()).unwrap();
        fs::write(desk.home.path().join("acme.pub"), desk.key.public().to_pem()).unwrap();
        fs::write(desk.home.path().join("other.pub"), SecretKey::new().public().to_pem()).unwrap();
        let digest = pack(&built(), &acme(), &desk.registry(), None).unwrap();
        Self { digest, ..desk }
    }

    /// A repository of the registry.
    fn repository(&self, path: &str) -> String {
        format!("127.0.0.1:{}/{path}", self.server.port())
    }

    fn registry(&self) -> Registry {
        registry(&self.repository("acme/hello"))
    }

    fn name(&self) -> String {
        format!("{}@{}", self.repository("acme/hello"), self.digest)
    }

    fn run(&self, peer: Peer, words: &str) -> anyhow::Result<String> {
        run(peer.command(&self.home).unwrap().args(words.split(' ')))
    }

    /// Signs with cosign, which wants a key of its own form. cosign 3 makes it for cosign 2 too, whose version 2.5 can
    /// import no key on a curve: it checks the secret half as a public key ("unsupported public key type").
    fn cosign_signs(&self, peer: Peer, more: &str) {
        self.run(Peer::Cosign3, "import-key-pair --key acme.pem --output-key-prefix imported").unwrap();
        self.run(peer, &format!("sign --key imported.key --yes --allow-http-registry {more} {}", self.name())).unwrap();
    }

    fn cosign_verifies(&self, key: &str) -> anyhow::Result<String> {
        let name = self.name();
        self.run(Peer::Cosign3, &format!("verify --key {key} --insecure-ignore-tlog --allow-http-registry {name}"))
    }

    fn verified(&self, key: &SecretKey) -> Result<(), artifact::Error> {
        verify(&self.registry(), self.digest, &acme(), &[key.public()]).map(drop)
    }
}

fn registry(repository: &str) -> Registry {
    Registry::new(repository.parse().unwrap(), &Access::default()).unwrap()
}

fn acme() -> Tenant {
    "acme".parse().unwrap()
}

fn built() -> Vec<Built> {
    let config = Config::new(Description::of::<(), u32>("hello"), 4, Vec::new()).unwrap();
    let image = |architecture: Architecture| [architecture.name().as_bytes(), &[7; 50_000]].concat();
    [Architecture::X86_64, Architecture::Armv7]
        .map(|architecture| Built { architecture, config: config.clone(), image: image(architecture) })
        .to_vec()
}

#[test]
fn cosign_3_verifies_our_signature_and_refuses_another_key() {
    let desk = Desk::new();
    sign(&desk.registry(), desk.digest, &desk.key).unwrap();
    assert!(desk.verified(&desk.key).is_ok());
    let said = desk.cosign_verifies("acme.pub").unwrap();
    assert!(said.contains(&desk.digest.to_string()), "{said}");
    assert!(desk.cosign_verifies("other.pub").is_err());
}

#[test]
fn we_verify_the_signatures_of_cosign_3_and_of_cosign_2() {
    for (peer, more) in
        [(Peer::Cosign3, "--use-signing-config=false --tlog-upload=false"), (Peer::Cosign2, "--tlog-upload=false")]
    {
        let desk = Desk::new();
        desk.cosign_signs(peer, more);
        assert!(desk.verified(&desk.key).is_ok(), "{peer:?}: {:?}", desk.verified(&desk.key));
        let error = desk.verified(&SecretKey::new()).unwrap_err().to_string();
        assert!(error.contains("is not signed by tenant \"acme\": signature sha256:"), "{peer:?}: {error}");
    }
}

#[test]
fn both_forms_of_signatures_stand_side_by_side_and_move_along() {
    let desk = Desk::new();
    desk.cosign_signs(Peer::Cosign2, "--tlog-upload=false");
    let ours = SecretKey::new();
    sign(&desk.registry(), desk.digest, &ours).unwrap();
    let layout = Layout::create(&desk.home.path().join("tasks")).unwrap();
    copy(&desk.registry(), desk.digest, &layout, None).unwrap();
    for key in [&desk.key, &ours] {
        assert!(desk.verified(key).is_ok());
        assert!(verify(&layout, desk.digest, &acme(), &[key.public()]).is_ok());
    }
}

#[test]
fn a_blob_goes_on_from_where_it_broke_off() {
    let desk = Desk::new();
    let registry = desk.registry();
    let release = Release::read(&registry, desk.digest).unwrap();
    let image = release.image(&registry, Architecture::Armv7).unwrap().image;
    let mut rest = Vec::new();
    registry.blob(&image, 49_000).unwrap().read_to_end(&mut rest).unwrap();
    assert_eq!(rest, registry.whole_blob(&image).unwrap()[49_000..]);
    assert_eq!(rest.len() as u64, image.size - 49_000);
}

#[test]
fn oras_copies_an_artifact_with_its_signatures_to_a_folder_that_we_read() {
    let desk = Desk::new();
    sign(&desk.registry(), desk.digest, &desk.key).unwrap();
    desk.run(Peer::Oras, &format!("cp -r --from-plain-http {} --to-oci-layout tasks:hello", desk.name())).unwrap();
    let layout = Layout::open(&desk.home.path().join("tasks")).unwrap();
    verify(&layout, desk.digest, &acme(), &[desk.key.public()]).unwrap();
    // And back into another repository, with what we wrote.
    let ours = Layout::create(&desk.home.path().join("ours")).unwrap();
    copy(&layout, desk.digest, &ours, Some(&"hello".parse().unwrap())).unwrap();
    let other = desk.repository("acme/again");
    desk.run(Peer::Oras, &format!("cp -r --from-oci-layout ours:hello --to-plain-http {other}:hello")).unwrap();
    verify(&registry(&other), desk.digest, &acme(), &[desk.key.public()]).unwrap();
}

#[test]
fn skopeo_copies_our_folder_without_changing_a_byte() {
    let desk = Desk::new();
    let layout = Layout::create(&desk.home.path().join("tasks")).unwrap();
    copy(&desk.registry(), desk.digest, &layout, Some(&"hello".parse().unwrap())).unwrap();
    let other = desk.repository("acme/skopeo");
    let copies = format!(
        "copy --insecure-policy --all --preserve-digests --dest-tls-verify=false oci:tasks:hello docker://{other}:hello"
    );
    desk.run(Peer::Skopeo, &copies).unwrap();
    let registry = registry(&other);
    let (digest, _) = registry.resolve(&artifact::Reference::Tag("hello".parse().unwrap())).unwrap();
    assert_eq!(digest, desk.digest);
    copy(&registry, digest, &layout, None).unwrap();
}

#[test]
fn what_a_registry_does_not_have_is_named() {
    let desk = Desk::new();
    let nowhere = registry(&desk.repository("acme/nowhere"));
    let error = Release::read(&nowhere, desk.digest).unwrap_err().to_string();
    assert_eq!(error, format!("{} has no {}", nowhere.place(), desk.digest));
    let missing = artifact::oci::Descriptor::of("x", b"no such blob");
    assert!(!desk.registry().has_blob(&missing).unwrap());
    let error = desk.registry().whole_blob(&missing).unwrap_err().to_string();
    assert!(error.contains(&format!("has no blob {}", missing.digest)), "{error}");
}
