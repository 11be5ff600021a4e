//! Which errors of a store are findings, and by which rule.

use std::error::Error as _;

use crate::finding::Finding;
use crate::stores::{Mismatch, StoreError};

/// Sorts an error of a store: what is wrong with bytes is a finding, what is wrong with the world is not.
pub fn finding_of(object: &str, error: &StoreError) -> Option<Finding> {
    let rule = match error {
        StoreError::Document { source, .. } => document_rule(source),
        StoreError::NotALayout { .. } => "layout",
        StoreError::DuplicateTag { .. } => "duplicate-tag",
        StoreError::MissingBlob { .. } => "missing-blob",
        StoreError::Corrupt { source: Mismatch::Digest { .. }, .. } => "digest-mismatch",
        StoreError::Corrupt { .. } => "size-mismatch",
        StoreError::TooLarge { .. } => "too-large",
        StoreError::TooDeep { .. } => "nesting",
        StoreError::NotAFile { .. } => "blob-type",
        StoreError::File(error) if error.source.kind() == std::io::ErrorKind::NotFound => "missing-file",
        _ => return None,
    };
    Some(Finding::new(object, rule, text_of(error)))
}

fn document_rule(error: &crate::documents::DocumentError) -> &'static str {
    use crate::documents::DocumentError as Wrong;
    match error {
        Wrong::Json(error) if error.is_duplicate_key() => "duplicate-key",
        Wrong::Json(_) => "json",
        Wrong::Shape { .. } | Wrong::SchemaVersion(_) | Wrong::NotAManifest(_) => "document-shape",
        Wrong::Digest(_) => "digest-grammar",
        Wrong::MediaTypeMismatch { .. } => "media-type",
        Wrong::Ambiguous { .. } | Wrong::Lookalike { .. } => "ambiguous-document",
        Wrong::RootfsType(_) => "rootfs-type",
        Wrong::WrongData(_) => "wrong-data",
    }
}

/// An error with its causes on one line.
pub fn text_of(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = cause.source();
    }
    text
}
