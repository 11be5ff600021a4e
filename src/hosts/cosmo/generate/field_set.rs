//! Sets of fields in the strings of directives: `@key(fields: "id org { id }")`, `@requires(fields: "..")`.

use std::sync::Arc;

use apollo_parser::Parser;
use apollo_parser::cst::{self, CstNode as _};

use super::error::{Position, Problem};
use super::syntax::MAX_DEPTH;

/// One thing that is selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// A field, and what of its value.
    Field {
        name: Arc<str>,
        /// What of its value; nothing for scalars and enums.
        selections: Vec<Selection>,
    },
    /// `... on Type { .. }`
    Fragment { on: Arc<str>, selections: Vec<Selection> },
}

impl Selection {
    /// The field's name, if it is a field.
    pub fn field(&self) -> Option<&Arc<str>> {
        match self {
            Self::Field { name, .. } => Some(name),
            Self::Fragment { .. } => None,
        }
    }
}

/// Whether the name of the type itself is selected.
pub fn names_type(selections: &[Selection]) -> bool {
    selections.iter().any(|selection| selection.field().is_some_and(|name| &**name == "__typename"))
}

/// Reads a set of fields; its problems are told at the directive's argument.
pub fn parse(text: &str, at: Position) -> Result<Vec<Selection>, Problem> {
    let help = "write names of fields, as in \"id organization { id }\"";
    let shown: String = text.chars().take(60).collect();
    let problem = |what: &str| Problem::new(at, format!("`{shown}` is no set of fields: {what}"), help);
    let tree = Parser::new(&format!("{{ {text} }}")).recursion_limit(MAX_DEPTH).parse();
    if let Some(error) = tree.errors().next() {
        return Err(problem(error.message()));
    }
    let mut definitions = tree.document().definitions();
    match (definitions.next(), definitions.next()) {
        (Some(cst::Definition::OperationDefinition(operation)), None) => {
            let set = operation.selection_set().ok_or_else(|| problem("it is empty"))?;
            selections(&set).map_err(|what| problem(&what))
        }
        _ => Err(problem("it is more than one")),
    }
}

fn selections(set: &cst::SelectionSet) -> Result<Vec<Selection>, String> {
    let found: Vec<Selection> = set.selections().map(|selection| one(&selection)).collect::<Result<_, _>>()?;
    if found.is_empty() { Err("it is empty".to_owned()) } else { Ok(found) }
}

fn one(selection: &cst::Selection) -> Result<Selection, String> {
    let plain = |what: &str| Err(format!("{what} have no place in one"));
    match selection {
        cst::Selection::FragmentSpread(_) => plain("named fragments"),
        cst::Selection::Field(field) if field.alias().is_some() => plain("aliases"),
        cst::Selection::Field(field) if field.arguments().is_some() => plain("arguments"),
        cst::Selection::Field(field) if field.directives().is_some() => plain("directives"),
        cst::Selection::InlineFragment(fragment) if fragment.directives().is_some() => plain("directives"),
        cst::Selection::Field(field) => {
            let name = field.name().ok_or("a name is missing")?;
            let selections = field.selection_set().map(|set| selections(&set)).transpose()?.unwrap_or_default();
            Ok(Selection::Field { name: Arc::from(name.text().as_ref()), selections })
        }
        cst::Selection::InlineFragment(fragment) => {
            let named = fragment.type_condition().and_then(|condition| condition.named_type()?.name());
            let on = named.ok_or("a fragment names no type")?;
            let set = fragment.selection_set().ok_or_else(|| fragment.syntax().text().to_string())?;
            Ok(Selection::Fragment { on: Arc::from(on.text().as_ref()), selections: selections(&set)? })
        }
    }
}
