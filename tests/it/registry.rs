//! Registries: two real ones, and an in-process one for what real ones do not do.

mod conditions;
mod content;
mod evil;
mod fallback;
mod honest;
mod optional;
mod proxied;
mod real;
mod referrers;
mod trust;

use std::time::Duration;

use plugin_oci::environment::Environment;
use plugin_oci::failure::Error;
use plugin_oci::progress::{Progress, Silent};
use plugin_oci::stores::copy::{self, CopyOptions, CopyReport};
use plugin_oci::stores::layout::{Layout, LayoutWriter, Obsolete};
use plugin_oci::stores::registry::{Client, Credential, Repository, Settings, Timeouts};
use plugin_oci::stores::{Selector, Source};
use plugin_oci::values::reference::RegistryReference;

use crate::support::sample::Sample;

/// Flags with short pauses, so that tests of second tries take no time.
fn settings() -> Settings {
    let timeouts = Timeouts {
        pause: Duration::from_millis(1),
        stall: Duration::from_millis(400),
        answer: Duration::from_secs(20),
        ..Timeouts::default()
    };
    Settings { timeouts, ..Settings::default() }
}

fn client_with(progress: &dyn Progress) -> Client<'_> {
    Client::new(settings(), &Environment::default(), progress)
}

fn client() -> Client<'static> {
    client_with(&Silent)
}

fn password(user: &str, password: &str) -> Credential {
    Credential::Basic { user: user.to_owned(), password: password.to_owned() }
}

fn tagged(tag: &str) -> CopyOptions {
    CopyOptions { tags: vec![tag.parse().unwrap()], ..CopyOptions::default() }
}

fn push(client: &Client<'_>, sample: &Sample, to: &RegistryReference) -> Result<CopyReport, Error> {
    let sink = Repository::new(client, to).writing();
    Ok(copy::copy(sample, &sink, sample.root(), &tagged("1.0"), &Silent)?)
}

/// Pulls the tag `1.0` into a fresh layout.
fn pull(client: &Client<'_>, from: &RegistryReference) -> Result<(tempfile::TempDir, Layout), Error> {
    let source = Repository::new(client, from);
    let root = source.resolve(&Selector::Tag("1.0".to_owned()))?;
    let dir = tempfile::tempdir().unwrap();
    let writer = LayoutWriter::new(dir.path(), Obsolete::Keep, &Silent)?;
    copy::copy(&source, &writer, &root, &tagged("1.0"), &Silent)?;
    let layout = Layout::open(dir.path())?;
    Ok((dir, layout))
}
