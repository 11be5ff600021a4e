//! Images of one platform, made of files that a test has at hand.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use plugin_build::hosts::cosmo::contract::Contract;
use plugin_oci::documents::Descriptor;
use plugin_oci::documents::image::{Image, Layer, Settings, index_over};
use plugin_oci::progress::Silent;
use plugin_oci::stores::copy::{CopyOptions, copy};
use plugin_oci::stores::layout::{LayoutWriter, Obsolete};
use plugin_oci::stores::staged::Bundle;
use plugin_oci::values::digest::Digest;
use plugin_oci::values::platform::Platform;

/// What goes into an image.
pub struct Packed {
    /// The annotation with the kind of plugin.
    pub kind: Option<&'static str>,
    /// The configuration, of which platform and annotations are set here.
    pub settings: Settings,
    /// Paths, modes and contents.
    pub files: Vec<(String, u32, Vec<u8>)>,
    /// Links behind them: path, whether it is a symbolic one, and target.
    pub links: Vec<(String, bool, String)>,
    /// The attached contract.
    pub contract: Option<Contract>,
}

impl Packed {
    /// An image that starts `entrypoint`.
    pub fn new(kind: &'static str, entrypoint: &str) -> Self {
        let entrypoint = vec![entrypoint.to_owned()];
        let settings = Settings { platform: Platform::host(), entrypoint, ..defaults() };
        Self { kind: Some(kind), settings, files: Vec::new(), links: Vec::new(), contract: None }
    }

    /// Adds a file; its directories come with it.
    pub fn file(mut self, path: &str, mode: u32, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((path.to_owned(), mode, content.into()));
        self
    }

    /// Writes a layout with the tag `1.0`; how the command line names the image.
    pub fn write(mut self, dir: &Path) -> String {
        let tar = self.tar();
        let descriptor = Descriptor::of("application/vnd.oci.image.layer.v1.tar", &tar);
        let annotations: BTreeMap<String, String> =
            self.kind.iter().map(|kind| ("dev.cargo-plugin-build.kind".to_owned(), (*kind).to_owned())).collect();
        self.settings.annotations = annotations.clone();
        let image = Image::assemble(&self.settings, vec![Layer { diff_id: Digest::of(&tar), descriptor }]).unwrap();
        let images = [image];
        let mut bundle = Bundle::of_index(&index_over(&images, annotations), &images);
        bundle.add_document(tar);
        let root = bundle.root().clone();
        if let Some(contract) = self.contract.take() {
            contract.attach(&root).add_to(&mut bundle);
        }
        let layout: PathBuf = dir.join("layout");
        let sink = LayoutWriter::new(&layout, Obsolete::Keep, &Silent).unwrap();
        let options = CopyOptions { tags: vec!["1.0".parse().unwrap()], ..CopyOptions::default() };
        copy(&bundle, &sink, &root, &options, &Silent).unwrap();
        format!("oci:{}:1.0", layout.display())
    }

    fn tar(&self) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, mode, content) in &self.files {
            let mut header = tar::Header::new_ustar();
            header.set_mode(*mode);
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, path, content.as_slice()).unwrap();
        }
        for (path, is_symbolic, target) in &self.links {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(if *is_symbolic { tar::EntryType::Symlink } else { tar::EntryType::Link });
            header.set_mode(0o777);
            header.set_size(0);
            tar.append_link(&mut header, path, target).unwrap();
        }
        tar.into_inner().unwrap()
    }
}

fn defaults() -> Settings {
    Settings {
        platform: Platform::host(),
        epoch: plugin_oci::values::epoch::Epoch::default(),
        entrypoint: Vec::new(),
        execution: plugin_oci::documents::image::Execution::default(),
        annotations: BTreeMap::new(),
        base: None,
    }
}
