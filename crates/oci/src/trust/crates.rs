//! Which crates an image may be made of: `[bans]` and `[licenses]` of cargo-deny, held against an SBOM.
//!
//! Every crate that the SBOM names counts, also those that only helped to build. What cargo-deny says of a whole graph (wrappers, trees
//! that are skipped) cannot be seen in an SBOM: what it would excuse is a finding here.

use std::collections::{BTreeMap, BTreeSet};

use semver::{Version, VersionReq};
use serde::Deserialize;
use serde_json::Value;
use spdx::{Expression, Licensee, ParseMode};

use super::error::PolicyError;
use crate::finding::Finding;
use crate::values::text;

/// `[bans]`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Bans {
    #[serde(default)]
    deny: Vec<Spec>,
    #[serde(default)]
    allow: Vec<Spec>,
    #[serde(default)]
    skip: Vec<Spec>,
    multiple_versions: Option<Level>,
}

/// How much something matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Deny,
    Warn,
    Allow,
}

/// `[licenses]`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Licenses {
    #[serde(default)]
    allow: Vec<String>,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

#[derive(Debug, Deserialize)]
struct Exception {
    #[serde(flatten)]
    spec: Table,
    allow: Vec<String>,
}

/// A crate, in one of the ways in which cargo-deny has it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Spec {
    Word(String),
    Table(Table),
}

#[derive(Debug, Deserialize)]
struct Table {
    #[serde(rename = "crate", alias = "name")]
    name: String,
    version: Option<String>,
    reason: Option<String>,
}

/// Rules for crates.
#[derive(Clone, Debug)]
pub struct CrateRules {
    deny: Vec<Rule>,
    allow: Vec<Rule>,
    skip: Vec<Rule>,
    one_version: bool,
    licences: Option<Vec<Licensee>>,
    exceptions: Vec<(Rule, Vec<Licensee>)>,
}

#[derive(Clone, Debug)]
struct Rule {
    name: String,
    versions: VersionReq,
    reason: Option<String>,
}

impl Rule {
    fn of(spec: &Spec) -> Result<Self, PolicyError> {
        let (word, version, reason) = match spec {
            Spec::Word(word) => (word, None, None),
            Spec::Table(table) => (&table.name, table.version.as_deref(), table.reason.clone()),
        };
        // `name`, `name@1.0`, `name:^1`, `name = "=1.0"`: cargo-deny's package specs; a bare version is that one.
        let (name, stated) =
            word.split_once(['@', ':', '=']).map_or((word.as_str(), None), |(name, version)| (name, Some(version)));
        let stated = stated.map(|stated| stated.trim_matches([' ', '=', '"']));
        let exact =
            stated.map(
                |stated| if stated.starts_with(|c: char| c.is_ascii_digit()) { format!("={stated}") } else { stated.to_owned() },
            );
        let requirement = exact.or(version.map(str::to_owned)).unwrap_or_else(|| "*".to_owned());
        let versions = VersionReq::parse(&requirement).map_err(|error| PolicyError::Shape(format!("`{word}`: {error}")))?;
        Ok(Self { name: name.trim().to_owned(), versions, reason })
    }

    fn covers(&self, found: &Crate) -> bool {
        self.name == found.name
            // A requirement says nothing of versions before a release, and a ban is meant for them too.
            && (self.versions.matches(&found.version)
                || self.versions.matches(&Version::new(found.version.major, found.version.minor, found.version.patch)))
    }
}

/// A crate that an SBOM names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Crate {
    name: String,
    version: Version,
    licence: Option<String>,
}

impl CrateRules {
    /// Puts together what the tables say.
    pub fn new(bans: Option<Bans>, licenses: Option<Licenses>) -> Result<Self, PolicyError> {
        let bans = bans.unwrap_or_default();
        let rules = |specs: &[Spec]| specs.iter().map(Rule::of).collect::<Result<Vec<_>, _>>();
        let licensees = |words: &[String]| {
            let parse = |word: &String| {
                Licensee::parse(word).map_err(|error| PolicyError::Shape(format!("`{word}` is no licence: {}", error.reason)))
            };
            words.iter().map(parse).collect::<Result<Vec<_>, _>>()
        };
        let mut exceptions = Vec::new();
        for exception in licenses.iter().flat_map(|licenses| &licenses.exceptions) {
            let Table { name, version, .. } = &exception.spec;
            let spec = Spec::Table(Table { name: name.clone(), version: version.clone(), reason: None });
            exceptions.push((Rule::of(&spec)?, licensees(&exception.allow)?));
        }
        Ok(Self {
            deny: rules(&bans.deny)?,
            allow: rules(&bans.allow)?,
            skip: rules(&bans.skip)?,
            one_version: bans.multiple_versions == Some(Level::Deny),
            licences: licenses.map(|licenses| licensees(&licenses.allow)).transpose()?,
            exceptions,
        })
    }

    /// What breaks the rules in an SBOM.
    pub fn findings(&self, sbom: &Value) -> Vec<Finding> {
        let crates = match crates(sbom) {
            Ok(crates) => crates,
            Err(finding) => return vec![finding],
        };
        let mut findings = Vec::new();
        let mut versions: BTreeMap<&str, BTreeSet<&Version>> = BTreeMap::new();
        for found in &crates {
            let object = format!("{} {}", found.name, found.version);
            if let Some(rule) = self.deny.iter().find(|rule| rule.covers(found)) {
                let why = rule.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
                findings.push(Finding::new(&object, "crate-banned", format!("it is banned{why}")));
            } else if !self.allow.is_empty() && !self.allow.iter().any(|rule| rule.covers(found)) {
                findings.push(Finding::new(&object, "crate-banned", "it is not among the crates that are allowed"));
            }
            if let Some(message) = self.licence_fault(found) {
                findings.push(Finding::new(&object, "crate-licence", message));
            }
            if !self.skip.iter().any(|rule| rule.covers(found)) {
                versions.entry(&found.name).or_default().insert(&found.version);
            }
        }
        for (name, versions) in versions.into_iter().filter(|(_, versions)| self.one_version && versions.len() > 1) {
            let list: Vec<String> = versions.into_iter().map(ToString::to_string).collect();
            findings.push(Finding::new(name, "crate-versions", format!("it is there in {}", list.join(" and "))));
        }
        findings
    }

    fn licence_fault(&self, found: &Crate) -> Option<String> {
        let allowed = self.licences.as_ref()?;
        let Some(licence) = &found.licence else { return Some("the SBOM names no licence of it".to_owned()) };
        let shown = text::name(licence);
        let Ok(expression) = Expression::parse_mode(licence, ParseMode::LAX) else {
            return Some(format!("`{shown}` is no licence expression"));
        };
        let own = self.exceptions.iter().filter(|(rule, _)| rule.covers(found)).flat_map(|(_, allowed)| allowed);
        let all: Vec<&Licensee> = allowed.iter().chain(own).collect();
        let will_do = expression.evaluate(|requirement| all.iter().any(|licensee| licensee.satisfies(requirement)));
        (!will_do).then(|| format!("its licence `{shown}` is not among those that are allowed"))
    }
}

/// The crates of an SBOM of `CycloneDX` or SPDX 2.
fn crates(sbom: &Value) -> Result<BTreeSet<Crate>, Finding> {
    let wrong = |message: String| Finding::new("SBOM", "sbom-malformed", message);
    let (key, name, version) = match (&sbom["bomFormat"], &sbom["spdxVersion"]) {
        (format, _) if format == "CycloneDX" => ("components", "name", "version"),
        (_, version) if version.is_string() => ("packages", "name", "versionInfo"),
        _ => return Err(wrong("it is neither CycloneDX nor SPDX 2".to_owned())),
    };
    let mut found = BTreeSet::new();
    let mut parts: Vec<&Value> = sbom[key].as_array().into_iter().flatten().collect();
    while let Some(part) = parts.pop() {
        // CycloneDX has parts of parts.
        parts.extend(part["components"].as_array().into_iter().flatten());
        let of_references =
            part["externalRefs"].as_array().into_iter().flatten().find_map(|one| one["referenceLocator"].as_str());
        let purl = part["purl"].as_str().or(of_references).unwrap_or_default();
        if !purl.starts_with("pkg:cargo/") {
            continue;
        }
        let name = part[name].as_str().ok_or_else(|| wrong("a crate has no name".to_owned()))?.to_owned();
        let text = part[version].as_str().unwrap_or_default();
        let version = Version::parse(text).map_err(|error| wrong(format!("the version of `{}`: {error}", text::name(&name))))?;
        found.insert(Crate { name, version, licence: licence(part) });
    }
    Ok(found)
}

fn licence(part: &Value) -> Option<String> {
    let declared = ["licenseDeclared", "licenseConcluded"].iter().filter_map(|key| part[*key].as_str());
    let spdx = declared.into_iter().find(|text| !matches!(*text, "NOASSERTION" | "NONE"));
    let listed = part["licenses"].as_array().map(Vec::as_slice).unwrap_or_default();
    let words: Vec<&str> = listed
        .iter()
        .filter_map(|one| {
            one["expression"].as_str().or_else(|| one["license"]["id"].as_str()).or_else(|| one["license"]["name"].as_str())
        })
        .collect();
    spdx.map(str::to_owned).or_else(|| (!words.is_empty()).then(|| words.join(" AND ")))
}
