//! `--no-clobber` where two push the same tag at once, and lists that two clients extend.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use plugin_oci::documents::media_type;
use plugin_oci::values::digest::Digest;
use serde_json::json;

use super::{client, push};
use crate::support::http_server::{Reply, Request};
use crate::support::memory_registry::{MemoryRegistry, Quirks};
use crate::support::program::{Ran, done, plugin_build, ran, run};
use crate::support::sample::Sample;

/// Where two requests wait for each other.
#[derive(Default)]
struct Meeting {
    came: Mutex<usize>,
    both: Condvar,
}

impl Meeting {
    fn wait(&self) {
        let mut came = self.came.lock().unwrap();
        *came += 1;
        self.both.notify_all();
        drop(self.both.wait_timeout_while(came, Duration::from_mins(1), |came| *came < 2).unwrap());
    }
}

/// A registry where two writes of the tag `new` meet before the first is made, and again before the first is answered.
fn meeting(conditions: bool) -> MemoryRegistry {
    let (before, after) = (Meeting::default(), Meeting::default());
    MemoryRegistry::scripted(Quirks { conditions, ..Quirks::default() }, move |request, memory| {
        request.is("PUT", "/manifests/new").then(|| {
            before.wait();
            let answer = memory.honest(request);
            after.wait();
            answer
        })
    })
}

/// Two processes that push two images as the tag `new`.
fn race(dir: &Path, registry: &MemoryRegistry) -> [Ran; 2] {
    let to = format!("{}/r:new", registry.server.host());
    std::thread::scope(|scope| {
        let pushes = ["one", "two"].map(|name| {
            let image = format!("oci:{name}");
            let to = &to;
            scope.spawn(move || ran(plugin_build(dir).args(["push", "--no-clobber", &image, to])))
        });
        pushes.map(|push| push.join().unwrap())
    })
}

#[test]
fn of_two_that_set_one_tag_at_once_one_is_told_that_it_is_taken() {
    for conditions in [true, false] {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path();
        let samples = ["one", "two"].map(|name| Sample::image(name, 100));
        samples.iter().zip(["one", "two"]).for_each(|(sample, name)| drop(sample.to_layout(&dir.join(name))));
        let registry = meeting(conditions);
        let raced = race(dir, &registry);
        let stays = registry.memory.tag("r", "new").unwrap();
        for (ran, sample) in raced.iter().zip(&samples) {
            let won = sample.root().digest == stays;
            assert_eq!(ran.code, i32::from(!won), "conditions {conditions}: {}", ran.stderr);
            if !won {
                assert!(
                    ran.stderr.contains(&format!("tag `new` of docker://{}/r already names {stays}", registry.server.host()))
                );
            }
        }
        let asked = registry.memory.log().iter().filter(|request| request.header("if-none-match") == Some("*")).count();
        assert_eq!(asked, 2);
        // The same once more is no conflict, and another tag none either.
        let won = if samples[0].root().digest == stays { "oci:one" } else { "oci:two" };
        done(dir, &["push", "--no-clobber", won, &format!("{}/r:new", registry.server.host())]);
        done(dir, &["push", "--no-clobber", won, &format!("{}/r:other", registry.server.host())]);
        let lost = if won == "oci:one" { "oci:two" } else { "oci:one" };
        assert_eq!(run(dir, &["push", "--no-clobber", lost, &format!("{}/r:new", registry.server.host())]).code, 1);
    }
}

#[test]
fn a_registry_that_refuses_conditions_as_such_is_asked_without() {
    let registry = MemoryRegistry::scripted(Quirks::default(), |request, _| {
        request.header("if-none-match").is_some().then(|| Reply::new(501).into())
    });
    let temp = tempfile::tempdir().unwrap();
    Sample::image("plain", 100).to_layout(&temp.path().join("i"));
    done(temp.path(), &["push", "--no-clobber", "oci:i", &format!("{}/r:new", registry.server.host())]);
    assert!(registry.memory.tag("r", "new").is_some());
}

#[test]
fn a_list_that_another_client_has_extended_meanwhile_is_read_again() {
    let sample = Sample::image("list", 100).with_referrer();
    let tag = sample.root().digest.to_string().replace(':', "-");
    let path = format!("/v2/r/manifests/{tag}");
    let (wanted, tries) = (path.clone(), Arc::new(AtomicUsize::new(0)));
    let seen = tries.clone();
    let quirks = Quirks { conditions: true, no_referrers: true, ..Quirks::default() };
    let other = json!({"mediaType": media_type::MANIFEST, "digest": Digest::of(b"other"), "size": 5});
    let list = json!({"schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": [other]});
    let registry = MemoryRegistry::scripted(quirks, move |request, memory| {
        let headers = BTreeMap::from([("content-type".to_owned(), media_type::INDEX.to_owned())]);
        if request.is("PUT", &wanted) && seen.fetch_add(1, Ordering::SeqCst) == 0 {
            memory.honest(&Request { headers, body: list.to_string().into_bytes(), ..request.clone() });
        }
        None
    });
    push(&client(), &sample, &registry.repository("r")).unwrap();
    assert_eq!(tries.load(Ordering::SeqCst), 2);
    let log = registry.memory.log();
    let writes: Vec<&Request> = log.iter().filter(|request| request.is("PUT", &path)).collect();
    assert_eq!(writes[0].header("if-none-match"), Some("*"));
    assert!(writes[1].header("if-match").is_some());
}
