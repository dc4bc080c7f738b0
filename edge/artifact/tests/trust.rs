//! An artifact is taken when it is whole and its tenant's, and refused with the reason otherwise.

mod common;

use artifact::{Architecture, Error, Layout, Reference, Release, Source, copy, pack, sign, verify};
use common::{Folder, built, key, tenant};
use protocol::Digest;

#[test]
fn the_same_images_are_the_same_artifact_wherever_they_are_packed() {
    let digests = [Folder::new(), Folder::new()].map(|folder| folder.task("acme", "hello", b"image"));
    assert_eq!(digests[0], digests[1]);
    assert_ne!(Folder::new().task("acme", "hello", b"other"), digests[0]);
    assert_ne!(Folder::new().task("other", "hello", b"image"), digests[0]);
}

#[test]
fn a_release_says_what_it_has_and_for_which_cpus() {
    let folder = Folder::new();
    let digest = folder.task("acme", "hello", b" image");
    let (found, _) = folder.layout.resolve(&Reference::Tag("hello".parse().unwrap())).unwrap();
    assert_eq!(found, digest);
    let release = Release::read(&folder.layout, digest).unwrap();
    assert_eq!((release.tenant.as_str(), release.task.as_str()), ("acme", "hello"));
    let image = release.image(&folder.layout, Architecture::Armv7).unwrap();
    assert_eq!(folder.layout.whole_blob(&image.image).unwrap(), b"armv7 image");
    assert_eq!(image.config.memory_mib, 4);
    let error = release.image(&folder.layout, Architecture::Aarch64).unwrap_err().to_string();
    assert_eq!(error, format!("{digest} has no image for aarch64; it has x86_64, armv7"));
}

#[test]
fn images_of_two_tasks_are_not_packed_together() {
    let folder = Folder::new();
    let images = [built(Architecture::X86_64, "hello", b""), built(Architecture::Armv7, "echo", b"")];
    let error = pack(&images, &tenant("acme"), &folder.layout, None).unwrap_err().to_string();
    assert!(error.contains("echo 0.0.0 for armv7: not of the same task and version as hello 0.0.0"), "{error}");
}

#[test]
fn a_signature_by_one_of_the_tenants_keys_is_enough() {
    let folder = Folder::new();
    let digest = folder.task("acme", "hello", b"image");
    let (old, new) = (key(), key());
    sign(&folder.layout, digest, &key()).unwrap();
    sign(&folder.layout, digest, &new).unwrap();
    let trusted = verify(&folder.layout, digest, &tenant("acme"), &[old.public(), new.public()]).unwrap();
    assert_eq!(trusted.key(), new.public().id());
    assert_eq!(trusted.release().digest, digest);
}

#[test]
fn no_signature_a_strangers_and_another_tenants_task_are_refused_each_with_its_reason() {
    let folder = Folder::new();
    let digest = folder.task("acme", "hello", b"image");
    let (acme, stranger) = (key(), key());
    let check = |name: &str| verify(&folder.layout, digest, &tenant(name), &[acme.public()]).unwrap_err().to_string();
    assert_eq!(check("acme"), format!("{digest} is not signed: sign it with `spore sign`"));
    sign(&folder.layout, digest, &stranger).unwrap();
    let error = check("acme");
    assert!(error.starts_with(&format!("{digest} is not signed by tenant \"acme\": signature sha256:")), "{error}");
    assert!(
        error.ends_with(&format!("none of the envelope's signatures is by the key {}", acme.public().id())),
        "{error}"
    );
    // A tenant's key says nothing about another tenant's task.
    sign(&folder.layout, digest, &acme).unwrap();
    assert_eq!(check("other"), format!("{digest} is a task of tenant \"acme\", not of \"other\""));
    assert!(verify(&folder.layout, digest, &tenant("acme"), &[acme.public()]).is_ok());
}

#[test]
fn a_signature_of_another_artifact_is_none_of_this() {
    let folder = Folder::new();
    let (signed, unsigned) = (folder.task("acme", "hello", b"good"), folder.task("acme", "echo", b"bad"));
    let key = key();
    sign(&folder.layout, signed, &key).unwrap();
    // The manifest of the signature is rewritten to have the other artifact as its subject.
    let [entry] = folder.layout.referrers(signed).unwrap().try_into().unwrap();
    let mut manifest = folder.layout.manifest_of(entry.digest).unwrap();
    manifest.subject.as_mut().unwrap().digest = unsigned;
    artifact::Target::put_referrer(&folder.layout, unsigned, &manifest).unwrap();
    let error = verify(&folder.layout, unsigned, &tenant("acme"), &[key.public()]).unwrap_err().to_string();
    assert!(error.ends_with(&format!("it signs {signed}")), "{error}");
}

#[test]
fn damage_and_truncation_of_every_part_are_named() {
    let parts = |folder: &Folder, digest: Digest| {
        let index = folder.layout.index(digest).unwrap();
        let manifest = folder.layout.manifest_of(index.manifests[0].digest).unwrap();
        [digest, index.manifests[0].digest, manifest.config.digest, manifest.layers[0].digest]
    };
    for part in 0..4 {
        for cut_off in [false, true] {
            let folder = Folder::new();
            let digest = folder.task("acme", "hello", b"image");
            let part = parts(&folder, digest)[part];
            folder.change(part, |content| match cut_off {
                true => drop(content.pop()),
                false => *content.last_mut().unwrap() ^= 1,
            });
            let error = copy(&folder.layout, digest, &Folder::new().layout, None).unwrap_err();
            assert!(matches!(error, Error::Damaged { .. } | Error::WrongSize { .. }), "{error}");
            assert!(error.to_string().contains(&part.to_string()), "{error}");
        }
    }
}

#[test]
fn a_copy_has_the_signatures_and_the_tag() {
    let (from, to) = (Folder::new(), Folder::new());
    let digest = from.task("acme", "hello", b"image");
    let key = key();
    sign(&from.layout, digest, &key).unwrap();
    copy(&from.layout, digest, &to.layout, Some(&"new".parse().unwrap())).unwrap();
    let (found, _) = to.layout.resolve(&Reference::Tag("new".parse().unwrap())).unwrap();
    assert_eq!(found, digest);
    assert!(verify(&to.layout, digest, &tenant("acme"), &[key.public()]).is_ok());
    // Once more changes nothing.
    copy(&from.layout, digest, &to.layout, Some(&"new".parse().unwrap())).unwrap();
    assert_eq!(to.layout.referrers(digest).unwrap().len(), 1);
}

#[test]
fn a_folder_with_other_things_is_not_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("letter"), "dear").unwrap();
    let error = Layout::create(folder.path()).unwrap_err().to_string();
    assert!(error.contains("not empty, and no OCI image layout"), "{error}");
    assert!(Layout::open(folder.path()).unwrap_err().to_string().contains("oci-layout"));
}
