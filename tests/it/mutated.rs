//! The fuzz targets' bodies on a thousand mutated inputs each, the same ones every time: no panic, no hang, and memory
//! that stays small. `fuzz/` runs them on more.

use std::env;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use plugin_build::hosts::cosmo::generate as engine;
use plugin_oci::fs::sorted_listing;
use plugin_oci::values::compression::Compression;

use crate::generate;
use crate::sign::scene::{IMAGE, Scene};
use crate::support::fuzz_bodies as bodies;
use crate::support::hostile::archive::Archive as TarFile;
use crate::support::hostile::bulk::Packing;
use crate::support::hostile::catalogue;
use crate::support::hostile::deltas;
use crate::support::layouts::{HandLayout, gzip, zstd};

/// Xorshift: no dependency, and the same sequence for ever.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap()
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// Changes a few bytes, or moves, repeats or cuts a piece. Headers of an archive get their checksum again, else hardly
/// any mutation would get past it.
fn mutate(random: &mut Random, seed: &[u8], other: &[u8], tar: bool) -> Vec<u8> {
    const INTERESTING: &[u8] = b"\0\x01\x7f\x80\xff/.0127gxLK5S{}[]\":,-";
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(4) {
        let (at, length) = (random.below(bytes.len()), random.below(600));
        match random.below(6) {
            0..=2 if !bytes.is_empty() => bytes[at] = *random.pick(INTERESTING),
            3 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            4 => {
                let piece: Vec<u8> = other.iter().skip(random.below(other.len()) & !511).take(1 + length).copied().collect();
                bytes.splice(at..at, piece);
            }
            _ => drop(bytes.drain(at..bytes.len().min(at + length))),
        }
    }
    if tar {
        for block in bytes.chunks_exact_mut(512) {
            let block: &mut [u8; 512] = block.try_into().unwrap();
            if block[257..262] == *b"ustar" {
                crate::support::hostile::archive::seal(block);
            }
        }
    }
    bytes
}

/// Archives to start from: honest ones, and every small one of the catalogue.
fn archives() -> Vec<Vec<u8>> {
    let honest = TarFile::new()
        .dir("bin/")
        .file_with("bin/tool", &[7; 700], 0o755)
        .symlink("link", "bin/tool")
        .hard_link("hard", "bin/tool")
        .pax(&[("path", "a/long/name"), ("mtime", "1.5")])
        .file("x", b"x")
        .file("bin/.wh.gone", b"")
        .file("a/.wh..wh..opq", b"")
        .extension(b'L', b"gnu/name\0")
        .file("x", b"x")
        .end();
    let mut archives = vec![honest; 40];
    for case in catalogue::all("/nowhere/outside").iter().take_while(|case| !case.sentence.starts_with("a gzip bomb")) {
        for layer in case.layers.iter().filter(|layer| layer.packing == Packing::None) {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut (layer.open)(), &mut bytes).unwrap();
            archives.push(bytes);
        }
    }
    archives
}

fn tars() {
    let (mut random, archives) = (Random(0x5eed), archives());
    for number in 0..1000 {
        let (seed, other) = (random.pick(&archives), random.pick(&archives));
        let archive = mutate(&mut random, seed, other, true);
        bodies::layer_application(&archive);
        bodies::tar_reading(&[&[2_u8][..], &archive].concat());
        let (first, packed) = if number % 2 == 0 { (4_u8, gzip(&archive)) } else { (1, zstd(&archive)) };
        let packed = mutate(&mut random, &packed, &[], false);
        bodies::tar_reading(&[&[first][..], &packed].concat());
    }
}

fn layouts() {
    let mut random = Random(0x1a70);
    let dir = tempfile::tempdir().unwrap();
    let mut layout = HandLayout::new(dir.path());
    let image = layout.image("linux/amd64", &[TarFile::new().file("a", b"a").end()], Compression::Gzip);
    let index = layout.index(&[image], &serde_json::json!({"a": "b"}));
    layout.tag("1", index);
    let mut files = vec![dir.path().join("index.json"), dir.path().join("oci-layout")];
    let blobs = dir.path().join("blobs/sha256");
    files.extend(sorted_listing(&blobs).unwrap().into_iter().map(|name| blobs.join(name)));
    let texts: Vec<Vec<u8>> = files.iter().map(|path| fs::read(path).unwrap()).collect();
    for number in 0..1000 {
        let at = number % files.len();
        let (seed, other) = (&texts[at], random.pick(&texts).clone());
        let bytes = mutate(&mut random, seed, &other, false);
        bodies::documents(&bytes);
        fs::write(&files[at], &bytes).unwrap();
        bodies::layout(dir.path());
        fs::write(&files[at], &texts[at]).unwrap();
    }
    let archive = files.iter().zip(&texts).fold(TarFile::new(), |archive, (path, bytes)| {
        archive.file(path.strip_prefix(dir.path()).unwrap().to_str().unwrap(), bytes)
    });
    let archive = archive.end();
    for _ in 0..1000 {
        bodies::archives(&mutate(&mut random, &archive, &archive, true));
    }
}

fn texts() {
    let mut random = Random(0x7e57);
    let seeds: [&[u8]; 11] = [
        b"docker://registry.example:5000/a/b-c/d:1.0@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        b"oci:dir/with:tag",
        b"oci-archive:file.tar:name@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        b"localhost/a",
        b"[::1]:5000/a/b:c",
        b"linux/arm64/v8",
        b"Bearer realm=\"https://auth.example/token\",service=\"registry\",scope=\"repository:a/b:pull,push\", Basic realm=x",
        b"https://other.example:444/v2/a/blobs/uploads/1?state=a%20b#fragment",
        b"/v2/a/blobs/uploads/1?state=x",
        b"</v2/_catalog?n=1&last=a>; rel=\"next\"",
        b"Sun, 06 Nov 1994 08:49:37 GMT\nSun Nov  6 08:49:37 1994",
    ];
    for _ in 0..10_000 {
        let (seed, other) = (*random.pick(&seeds), *random.pick(&seeds));
        let text = mutate(&mut random, seed, other, false);
        bodies::references(&text);
        bodies::headers(&text);
    }
}

fn contracts() {
    let mut random = Random(0x9a9);
    let seeds: Vec<Vec<u8>> = generate::cases::all().into_iter().map(|case| case.steps.join("\n").into_bytes()).collect();
    for _ in 0..1000 {
        let (seed, other) = (random.pick(&seeds), random.pick(&seeds));
        bodies::contracts(&mutate(&mut random, seed, other, false));
    }
}

fn agreements() {
    let mut random = Random(0xa9ee);
    let schemas = generate::cases::all().into_iter().flat_map(|case| case.steps);
    let made = schemas.filter_map(|schema| {
        let made = engine::generate(&schema, &engine::Options::of_plugin("fuzz"), None).ok()?;
        Some([schema, made.mapping, made.proto])
    });
    let seeds: Vec<[String; 3]> = made.collect();
    for round in 0..1000 {
        let (seed, other) = (random.pick(&seeds).clone(), random.pick(&seeds));
        let mut parts = seed.map(String::into_bytes);
        let at = round % 3;
        parts[at] = mutate(&mut random, &parts[at], other[at].as_bytes(), false);
        bodies::agreements(&parts.join(&0));
    }
}

fn patches() {
    let mut random = Random(0xde17a);
    let seeds: Vec<Vec<u8>> = deltas::all().into_iter().map(|case| case.bytes).collect();
    let contents: Vec<Vec<u8>> = seeds.iter().filter_map(|seed| zstd::decode_all(&**seed).ok()).collect();
    for _ in 0..10_000 {
        let (seed, other) = (random.pick(&seeds), random.pick(&contents));
        bodies::deltas(&mutate(&mut random, seed, other, false));
        let (seed, other) = (random.pick(&contents), random.pick(&contents));
        bodies::deltas(&mutate(&mut random, seed, other, false));
    }
}

/// Everything that lies in a layout signed in each form, the keys, and policies of both kinds.
fn evidence() {
    let mut random = Random(0x516e);
    let scene = Scene::signed();
    scene.keygen(&["--certificate", "Somebody", "--output-key-prefix", "named"]);
    for more in [&["--format", "simplesigning", "--identity", "registry.example/a:1"][..], &["--format", "notation"]] {
        let key = if more[1] == "notation" { "named.key" } else { "two.key" };
        let certificate: &[&str] = if more[1] == "notation" { &["--certificate", "named.crt"] } else { &[] };
        scene.done(&[&["sign", IMAGE, "--key", key], more, certificate].concat());
    }
    let requirement = r#"{"type":"sigstoreSigned","keyPath":"one.pub","signedIdentity":{"type":"matchRepoDigestOrExact"}}"#;
    fs::write(
        scene.path("policy.json"),
        format!(r#"{{"default":[{requirement}],"transports":{{"docker":{{"":[{requirement}]}}}}}}"#),
    )
    .unwrap();
    fs::write(scene.path("deny.toml"), "[bans]\ndeny = [{ name = \"a\", version = \"<1\" }]\n[licenses]\nallow = [\"MIT\"]\n")
        .unwrap();
    let files = walkdir::WalkDir::new(scene.dir()).into_iter().map(Result::unwrap).filter(|entry| entry.file_type().is_file());
    let mut seeds: Vec<Vec<u8>> = files.map(|file| fs::read(file.path()).unwrap()).filter(|seed| seed.len() < 100_000).collect();
    seeds.sort();
    for _ in 0..5000 {
        let (seed, other) = (random.pick(&seeds), random.pick(&seeds));
        bodies::evidence(&mutate(&mut random, seed, other, false));
    }
}

/// The variable that makes a test binary a child.
const CHILD: &str = "PLUGIN_BUILD_MUTATED";

/// Not a test by itself: what the processes started by the test below do.
#[test]
#[expect(clippy::disallowed_methods, reason = "how a child is told what to do")]
fn child_of_the_mutated_tests() {
    match env::var(CHILD).as_deref() {
        Ok("tars") => tars(),
        Ok("layouts") => layouts(),
        Ok("texts") => texts(),
        Ok("contracts") => contracts(),
        Ok("agreements") => agreements(),
        Ok("patches") => patches(),
        Ok("evidence") => evidence(),
        _ => return,
    }
    let status = fs::read_to_string("/proc/self/status").unwrap();
    println!("DONE {}", status.lines().find(|line| line.starts_with("VmHWM:")).unwrap());
}

#[test]
#[ignore = "slow"]
fn a_thousand_mutated_tars_and_layouts_do_no_harm() {
    for job in ["tars", "layouts", "texts", "contracts", "agreements", "patches", "evidence"] {
        let start = Instant::now();
        let output = Command::new(env::current_exe().unwrap())
            .args(["--exact", "mutated::child_of_the_mutated_tests", "--nocapture"])
            .env(CHILD, job)
            .output()
            .unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{job}: {text}");
        let memory = text.split("DONE VmHWM:").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap();
        let memory: u64 = memory.parse().unwrap();
        assert!(memory < 256 << 10, "{job} needed {memory} kB");
        // Ten minutes is a hang even on a machine that does much else.
        assert!(start.elapsed() < Duration::from_mins(10), "{job} took {:?}", start.elapsed());
    }
}
