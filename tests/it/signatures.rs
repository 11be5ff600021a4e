//! Referrers that have a tag too, as signatures have: they are listed, carried and removed with what they refer to.

use std::path::Path;

use plugin_oci::fs::sorted_listing;
use plugin_oci::stores::Source as _;
use plugin_oci::stores::layout::Layout;
use plugin_oci::values::tag::Tag;

use crate::support::memory_registry::{MemoryRegistry, Quirks};
use crate::support::program::{done, run};
use crate::support::sample::Sample;

const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

fn tags(dir: &Path) -> Vec<String> {
    Layout::open(dir).unwrap().tags().unwrap().into_iter().map(|tagged| tagged.tag).collect()
}

#[test]
fn a_referrer_with_a_tag_goes_everywhere_with_its_subject() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let sample = Sample::image("signed", 1000).with_referrer().with_signature();
    sample.to_layout(&dir.join("start"));
    let signature = Tag::of_signatures(&sample.root().digest).to_string();
    assert_eq!(tags(&dir.join("start")), ["1.0".to_owned(), signature.clone()]);
    let listed = done(dir, &["ls", "oci:start"]);
    let row = listed.lines().find(|line| line.starts_with("1.0")).unwrap();
    assert!(row.contains(&format!("+{SIMPLE_SIGNING}")) && row.contains("+application/spdx+json"), "{listed}");
    assert!(done(dir, &["inspect", "oci:start"]).contains(&format!("attachment  {SIMPLE_SIGNING}")), "it is no second image");

    // To registries with the referrers API and without, and from them; by its name, and with all that is there.
    for no_referrers in [false, true] {
        let registry = MemoryRegistry::scripted(Quirks { no_referrers, ..Quirks::default() }, |_, _| None);
        let host = registry.server.host();
        done(dir, &["push", "oci:start:1.0", &format!("{host}/one")]);
        let there = registry.memory.tag("one", &signature).expect("the signature has its tag in the registry");
        done(dir, &["copy", "--all", "oci:start", &format!("docker://{host}/below/")]);
        assert_eq!(registry.memory.tag("below/signed", &signature).as_ref(), Some(&there));
        for (verb, source) in [("pull", format!("{host}/one:1.0")), ("copy", format!("docker://{host}/one"))] {
            let name = format!("{verb}-{no_referrers}");
            let flags: &[&str] = if verb == "copy" { &["--all"] } else { &[] };
            done(dir, &[&[verb], flags, &[&source, &if verb == "copy" { format!("oci:{name}") } else { name.clone() }]].concat());
            assert_eq!(tags(&dir.join(&name)), ["1.0".to_owned(), signature.clone()]);
            let layout = Layout::open(&dir.join(&name)).unwrap();
            assert_eq!(layout.referrers(&sample.root().digest).unwrap().len(), 2, "each once");
            assert_eq!(layout.blobs().unwrap(), Layout::open(&dir.join("start")).unwrap().blobs().unwrap());
        }
        // Alone, it joins the list of what refers to its subject.
        done(dir, &["push", "--no-referrers", "oci:start:1.0", &format!("{host}/alone:1.0")]);
        assert_eq!(registry.memory.tag("alone", &signature), None);
        done(dir, &["push", &format!("oci:start:{signature}"), &format!("{host}/alone")]);
        let name = format!("alone-{no_referrers}");
        done(dir, &["pull", &format!("{host}/alone:1.0"), &name]);
        assert_eq!(tags(&dir.join(name)), ["1.0".to_owned(), signature.clone()]);
    }
    done(dir, &["copy", "oci:start:1.0", "oci-archive:a.tar:2.0"]);
    done(dir, &["copy", "oci-archive:a.tar", "oci:back"]);
    assert_eq!(tags(&dir.join("back")), ["2.0".to_owned(), signature.clone()]);
    done(dir, &["copy", "--no-referrers", "--all", "oci:start", "oci:bare"]);
    assert_eq!(tags(&dir.join("bare")), ["1.0"]);
}

#[test]
fn a_referrer_with_a_tag_of_its_subject_leaves_with_it() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let sample = Sample::image("leaves", 1000).with_signature();
    sample.to_layout(&dir.join("a"));
    let signature = Tag::of_signatures(&sample.root().digest).to_string();
    done(dir, &["copy", "oci:a:1.0", "oci:b:1.0"]);
    done(dir, &["rm", "oci:a:1.0"]);
    assert_eq!((tags(&dir.join("a")), Layout::open(&dir.join("a")).unwrap().blobs().unwrap().len()), (vec![], 0));
    // A signature that came without its subject is what somebody wanted to have.
    done(dir, &["copy", &format!("oci:b:{signature}"), &format!("oci:lone:{signature}")]);
    done(dir, &["gc", "oci:lone"]);
    assert_eq!(tags(&dir.join("lone")), std::slice::from_ref(&signature));
    // As long as another tag has the subject, both stay; the signature alone may go.
    done(dir, &["copy", "oci:b:1.0", "oci:b:2.0"]);
    done(dir, &["rm", "oci:b:1.0"]);
    assert_eq!(tags(&dir.join("b")), ["2.0".to_owned(), signature.clone()]);
    done(dir, &["rm", &format!("oci:b:{signature}")]);
    assert_eq!(tags(&dir.join("b")), ["2.0"]);
}

/// Otherwise one damaged image of a layout would keep all others from being copied.
#[test]
fn a_damaged_image_beside_it_does_not_keep_an_image_from_being_copied() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let (good, bad) = (Sample::image("good", 1000).with_signature(), Sample::image("bad", 2000));
    good.to_layout(&dir.join("a"));
    bad.to_layout(&dir.join("b"));
    done(dir, &["copy", "oci:b:1.0", "oci:a:2.0"]);
    std::fs::remove_file(dir.join("a/blobs/sha256").join(bad.root().digest.hex())).unwrap();
    done(dir, &["copy", "oci:a:1.0", "oci:c"]);
    assert_eq!(tags(&dir.join("c")).len(), 2);
    // One that claims to be attached to it is another matter.
    let signature = Layout::open(&dir.join("a")).unwrap().referrers(&good.root().digest).unwrap().remove(0);
    std::fs::remove_file(dir.join("a/blobs/sha256").join(signature.digest.hex())).unwrap();
    let ran = run(dir, &["copy", "oci:a:1.0", "oci:d"]);
    assert!(ran.code != 0 && ran.stderr.contains(signature.digest.hex()), "{}", ran.stderr);
    assert_eq!(sorted_listing(&dir.join("d")).unwrap_or_default().len(), 0);
}
