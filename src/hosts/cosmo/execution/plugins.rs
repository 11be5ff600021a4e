//! The plugins of an execution configuration: where each is named, and with which contract it was composed.
//!
//! The configuration is the JSON form of `wg.cosmo.node.v1.RouterConfig` (`proto/wg/cosmo/node/v1/node.proto` of
//! wundergraph/cosmo). A plugin stands at `engineConfig.datasourceConfigurations[].customGraphql.grpc.plugin`, and the same way
//! below each of `featureFlagConfigs.configByFeatureFlagName`. As JSON readers of protobuf do, names are taken in either
//! spelling, `imageReference` and `image_reference`, and `null` is the same as nothing.

use std::io::Read;

use super::mapping;
use super::scan::{ScanError, Scanner, Span};
use plugin_oci::values::digest::Digest;

/// The most bytes of one text that is compared: what a contract's file may have.
const TEXT_LIMIT: usize = 16 << 20;

/// One place where a plugin is named.
#[derive(Clone, Debug, Default)]
pub struct PluginEntry {
    /// The way to it: `engineConfig.datasourceConfigurations[2]`.
    pub at: String,
    /// The plugin's name.
    pub name: String,
    /// The whole object.
    pub plugin: Span,
    /// The version and where it lies.
    pub version: Option<(Span, String)>,
    /// The reference to an image and where it lies.
    pub reference: Option<(Span, ImageReference)>,
    /// Where the last member ends, and the white space before it.
    pub last: Option<(u64, Vec<u8>)>,
    /// What it was composed with.
    pub composed: Composed,
}

/// A reference as the router takes it: `<registry>/<repository>:<reference>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageReference {
    /// With `@sha256` at its end where the reference is a digest.
    pub repository: String,
    /// A tag, or the digits of a digest.
    pub reference: String,
}

/// Digests of what a data source was composed with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Composed {
    /// `federation.serviceSdl`.
    pub schema: Option<Digest>,
    /// `grpc.protoSchema`.
    pub proto: Option<Digest>,
    /// `grpc.mapping`, in the form of [`mapping::normal`].
    pub mapping: Option<Digest>,
}

/// The plugins of a configuration, in the order of its text.
pub fn places(input: impl Read) -> Result<Vec<PluginEntry>, ScanError> {
    let mut scanner = Scanner::new(input);
    let mut found = Vec::new();
    if scanner.kind()? != Some(b'{') {
        return Err(ScanError::Wrong { what: "it is no object", at: scanner.position() });
    }
    scanner.object(&mut |scanner, member| match camel(&member.key).as_str() {
        "engineConfig" => engine(scanner, "engineConfig", &mut found),
        "featureFlagConfigs" => flags(scanner, &mut found),
        _ => scanner.skip(),
    })?;
    scanner.end()?;
    Ok(found)
}

fn flags<R: Read>(scanner: &mut Scanner<R>, found: &mut Vec<PluginEntry>) -> Result<(), ScanError> {
    let of_flag = &mut |scanner: &mut Scanner<R>, flag: &super::scan::Member| {
        let at = format!("featureFlagConfigs.configByFeatureFlagName[{:?}].engineConfig", flag.key);
        scanner.object(&mut |scanner, member| match camel(&member.key).as_str() {
            "engineConfig" => engine(scanner, &at, found),
            _ => scanner.skip(),
        })?;
        Ok(())
    };
    scanner.object(&mut |scanner, member| match camel(&member.key).as_str() {
        "configByFeatureFlagName" => scanner.object(of_flag).map(drop),
        _ => scanner.skip(),
    })?;
    Ok(())
}

fn engine<R: Read>(scanner: &mut Scanner<R>, at: &str, found: &mut Vec<PluginEntry>) -> Result<(), ScanError> {
    scanner.object(&mut |scanner, member| {
        if camel(&member.key) != "datasourceConfigurations" {
            return scanner.skip();
        }
        let mut position = 0;
        scanner.array(&mut |scanner| {
            let at = format!("{at}.datasourceConfigurations[{position}]");
            position += 1;
            scanner.object(&mut |scanner, member| match camel(&member.key).as_str() {
                "customGraphql" => data_source(scanner, &at, found),
                _ => scanner.skip(),
            })?;
            Ok(())
        })?;
        Ok(())
    })?;
    Ok(())
}

fn data_source<R: Read>(scanner: &mut Scanner<R>, at: &str, found: &mut Vec<PluginEntry>) -> Result<(), ScanError> {
    let (mut place, mut composed, mut is_plugin) = (PluginEntry::default(), Composed::default(), false);
    scanner.object(&mut |scanner, member| match camel(&member.key).as_str() {
        "federation" => scanner
            .object(&mut |scanner, member| match camel(&member.key).as_str() {
                "serviceSdl" => text(scanner, &mut composed.schema),
                _ => scanner.skip(),
            })
            .map(drop),
        "grpc" => scanner
            .object(&mut |scanner, member| match camel(&member.key).as_str() {
                "protoSchema" => text(scanner, &mut composed.proto),
                "mapping" => {
                    let (_, raw) = scanner.raw(TEXT_LIMIT)?;
                    composed.mapping = mapping::normal(&raw);
                    Ok(())
                }
                "plugin" if scanner.kind()? == Some(b'{') => {
                    is_plugin = true;
                    plugin(scanner, &mut place)
                }
                _ => scanner.skip(),
            })
            .map(drop),
        _ => scanner.skip(),
    })?;
    if is_plugin {
        found.push(PluginEntry { at: at.to_owned(), composed, ..place });
    }
    Ok(())
}

fn plugin<R: Read>(scanner: &mut Scanner<R>, place: &mut PluginEntry) -> Result<(), ScanError> {
    let mut last = None;
    let span = scanner.object(&mut |scanner, member| {
        match camel(&member.key).as_str() {
            "name" => place.name = scanner.text_or_skip(TEXT_LIMIT)?.1.unwrap_or_default(),
            "version" => {
                let (span, version) = scanner.text_or_skip(TEXT_LIMIT)?;
                place.version = Some((span, version.unwrap_or_default()));
            }
            "imageReference" => {
                let mut reference = ImageReference::default();
                let span = scanner.object(&mut |scanner, member| {
                    match member.key.as_str() {
                        "repository" => reference.repository = scanner.text_or_skip(TEXT_LIMIT)?.1.unwrap_or_default(),
                        "reference" => reference.reference = scanner.text_or_skip(TEXT_LIMIT)?.1.unwrap_or_default(),
                        _ => scanner.skip()?,
                    }
                    Ok(())
                })?;
                place.reference = Some((span, reference));
            }
            _ => scanner.skip()?,
        }
        last = Some((scanner.position(), member.gap.clone()));
        Ok(())
    })?;
    place.last = last;
    place.plugin = span;
    Ok(())
}

fn text<R: Read>(scanner: &mut Scanner<R>, digest: &mut Option<Digest>) -> Result<(), ScanError> {
    *digest = scanner.text_or_skip(TEXT_LIMIT)?.1.map(|text| Digest::of(text.as_bytes()));
    Ok(())
}

/// A member's name as protobuf's JSON writes it.
fn camel(name: &str) -> String {
    mapping::camel(name)
}
