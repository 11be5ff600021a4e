//! Two services by their descriptors: what was sent by the one and is read by the other.

use std::collections::BTreeMap;

use prost_reflect::{DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};

use crate::hosts::cosmo::process::Api;
use plugin_oci::finding::Finding;

/// Compiles a proto.
pub fn pool(bytes: &[u8]) -> Result<DescriptorPool, String> {
    Api::of_source("service.proto", bytes).map(|api| api.pool().clone()).map_err(|error| error.to_string())
}

/// Adds what breaks.
pub fn compare(old: &DescriptorPool, new: &DescriptorPool, found: &mut Vec<Finding>) {
    let mut breaks = Breaks(found);
    for service in old.services().filter(|service| is_own(service.full_name())) {
        let Some(now) = new.get_service_by_name(service.full_name()) else {
            breaks.add(service.full_name(), "service-removed", "the service is gone".to_owned());
            continue;
        };
        for rpc in service.methods() {
            let Some(other) = now.methods().find(|other| other.name() == rpc.name()) else {
                breaks.add(rpc.full_name(), "rpc-removed", "the rpc is gone".to_owned());
                continue;
            };
            for (what, old, new) in [("request", rpc.input(), other.input()), ("response", rpc.output(), other.output())] {
                if old.full_name() != new.full_name() {
                    let message = format!("its {what} was `{}` and is `{}`", old.full_name(), new.full_name());
                    breaks.add(rpc.full_name(), "rpc-changed", message);
                }
            }
        }
    }
    for message in old.all_messages().filter(|message| is_own(message.full_name()) && !message.is_map_entry()) {
        match new.get_message_by_name(message.full_name()) {
            None => breaks.add(message.full_name(), "message-removed", "the message is gone".to_owned()),
            Some(now) => breaks.message(&message, &now),
        }
    }
    for old in old.all_enums().filter(|old| is_own(old.full_name())) {
        match new.get_enum_by_name(old.full_name()) {
            None => breaks.add(old.full_name(), "enum-removed", "the enum is gone".to_owned()),
            Some(now) => breaks.values(&old, &now),
        }
    }
}

/// Not one of those that every proto may import.
fn is_own(name: &str) -> bool {
    !name.starts_with("google.protobuf.")
}

struct Breaks<'f>(&'f mut Vec<Finding>);

/// The numbers in a message or an enum, by who has them.
type Numbers = BTreeMap<String, i64>;

impl Breaks<'_> {
    fn add(&mut self, place: &str, rule: &'static str, message: String) {
        self.0.push(Finding::new(format!("service.proto: {place}"), rule, message));
    }

    fn message(&mut self, old: &MessageDescriptor, new: &MessageDescriptor) {
        let numbers = |message: &MessageDescriptor| -> Numbers {
            message.fields().map(|field| (field.name().to_owned(), field.number().into())).collect()
        };
        let is_reserved = |number| new.reserved_ranges().any(|range| u32::try_from(number).is_ok_and(|n| range.contains(&n)));
        self.numbers(old.full_name(), ("field", "field-removed"), &[numbers(old), numbers(new)], is_reserved);
        for field in old.fields() {
            let Some(other) = new.get_field_by_name(field.name()) else { continue };
            let (one, two) = (spelt(&field), spelt(&other));
            if one != two {
                let rule = if bare(&field) == bare(&other) { "nullability-changed" } else { "type-changed" };
                self.add(field.full_name(), rule, format!("it was `{one}` and is `{two}`"));
            }
        }
    }

    fn values(&mut self, old: &EnumDescriptor, new: &EnumDescriptor) {
        let numbers = |values: &EnumDescriptor| -> Numbers {
            values.values().map(|value| (value.name().to_owned(), value.number().into())).collect()
        };
        let is_reserved = |number| new.reserved_ranges().any(|range| i32::try_from(number).is_ok_and(|n| range.contains(&n)));
        self.numbers(old.full_name(), ("value", "value-removed"), &[numbers(old), numbers(new)], is_reserved);
    }

    fn numbers(
        &mut self,
        parent: &str,
        (what, removed): (&str, &'static str),
        [old, new]: &[Numbers; 2],
        is_reserved: impl Fn(i64) -> bool,
    ) {
        let taken = |number: i64| new.iter().find(|(_, other)| **other == number).map(|(name, _)| name);
        for (name, number) in old {
            let place = format!("{parent}.{name}");
            match new.get(name) {
                None => self.add(&place, removed, format!("the {what} with number {number} is gone")),
                Some(now) if now != number => {
                    self.add(&place, "number-changed", format!("its number was {number} and is {now}"));
                }
                Some(_) => continue,
            }
            match taken(*number) {
                Some(other) => {
                    let place = format!("{parent}.{other}");
                    self.add(&place, "number-reused", format!("its number {number} was that of the {what} `{name}`"));
                }
                None if !is_reserved(*number) => {
                    self.add(&place, "number-not-reserved", format!("its number {number} is free for another {what}"));
                }
                None => {}
            }
        }
    }
}

/// A field's type as a proto says it.
fn spelt(field: &FieldDescriptor) -> String {
    let label = if field.is_list() {
        "repeated "
    } else if field.supports_presence() && !matches!(field.kind(), Kind::Message(_)) && field.containing_oneof().is_some() {
        "optional "
    } else {
        ""
    };
    format!("{label}{}", kind(&field.kind()))
}

/// The same without what only says that there may be none: `optional`, and the wrappers of `google/protobuf/wrappers.proto`.
fn bare(field: &FieldDescriptor) -> String {
    let kind = kind(&field.kind());
    let wrapped = kind.strip_prefix("google.protobuf.").and_then(|name| name.strip_suffix("Value")).map(str::to_lowercase);
    let label = if field.is_list() { "repeated " } else { "" };
    format!("{label}{}", wrapped.unwrap_or(kind))
}

fn kind(kind: &Kind) -> String {
    match kind {
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(descriptor) => descriptor.full_name().to_owned(),
        scalar => format!("{scalar:?}").to_lowercase(),
    }
}
