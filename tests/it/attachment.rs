//! Attachments in a layout: written, found and read back.

use std::collections::BTreeMap;

use plugin_build::hosts::cosmo::contract::{Contract, ContractError};
use plugin_oci::attachments::Attachment;
use plugin_oci::documents::{Descriptor, Index, media_type};
use plugin_oci::progress::Silent;
use plugin_oci::stores::copy::{CopyOptions, copy};
use plugin_oci::stores::layout::{Layout, LayoutWriter, Obsolete};
use plugin_oci::stores::staged::Bundle;
use plugin_oci::stores::{Selector, Source as _};

fn index() -> Index {
    let (artifact_type, manifests, subject) = (None, Vec::new(), None);
    Index { media_type: media_type::INDEX.to_owned(), artifact_type, manifests, subject, annotations: BTreeMap::new() }
}

fn contract() -> Contract {
    Contract { schema: b"type Query".to_vec(), proto: b"syntax".to_vec(), mapping: b"{}".to_vec(), lock: Some(b"{}".to_vec()) }
}

fn write(attach: impl FnOnce(&mut Bundle<'_>)) -> (tempfile::TempDir, Layout, Descriptor) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("layout");
    let mut bundle = Bundle::of_index(&index(), &[]);
    attach(&mut bundle);
    let root = bundle.root().clone();
    let sink = LayoutWriter::new(&path, Obsolete::Keep, &Silent).unwrap();
    let options = CopyOptions { tags: vec!["1.0".parse().unwrap()], ..CopyOptions::default() };
    copy(&bundle, &sink, &root, &options, &Silent).unwrap();
    (dir, Layout::open(&path).unwrap(), root)
}

#[test]
fn a_contract_travels_with_its_image_and_reads_back_whole() {
    for lock in [Some(b"{}".to_vec()), None] {
        let contract = Contract { lock, ..contract() };
        let (_dir, layout, root) = write(|bundle| contract.clone().attach(&bundle.root().clone()).add_to(bundle));
        assert_eq!(Contract::of_image(&layout, &root).unwrap(), Some(contract));
        let referrers = layout.referrers(&root.digest).unwrap();
        assert_eq!(referrers[0].artifact_type.as_deref(), Some(Contract::ARTIFACT_TYPE));
        assert_eq!(layout.resolve(&Selector::Only).unwrap().digest, root.digest, "an attachment is no second image");
    }
}

#[test]
fn an_image_without_a_contract_has_none() {
    let (_dir, layout, root) = write(|_| {});
    assert_eq!(Contract::of_image(&layout, &root).unwrap(), None);
    let other = |bundle: &mut Bundle<'_>| Attachment::builder("application/x", &bundle.root().clone()).finish().add_to(bundle);
    let (_dir, layout, root) = write(other);
    assert_eq!(Contract::of_image(&layout, &root).unwrap(), None);
}

#[test]
fn a_contract_that_lacks_a_file_is_named_incomplete() {
    let half = |bundle: &mut Bundle<'_>| {
        let builder = Attachment::builder(Contract::ARTIFACT_TYPE, &bundle.root().clone());
        builder.file("schema.graphql", "application/graphql", Vec::new()).finish().add_to(bundle);
    };
    let (_dir, layout, root) = write(half);
    let error = Contract::of_image(&layout, &root).unwrap_err();
    assert!(matches!(error, ContractError::Incomplete { title: "service.proto", .. }), "{error}");
}
