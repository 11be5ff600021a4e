//! What was allowed is told, before a build and after it, and never in the image.

use std::fs;

use serde_json::Value;

use super::scene::{Caller, Scene, result};
use crate::support::program::ran;

#[test]
#[ignore = "needs namespaces"]
fn the_provenance_tells_and_the_image_does_not() {
    let Some(scene) = Scene::new(Caller::Root, &[]) else { return };
    let built = result(&ran(&mut scene.build(&["--hermetic", "--provenance", "--message-format", "json", "-o", "out"])));
    let files = walkdir::WalkDir::new(scene.project.root.join("out/blobs")).into_iter().flatten();
    let texts = files.filter_map(|entry| fs::read_to_string(entry.path()).ok().filter(|text| text.contains("landlock-abi")));
    let [text] = &texts.collect::<Vec<_>>()[..] else { panic!("one blob should tell: {built}") };
    let statement: Value = serde_json::from_str(text).unwrap();
    let told = &statement["predicate"]["buildDefinition"]["internalParameters"]["hermetic"];
    assert_eq!(told["writable"], serde_json::json!(["target", "temporary"]));
    assert_eq!(told["phases"], serde_json::json!([{ "name": "build", "network": false }]));
    assert!(!text.contains(&scene.stage().display().to_string()), "{text}");
}

#[test]
#[ignore = "needs namespaces"]
fn a_dry_run_tells_the_sandbox_and_makes_nothing() {
    let Some(scene) = Scene::new(Caller::Root, &[]) else { return };
    let dry = ran(scene
        .build(&["--hermetic", "--dry-run", "--message-format", "json"])
        .env("MY_TOKEN", "s3cret")
        .env("CONST_RANDOM_SEED", "7"));
    let plan = result(&dry);
    assert_eq!(plan["hermetic"]["env"]["CONST_RANDOM_SEED"], "7", "what decides about bytes passes");
    assert_eq!(plan["hermetic"]["env"]["HOME"], "/homeless");
    assert!(plan["invocations"][0]["args"].as_array().unwrap().contains(&"--frozen".into()));
    assert!(!dry.stdout.contains("s3cret"));
    assert!(!scene.project.root.join("target").exists());
}
