//! What an image is built on again.

use super::{Again, Findings, RebuildError, differs};
use crate::build::manifest::bases::Bases;
use crate::build::manifest::config::Base;
use crate::build::plan::Plan;
use plugin_oci::documents::image::BASE_NAME;
use plugin_oci::failure::Error;
use plugin_oci::stores::Selector;
use plugin_oci::stores::open::Stores;
use plugin_oci::values::reference::{Reference, RegistryReference};

impl Again<'_> {
    /// The base: a local one lies where the sources say, one that was given on the command line must be given again. A digest
    /// that sources or checker name is the one; where they name a tag, what it named then is taken from the image, and held
    /// against it unless it still does. Never another repository, or an image could have anything fetched.
    pub(super) fn base(&self, planned: &Plan, findings: &mut Findings) -> Result<Option<Base>, Error> {
        let annotations = &self.group[0].annotations;
        let base = match &planned.images[0].base {
            Some(Bases::All(base)) => Some(base),
            Some(Bases::Each(bases)) => {
                let each = bases.iter().map(|(platform, base)| (platform.to_string(), base.to_string()));
                return Ok(Some(Base::Each(each.collect())));
            }
            None => None,
        };
        match (base, annotations.get(BASE_NAME), self.base_digest) {
            (Some(Reference::Registry(base)), Some(name), recorded) => {
                let is_ours = name.strip_prefix(&base.name()).is_some_and(|tag| tag.is_empty() || tag.starts_with(':'));
                if !is_ours {
                    return Err(RebuildError::UnknownBase { name: name.clone() }.into());
                }
                let own = base.digest.clone().map_or_else(|| self.named_now(base), |digest| digest.to_string());
                if recorded.is_none_or(|recorded| recorded != own) {
                    let asked = recorded.unwrap_or("no digest");
                    findings.differences.push(differs::difference("base", asked.to_owned(), own));
                }
                let pinned = base.digest.is_some();
                Ok(Some(Base::All(match recorded.filter(|_| !pinned) {
                    Some(digest) => format!("docker://{name}@{digest}"),
                    None => Reference::Registry(base.clone()).to_string(),
                })))
            }
            (Some(base), ..) => Ok(Some(Base::All(base.to_string()))),
            (None, None, _) => Ok(None),
            (None, Some(name), _) => Err(RebuildError::UnknownBase { name: name.clone() }.into()),
        }
    }

    /// What a base by tag means now, or that it is not known.
    fn named_now(&self, base: &RegistryReference) -> String {
        let unknown = || format!("`{base}`, which is named by tag");
        if self.options.flags.offline {
            return unknown();
        }
        let stores = Stores::new(self.options.registries.clone(), self.here, self.progress);
        let source = stores.source(&Reference::Registry(base.clone()));
        let root = source.and_then(|source| source.resolve(&Selector::of(base.tag.as_deref(), None)));
        root.map_or_else(|_| unknown(), |root| root.digest.to_string())
    }
}
