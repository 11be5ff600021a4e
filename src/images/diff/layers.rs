//! Layers: which is to be compared with which, and whether only their compression differs.
//!
//! A layer is known by its diff id, or by its digest where there is no configuration. What both images have stays in
//! place; what lies between is paired in order, and those pairs are looked into.

use serde_json::Value;

use super::{Comparison, Difference, below, short};
use plugin_oci::documents::{Descriptor, Manifest};
use plugin_oci::failure::Error;
use plugin_oci::values::compression::Compression;
use plugin_oci::values::digest::Digest;

/// A layer of one side.
#[derive(Clone, Copy)]
pub(super) struct Layer<'a> {
    pub(super) number: usize,
    pub(super) descriptor: &'a Descriptor,
    pub(super) diff_id: Option<&'a Digest>,
    raw: Option<&'a Value>,
}

impl Layer<'_> {
    fn id(&self) -> &Digest {
        self.diff_id.unwrap_or(&self.descriptor.digest)
    }

    fn text(&self) -> String {
        format!("layer {} {}", self.number, short(self.id()))
    }
}

impl Comparison<'_> {
    pub(super) fn layers(
        &mut self,
        manifests: [&Manifest; 2],
        diff_ids: &[Vec<Digest>; 2],
        raw: &[Vec<Value>; 2],
        chain: &str,
    ) -> Result<(), Error> {
        let side = |side: usize| -> Vec<Layer<'_>> {
            // Without as many diff ids as layers, the configuration cannot be trusted to number them.
            let known = diff_ids.iter().zip(manifests).all(|(ids, manifest)| ids.len() == manifest.layers.len());
            let describe = |(index, descriptor)| Layer {
                number: index + 1,
                descriptor,
                diff_id: if known { diff_ids[side].get(index) } else { None },
                raw: raw[side].get(index),
            };
            manifests[side].layers.iter().enumerate().map(describe).collect()
        };
        let [first, second] = [side(0), side(1)];
        if self.reordered([&first, &second], chain) {
            return Ok(());
        }
        let mut gap: [Vec<Layer<'_>>; 2] = [Vec::new(), Vec::new()];
        for step in aligned(&first, &second) {
            match step {
                [Some(a), Some(b)] => {
                    self.pairs(std::mem::take(&mut gap), chain)?;
                    self.same_contents([a, b], chain);
                }
                [a, b] => {
                    gap[0].extend(a);
                    gap[1].extend(b);
                }
            }
        }
        self.pairs(gap, chain)
    }

    /// The same layers in another order.
    fn reordered(&mut self, layers: [&[Layer<'_>]; 2], chain: &str) -> bool {
        let ids = layers.map(|layers| layers.iter().map(Layer::id).collect::<Vec<_>>());
        let sorted = ids.clone().map(|mut ids| {
            ids.sort();
            ids
        });
        if ids[0] == ids[1] || sorted[0] != sorted[1] {
            return false;
        }
        let texts = ids.map(|ids| ids.into_iter().map(short).collect::<Vec<_>>().join(", "));
        self.content(Difference::changed(below(chain, "layers"), "layer-order", "", texts));
        true
    }

    fn same_contents(&mut self, layers: [Layer<'_>; 2], chain: &str) {
        let chain = below(chain, &format!("layer {}", layers[1].number));
        let at = layers.map(|layer| layer.descriptor);
        let types = layers.map(|layer| layer.descriptor.media_type.clone());
        let said = layers.map(|layer| layer.raw.map(said_beside).unwrap_or_default());
        if said[0] != said[1] {
            self.descriptors(at, &chain);
        }
        if at[0].digest == at[1].digest {
            if types[0] != types[1] {
                self.description(Difference::changed(chain, "media-type", "", types));
            }
            return;
        }
        let words =
            layers.map(|layer| Compression::of_media_type(&layer.descriptor.media_type).map_or("unknown", Compression::as_str));
        let how = if words[0] == words[1] {
            format!("both {}, by another level or program ({} -> {} bytes)", words[0], at[0].size, at[1].size)
        } else {
            format!("{} -> {}", words[0], words[1])
        };
        let message = format!("same contents (diff id {}), other compression: {how}", short(layers[0].id()));
        self.verdict = self.verdict.max(super::Verdict::OtherCompression);
        let [first, second] = words.map(|word| Some(word.to_owned()));
        self.push(Difference { object: chain, rule: "compression", message, first, second });
    }

    /// Layers between two that agree: looked into pair by pair; what has no partner is told.
    fn pairs(&mut self, gap: [Vec<Layer<'_>>; 2], chain: &str) -> Result<(), Error> {
        let [first, second] = gap;
        let both = first.len().min(second.len());
        for (a, b) in first.iter().zip(&second) {
            let before = self.count();
            let chain = below(chain, &format!("layer {}", b.number));
            self.entries([*a, *b], &chain)?;
            if self.count() == before {
                let texts = [short(a.id()), short(b.id())];
                self.content(Difference::changed(chain, "tar-bytes", "the entries agree, the archives do not:", texts));
            }
        }
        for (side, rest) in [&first[both..], &second[both..]].into_iter().enumerate() {
            for layer in rest {
                let text = format!("{}, {} bytes", layer.text(), layer.descriptor.size);
                self.content(Difference::only(below(chain, "layers"), "layer", side, text));
            }
        }
        Ok(())
    }
}

/// A raw descriptor without what is derived from the content.
fn said_beside(descriptor: &Value) -> Value {
    let mut descriptor = descriptor.clone();
    if let Value::Object(map) = &mut descriptor {
        for derived in ["digest", "size", "mediaType"] {
            map.remove(derived);
        }
    }
    descriptor
}

/// The most comparisons of layers by pairs; beyond, layers are paired by number.
const MOST_PAIRS: usize = 1 << 20;

/// The longest common subsequence by id: pairs that agree, and in between what only one side has.
fn aligned<'a>(first: &[Layer<'a>], second: &[Layer<'a>]) -> Vec<[Option<Layer<'a>>; 2]> {
    let same = |a: usize, b: usize| first[a].id() == second[b].id();
    if first.len().saturating_mul(second.len()) > MOST_PAIRS {
        let longer = first.len().max(second.len());
        return (0..longer).map(|number| [first.get(number).copied(), second.get(number).copied()]).flat_map(split).collect();
    }
    let mut lengths = vec![vec![0_usize; second.len() + 1]; first.len() + 1];
    for a in (0..first.len()).rev() {
        for b in (0..second.len()).rev() {
            lengths[a][b] = if same(a, b) { lengths[a + 1][b + 1] + 1 } else { lengths[a + 1][b].max(lengths[a][b + 1]) };
        }
    }
    let (mut a, mut b, mut steps) = (0, 0, Vec::new());
    while a < first.len() || b < second.len() {
        if a < first.len() && b < second.len() && same(a, b) {
            steps.push([Some(first[a]), Some(second[b])]);
            (a, b) = (a + 1, b + 1);
        } else if b == second.len() || a < first.len() && lengths[a + 1][b] >= lengths[a][b + 1] {
            steps.push([Some(first[a]), None]);
            a += 1;
        } else {
            steps.push([None, Some(second[b])]);
            b += 1;
        }
    }
    steps
}

/// A pair by number, taken apart unless it agrees.
fn split(pair: [Option<Layer<'_>>; 2]) -> Vec<[Option<Layer<'_>>; 2]> {
    match pair {
        [Some(a), Some(b)] if a.id() != b.id() => vec![[Some(a), None], [None, Some(b)]],
        pair => vec![pair],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_layers_are_paired_and_the_rest_lies_between() {
        let descriptors: Vec<Descriptor> = ["a", "b", "c", "d"].map(|text| Descriptor::of("x/y", text.as_bytes())).to_vec();
        let layers = |picks: &[usize]| -> Vec<Layer<'_>> {
            let layer =
                |(number, pick): (usize, &usize)| Layer { number, descriptor: &descriptors[*pick], diff_id: None, raw: None };
            picks.iter().enumerate().map(layer).collect()
        };
        let shape: Vec<String> = aligned(&layers(&[0, 1, 3]), &layers(&[0, 2, 3]))
            .iter()
            .map(|step| step.iter().map(|side| if side.is_some() { 'x' } else { '-' }).collect())
            .collect();
        assert_eq!(shape, ["xx", "x-", "-x", "xx"]);
    }
}
