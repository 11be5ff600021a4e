//! Signed, verified, and read by another tool.

use std::fs;
use std::path::Path;

use plugin_oci::documents::json;
use plugin_oci::stores::layout::Layout;
use plugin_oci::stores::{Selector, Source as _};

use super::pages::blocks;
use super::runner::Runner;
use crate::support::tools::{optional, require};

/// The blocks of the page, in order.
fn page() -> Vec<String> {
    [
        blocks("docs/src/recipes/signing.md", "## Sign what you build", "sh"),
        blocks("docs/src/recipes/signing.md", "## Take only what is signed", "sh"),
        blocks("docs/src/recipes/signing.md", "## Who reads what", "sh"),
    ]
    .concat()
}

#[test]
fn what_is_built_is_signed_and_taken_by_its_key() {
    let [sign, _, take, _] = &page()[..] else { panic!("four blocks") };
    let runner = Runner::new();
    let job = runner.job("sign").installed();
    job.succeed(&format!("export COSIGN_PASSWORD=\n{sign}"));
    job.succeed(take);
    job.succeed("COSIGN_PASSWORD= cargo plugin-build keygen --output-key-prefix other");
    assert_eq!(job.run(&take.replace("cosign.pub", "other.pub").replace("unpacked", "refused")).code, 3);
    assert!(!job.dir.join("refused").exists());
}

/// The digests of the image and of the bundle that signs it, in hexadecimal.
fn of_layout(dir: &Path) -> (String, String) {
    let layout = Layout::open(dir).unwrap();
    let root = layout.resolve(&Selector::Only).unwrap();
    let is_signature = |referrer: &&plugin_oci::documents::Descriptor| {
        referrer.annotations.get("dev.sigstore.bundle.predicateType").is_some_and(|kind| kind.ends_with("/cosign/sign/v1"))
    };
    let referrers = layout.referrers(&root.digest).unwrap();
    let manifest = fs::read(layout.blob_path(&referrers.iter().find(is_signature).unwrap().digest)).unwrap();
    let bundle = json::parse(&manifest).unwrap()["layers"][0]["digest"].as_str().unwrap().to_owned();
    (root.digest.hex().to_owned(), bundle["sha256:".len()..].to_owned())
}

#[test]
#[ignore = "needs openssl, cosign"]
fn a_command_signs_and_cosign_reads_the_layout() {
    let [_, signer, _, cosign] = &page()[..] else { panic!("four blocks") };
    let (Some(_), Some(program)) = (require("openssl"), optional("cosign")) else { return };
    let runner = Runner::new();
    let job = runner.job("sign").installed();
    job.succeed("COSIGN_PASSWORD= cargo plugin-build keygen\ncargo plugin-build");
    job.succeed(signer);
    job.succeed("cargo plugin-build verify --key cosign.pub");
    let (root, bundle) = of_layout(&job.dir.join("target/plugin-build/p"));
    let here = format!("ROOT={root} BUNDLE={bundle}\ncosign() {{ {} \"$@\"; }}\n", program.display());
    job.succeed(&format!("{here}{cosign}"));
    job.succeed("COSIGN_PASSWORD= cargo plugin-build keygen --output-key-prefix other");
    assert_ne!(job.run(&format!("{here}{}", cosign.replace("cosign.pub", "other.pub"))).code, 0);
}
