//! What a proto says about the parts of a schema, looked for as the router does, by the names of a mapping.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::{DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, ServiceDescriptor};

use super::names::{Call, Names};
use crate::hosts::cosmo::generate::MAX_DEPTH;

/// The package of a plugin's service.
pub const PACKAGE: &str = "service";

/// What there is for each part of a schema: its type as a proto says it, or for a call what it takes and gives.
pub type Meaning = BTreeMap<String, String>;

/// Reads a proto by a mapping. `types` are the names that messages and enums have in the schema, too.
pub fn of(pool: &DescriptorPool, names: &Names, types: &BTreeSet<String>) -> Meaning {
    let reader = Reader { names, types };
    let mut meaning = Meaning::new();
    for ty in types {
        let name = format!("{PACKAGE}.{ty}");
        if let Some(message) = pool.get_message_by_name(&name) {
            reader.ty(ty, &message, &mut meaning);
        } else if let Some(values) = pool.get_enum_by_name(&name) {
            reader.values(ty, &values, &mut meaning);
        }
    }
    let service = pool.get_service_by_name(&format!("{PACKAGE}.{}", names.service));
    for (part, call) in &names.calls {
        let method = service.iter().flat_map(ServiceDescriptor::methods).find(|method| method.name() == call.rpc);
        if let Some(method) = method {
            meaning.insert(part.clone(), reader.call(call, &method.input(), &method.output()));
        }
    }
    meaning
}

struct Reader<'r> {
    names: &'r Names,
    types: &'r BTreeSet<String>,
}

/// Whose names the fields of a message have.
#[derive(Clone, Copy)]
struct Of<'o> {
    ty: &'o str,
    /// The field whose arguments are below `field_args`.
    arguments: &'o str,
    /// How many messages are around.
    depth: usize,
}

/// How many messages are written out within each other: more than what is made of the deepest selection.
const MAX_INNER: usize = 2 * MAX_DEPTH;

/// Messages that are written out already: once is enough, and recursion ends.
type Seen = BTreeSet<String>;

impl Reader<'_> {
    fn ty(&self, ty: &str, message: &MessageDescriptor, meaning: &mut Meaning) {
        meaning.insert(ty.to_owned(), choice(message).unwrap_or_else(|| "a message".to_owned()));
        if choice(message).is_none() {
            let of = Of { ty, arguments: "", depth: 0 };
            for field in message.fields() {
                let name = self.names.original(ty, field.name());
                meaning.insert(format!("{ty}.{name}"), self.field(&field, of, &mut Seen::new()));
            }
        }
    }

    fn values(&self, ty: &str, values: &EnumDescriptor, meaning: &mut Meaning) {
        meaning.insert(ty.to_owned(), "an enum".to_owned());
        for value in values.values() {
            let name = self.names.original(ty, value.name());
            // The first one says that there is none.
            if value.number() != 0 || name != value.name() {
                meaning.insert(format!("{ty}.{name}"), "a value".to_owned());
            }
        }
    }

    fn call(&self, call: &Call, input: &MessageDescriptor, output: &MessageDescriptor) -> String {
        let named = (input.name(), output.name());
        if named != (call.request.as_str(), call.response.as_str()) {
            return format!("`{}` with the messages `{}` and `{}`", call.rpc, named.0, named.1);
        }
        let arguments = call.field.as_ref().map_or_else(String::new, |field| format!("{}.{field}", call.ty));
        let of = Of { ty: &call.ty, arguments: &arguments, depth: 0 };
        let of_request = if call.is_operation { Of { ty: &arguments, ..of } } else { of };
        let side = |message, of| self.fields(message, of, &mut Seen::new());
        format!("({}) -> ({})", side(input, of_request), side(output, of))
    }

    fn fields(&self, message: &MessageDescriptor, of: Of<'_>, seen: &mut Seen) -> String {
        let named = |field: FieldDescriptor| (self.names.original(of.ty, field.name()), field);
        // Which comes first must not matter.
        let fields: BTreeMap<String, FieldDescriptor> = message.fields().map(named).collect();
        let written = fields.iter().map(|(name, field)| format!("{name}: {}", self.field(field, of, seen)));
        written.collect::<Vec<_>>().join(", ")
    }

    fn field(&self, field: &FieldDescriptor, of: Of<'_>, seen: &mut Seen) -> String {
        let label = if field.is_list() || field.is_map() {
            "repeated "
        } else if field.containing_oneof().is_some_and(|oneof| oneof.is_synthetic()) {
            "optional "
        } else {
            ""
        };
        let ty = match field.kind() {
            Kind::Message(message) if field.name() == "field_args" => self.message(&message, Of { ty: of.arguments, ..of }, seen),
            Kind::Message(message) => self.message(&message, of, seen),
            Kind::Enum(values) => values.name().to_owned(),
            // The router writes and reads integers and floats of either size.
            Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 => "int32".to_owned(),
            Kind::Float | Kind::Double => "double".to_owned(),
            scalar => format!("{scalar:?}").to_lowercase(),
        };
        format!("{label}{ty}")
    }

    fn message(&self, message: &MessageDescriptor, of: Of<'_>, seen: &mut Seen) -> String {
        let name = message.name();
        if message.package_name() != PACKAGE {
            return message.full_name().to_owned();
        }
        let is_nested = message.parent_message().is_some();
        if !is_nested && self.types.contains(name) || of.depth == MAX_INNER {
            return name.to_owned();
        }
        let of = Of { depth: of.depth + 1, ..of };
        if let Some(items) = items(message) {
            return format!("list of {}", self.field(&items, of, seen));
        }
        if !seen.insert(message.full_name().to_owned()) {
            return name.to_owned();
        }
        // Within a message, others are called as the types that they are parts of.
        let of = if is_nested { Of { ty: name, ..of } } else { of };
        let choice = choice(message).map(|choice| format!("{choice}: ")).unwrap_or_default();
        format!("{{{choice}{}}}", self.fields(message, of, seen))
    }
}

/// What a message around a list is around: it has one field, a message within it, which has the list.
fn items(message: &MessageDescriptor) -> Option<FieldDescriptor> {
    let only = |message: &MessageDescriptor| message.fields().next().filter(|_| message.fields().len() == 1);
    let Kind::Message(inner) = only(message)?.kind() else { return None };
    let is_within = inner.parent_message().is_some_and(|parent| parent == *message);
    only(&inner).filter(|items| is_within && items.is_list())
}

/// The types that a message may be of, where it is of one of several.
fn choice(message: &MessageDescriptor) -> Option<String> {
    let oneof = message.oneofs().find(|oneof| !oneof.is_synthetic())?;
    let name = |field: FieldDescriptor| match field.kind() {
        Kind::Message(message) => message.name().to_owned(),
        other => format!("{other:?}").to_lowercase(),
    };
    let among: BTreeSet<String> = oneof.fields().map(name).collect();
    Some(format!("`{}` of {}", oneof.name(), among.into_iter().collect::<Vec<_>>().join(", ")))
}
