//! `verify` and `unpack` judge by one set of rules: what one takes, the other takes.

use std::io::Cursor;

use plugin_oci::layers::unpack::{ExtractError, ExtractOptions, Extraction, LayerInput, Limits, Rehearsal, Rules};
use plugin_oci::values::compression::Compression;
use proptest::prelude::*;

use crate::support::hostile::archive::Archive;
use crate::support::program::{plugin_build, ran};

fn input(tar: &[u8]) -> LayerInput<'_> {
    LayerInput { reader: Box::new(Cursor::new(tar)), compression: Compression::None, diff_id: None }
}

fn unpacked(layers: &[Vec<u8>], options: &ExtractOptions) -> Result<(), ExtractError> {
    let dir = tempfile::tempdir().unwrap();
    let mut extraction = Extraction::begin(&dir.path().join("out"), options.clone())?;
    for layer in layers {
        extraction = extraction.apply(input(layer))?;
    }
    extraction.commit().map(drop)
}

fn rehearsed(layers: &[Vec<u8>], options: &ExtractOptions) -> Result<(), ExtractError> {
    let mut rehearsal = Rehearsal::begin(options.clone())?;
    layers.iter().try_for_each(|layer| rehearsal.apply(input(layer), &mut |_| {}).map(drop))
}

/// The rule that each of them says is broken; `disk` where it is none.
fn verdicts(layers: &[Vec<u8>], options: &ExtractOptions) -> [Option<&'static str>; 2] {
    [unpacked(layers, options), rehearsed(layers, options)].map(|result| result.err().map(|error| error.rule().unwrap_or("disk")))
}

#[derive(Clone, Debug)]
enum Made {
    File(String),
    Directory(String),
    Symlink(String, String),
    HardLink(String, String),
    Whiteout(String),
    Opaque(String),
}

fn archive(entries: &[Made]) -> Vec<u8> {
    let add = |archive: Archive, entry: &Made| match entry {
        Made::File(path) => archive.file(path, b"content"),
        Made::Directory(path) => archive.dir(path),
        Made::Symlink(path, target) => archive.symlink(path, target),
        Made::HardLink(path, target) => archive.hard_link(path, target),
        Made::Whiteout(path) => match path.rsplit_once('/') {
            Some((parent, name)) => archive.file(&format!("{parent}/.wh.{name}"), b""),
            None => archive.file(&format!(".wh.{path}"), b""),
        },
        Made::Opaque(path) => archive.file(&format!("{path}/.wh..wh..opq"), b""),
    };
    entries.iter().fold(Archive::new(), add).end()
}

fn entries() -> impl Strategy<Value = Vec<Made>> {
    let path = || proptest::collection::vec("[abc]", 1..4).prop_map(|names| names.join("/"));
    let target = || {
        let odd = proptest::sample::select(vec![".", "..", "/", "../a", "/b", "a/..", "b/../../c", "./c/", "/a/b/..", "nowhere"]);
        prop_oneof![path(), odd.prop_map(str::to_owned), path().prop_map(|path| format!("/{path}"))]
    };
    let entry = prop_oneof![
        3 => path().prop_map(Made::File),
        3 => path().prop_map(Made::Directory),
        3 => (path(), target()).prop_map(|(path, target)| Made::Symlink(path, target)),
        2 => (path(), path()).prop_map(|(path, target)| Made::HardLink(path, target)),
        1 => path().prop_map(Made::Whiteout),
        1 => path().prop_map(Made::Opaque),
    ];
    proptest::collection::vec(entry, 1..9)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_rehearsal_takes_exactly_what_an_extraction_takes(layers in proptest::collection::vec(entries(), 1..4)) {
        let tars: Vec<Vec<u8>> = layers.iter().map(|entries| archive(entries)).collect();
        for rules in [Rules::Foreign, Rules::Strict] {
            let [unpacked, rehearsed] = verdicts(&tars, &ExtractOptions { rules, ..ExtractOptions::default() });
            prop_assert_eq!(unpacked, rehearsed, "{:?} {:?}", rules, layers);
            prop_assert_ne!(unpacked, Some("disk"), "no fault of the disk: {:?}", layers);
        }
    }
}

#[test]
fn a_directory_that_links_lead_below_any_depth_is_refused_by_both() {
    let deep = "d/".repeat(200);
    let mut archive = Archive::new().extension(b'L', format!("{deep}x").as_bytes()).dir("x");
    for number in 0..5 {
        let name = if number == 0 { "l0".to_owned() } else { format!("l{}/{deep}l{number}", number - 1) };
        archive = archive.pax(&[("path", &name), ("linkpath", &format!("/{deep}"))]).symlink("x", "x");
    }
    let long = archive.clone().pax(&[("linkpath", &"./".repeat(2047))]).symlink("long", "x").file("long/f", b"");
    let tars = [long.end()];
    let [unpacked, rehearsed] = verdicts(&tars, &ExtractOptions::default());
    assert_eq!(unpacked, rehearsed);
}

#[test]
fn entries_that_lie_far_from_one_another_are_refused_at_a_limit() {
    let branches = ["a/", "b/"].map(|name| name.repeat(120));
    let mut archive = Archive::new();
    for number in 0..20_000 {
        archive = archive.extension(b'L', format!("{}{number}", branches[number % 2]).as_bytes()).file("x", b"");
    }
    let tars = [archive.end()];
    let options = ExtractOptions { limits: Limits { steps: 100_000, ..Limits::default() }, ..ExtractOptions::default() };
    assert_eq!(verdicts(&tars, &options), [Some("limit"); 2]);
    let error = rehearsed(&tars, &options).unwrap_err();
    assert!(error.to_string().contains("100000 steps"), "{error}");
    // In any order that keeps neighbours together, the same entries need few.
    let mut archive = Archive::new();
    for branch in &branches {
        for number in 0..10_000 {
            archive = archive.extension(b'L', format!("{branch}{number}").as_bytes()).file("x", b"");
        }
    }
    assert_eq!(verdicts(&[archive.end()], &options), [None; 2]);
}

#[test]
fn a_file_with_more_names_than_a_disk_makes_is_refused_by_both() {
    let chain = |links: u32| {
        let first = Archive::new().file("0", b"content");
        (1..=links).fold(first, |archive, number| archive.hard_link(&number.to_string(), &(number - 1).to_string())).end()
    };
    assert_eq!(verdicts(&[chain(65_000)], &ExtractOptions::default()), [Some("entry-link"); 2]);
}

#[test]
fn what_unpack_refuses_is_a_finding_of_verify() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let cases = [
        ("entry-parent", Archive::new().file("a", b"x").file("a/b", b"x")),
        ("entry-link", Archive::new().file("a", b"x").hard_link("b", "b")),
        ("entry-parent", Archive::new().symlink("a", "b").symlink("b", "a").file("a/c", b"x")),
        ("entry-link", Archive::new().hard_link("a", "nowhere")),
        ("entry-link", Archive::new().dir("a").hard_link("b", "a")),
    ];
    for (rule, archive) in cases {
        crate::support::layouts::of_layer(&dir.join("image"), &archive.end());
        let told = ran(plugin_build(dir).args(["verify", "oci:image"]));
        assert_eq!(told.code, 3, "{}{}", told.stdout, told.stderr);
        assert!(told.stdout.contains(&format!("[{rule}]")), "{rule}: {}", told.stdout);
        assert_eq!(ran(plugin_build(dir).args(["unpack", "oci:image", "out"])).code, 1);
    }
    crate::support::layouts::of_layer(&dir.join("image"), &Archive::new().symlink("a", "b").dir("b").file("a/c", b"x").end());
    assert_eq!(ran(plugin_build(dir).args(["verify", "oci:image"])).code, 0);
    assert_eq!(ran(plugin_build(dir).args(["unpack", "oci:image", "out"])).code, 0);
}
