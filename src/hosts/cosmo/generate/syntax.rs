//! The definitions of a schema as they are written, in their order, with the place of each.
//!
//! The text comes from anybody: its size and depth are bounded before anything is built from it.

use std::sync::Arc;

use apollo_parser::cst::{self, CstNode};
use apollo_parser::{Parser, SyntaxElement, SyntaxKind, SyntaxNode};

use super::error::{Error, Position, Problem};
use super::source::{Source, string_value};

/// The largest schema that is read, in bytes.
pub const MAX_SCHEMA: usize = 4 << 20;

/// How deep lists, values and selections may nest.
pub const MAX_DEPTH: usize = 64;

/// How deep a type may nest lists: each level is a message of its own.
pub const MAX_LISTS: u32 = 16;

/// A name and where it stands.
#[derive(Clone, Debug)]
pub struct Name {
    /// The name.
    pub text: Arc<str>,
    /// Its place.
    pub at: Position,
}

/// What a definition is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Scalar,
    /// `type`
    Object,
    Interface,
    Union,
    Enum,
    Input,
}

impl Kind {
    /// The word that a definition begins with.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Object => "type",
            Self::Interface => "interface",
            Self::Union => "union",
            Self::Enum => "enum",
            Self::Input => "input",
        }
    }
}

/// A definition of a type, or an extension of one.
#[derive(Clone, Debug)]
pub struct TypeDefinition {
    /// What it is.
    pub kind: Kind,
    /// Whether it extends another definition.
    pub extends: bool,
    pub name: Name,
    /// What is said about it.
    pub description: Option<Arc<str>>,
    /// Interfaces that it implements.
    pub interfaces: Vec<Name>,
    pub directives: Vec<Directive>,
    /// Its fields, or those of an input.
    pub fields: Vec<Field>,
    /// The members of a union.
    pub members: Vec<Name>,
    pub values: Vec<EnumValue>,
}

/// A field of a type or an input, or an argument.
#[derive(Clone, Debug)]
pub struct Field {
    pub name: Name,
    /// Where it begins, with its description.
    pub at: Position,
    /// What is said about it.
    pub description: Option<Arc<str>>,
    pub arguments: Vec<Field>,
    pub ty: Type,
    /// Whether it is given where nobody gives it.
    pub has_default: bool,
    pub directives: Vec<Directive>,
}

/// A type as a field names it.
#[derive(Clone, Debug)]
pub struct Type {
    /// The innermost name.
    pub name: Name,
    /// Whether the whole may be null.
    pub nullable: bool,
    /// How many lists are around the name.
    pub lists: u32,
    /// As it is written, without white space: `[String!]!`.
    pub spelt: Arc<str>,
    /// The innermost list, if what it holds may be null: its place and text.
    pub nullable_items: Option<(Position, Arc<str>)>,
}

#[derive(Clone, Debug)]
pub struct EnumValue {
    pub name: Name,
    /// What is said about it.
    pub description: Option<Arc<str>>,
    pub directives: Vec<Directive>,
}

/// A directive with its arguments.
#[derive(Clone, Debug)]
pub struct Directive {
    /// Its name, without `@`.
    pub name: Arc<str>,
    /// Where its `@` stands.
    pub at: Position,
    arguments: Vec<Argument>,
}

/// An argument of a directive.
#[derive(Clone, Debug)]
pub struct Argument {
    name: Arc<str>,
    /// Its place.
    pub at: Position,
    pub value: Value,
}

/// The value of an argument, as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    String(Arc<str>),
    /// `true` or `false`.
    Boolean(bool),
    Null,
    /// Anything else.
    Other,
}

impl Directive {
    pub fn argument(&self, name: &str) -> Option<&Argument> {
        self.arguments.iter().find(|argument| &*argument.name == name)
    }
}

impl Argument {
    /// Its value, if that is a string.
    pub fn string(&self) -> Option<&Arc<str>> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }
}

/// The first directive of a name.
pub fn directive<'d>(directives: &'d [Directive], name: &str) -> Option<&'d Directive> {
    directives.iter().find(|directive| &*directive.name == name)
}

/// All of a schema.
#[derive(Debug, Default)]
pub struct Document {
    /// Definitions and extensions of types.
    pub types: Vec<TypeDefinition>,
    /// `schema { .. }` and its extensions.
    pub schemas: Vec<SchemaDefinition>,
    /// Arguments of the directives that are defined.
    pub directive_arguments: Vec<Field>,
}

/// `schema { query: Query }`, or an extension of it.
#[derive(Debug)]
pub struct SchemaDefinition {
    /// Where it begins.
    pub at: Position,
    /// Whether it extends another.
    pub extends: bool,
    /// The kind of operation (`query`) and the type of each.
    pub roots: Vec<(Arc<str>, Name)>,
}

/// Reads a schema.
pub fn parse(text: &str) -> Result<Document, Error> {
    if text.len() > MAX_SCHEMA {
        return Err(Error::Size { what: "the schema", limit: MAX_SCHEMA });
    }
    // A byte order mark may stand before it; places count it, as GraphQL's own tools do.
    let source = Source::new(text);
    let tree = Parser::new(text).recursion_limit(MAX_DEPTH).parse();
    if let Some(error) = tree.errors().next() {
        return Err(syntax_problem(&source, error).into());
    }
    let reader = Reader { source: &source };
    let mut document = Document::default();
    for definition in tree.document().definitions() {
        reader.definition(&definition, &mut document)?;
    }
    Ok(document)
}

fn syntax_problem(source: &Source<'_>, error: &apollo_parser::Error) -> Problem {
    let help = if error.is_limit() { "nest less deeply" } else { "see https://spec.graphql.org/October2021/#sec-Type-System" };
    Problem::new(source.position(error.index()), error.message(), help)
}

struct Reader<'s> {
    source: &'s Source<'s>,
}

/// A node that the grammar says is there, and that is missing only where the parser has found an error.
fn present<T>(node: Option<T>, parent: &SyntaxNode, reader: &Reader<'_>) -> Result<T, Problem> {
    node.ok_or_else(|| Problem::new(reader.place(parent), "this is not complete", "write the whole definition"))
}

/// A definition's parts, which nearly all kinds of definitions have under the same names.
macro_rules! type_definition {
    ($reader:ident, $kind:ident, $node:ident, $extends:literal, $($part:ident: $read:expr),*) => {{
        #[allow(unused_mut, reason = "some kinds have no parts of their own")]
        let mut definition = $reader.start(Kind::$kind, $extends, $node.name(), $node.syntax(), $node.directives())?;
        $(definition.$part = $read?;)*
        definition
    }};
}

impl Reader<'_> {
    fn definition(&self, definition: &cst::Definition, into: &mut Document) -> Result<(), Problem> {
        use cst::Definition as D;
        let described = match definition {
            D::ScalarTypeDefinition(node) => node.description(),
            D::ObjectTypeDefinition(node) => node.description(),
            D::InterfaceTypeDefinition(node) => node.description(),
            D::UnionTypeDefinition(node) => node.description(),
            D::EnumTypeDefinition(node) => node.description(),
            D::InputObjectTypeDefinition(node) => node.description(),
            _ => None,
        };
        let mut read = match definition {
            D::OperationDefinition(node) => return Err(self.executable(node.syntax())),
            D::FragmentDefinition(node) => return Err(self.executable(node.syntax())),
            D::DirectiveDefinition(node) => {
                present(node.name(), node.syntax(), self)?;
                into.directive_arguments.extend(self.arguments(node.arguments_definition())?);
                return Ok(());
            }
            D::SchemaDefinition(node) => {
                into.schemas.push(self.schema(node.syntax(), false, node.root_operation_type_definitions())?);
                return Ok(());
            }
            D::SchemaExtension(node) => {
                into.schemas.push(self.schema(node.syntax(), true, node.root_operation_type_definitions())?);
                return Ok(());
            }
            D::ScalarTypeDefinition(node) => type_definition!(self, Scalar, node, false,),
            D::ScalarTypeExtension(node) => type_definition!(self, Scalar, node, true,),
            D::ObjectTypeDefinition(node) => type_definition!(self, Object, node, false,
                interfaces: self.interfaces(node.implements_interfaces()), fields: self.fields(node.fields_definition())),
            D::ObjectTypeExtension(node) => type_definition!(self, Object, node, true,
                interfaces: self.interfaces(node.implements_interfaces()), fields: self.fields(node.fields_definition())),
            D::InterfaceTypeDefinition(node) => type_definition!(self, Interface, node, false,
                interfaces: self.interfaces(node.implements_interfaces()), fields: self.fields(node.fields_definition())),
            D::InterfaceTypeExtension(node) => type_definition!(self, Interface, node, true,
                interfaces: self.interfaces(node.implements_interfaces()), fields: self.fields(node.fields_definition())),
            D::UnionTypeDefinition(node) => {
                type_definition!(self, Union, node, false, members: self.members(node.union_member_types()))
            }
            D::UnionTypeExtension(node) => {
                type_definition!(self, Union, node, true, members: self.members(node.union_member_types()))
            }
            D::EnumTypeDefinition(node) => {
                type_definition!(self, Enum, node, false, values: self.values(node.enum_values_definition()))
            }
            D::EnumTypeExtension(node) => {
                type_definition!(self, Enum, node, true, values: self.values(node.enum_values_definition()))
            }
            D::InputObjectTypeDefinition(node) => {
                type_definition!(self, Input, node, false, fields: self.inputs(node.input_fields_definition()))
            }
            D::InputObjectTypeExtension(node) => {
                type_definition!(self, Input, node, true, fields: self.inputs(node.input_fields_definition()))
            }
        };
        read.description = self.description(described)?;
        into.types.push(read);
        Ok(())
    }

    fn executable(&self, node: &SyntaxNode) -> Problem {
        Problem::new(self.place(node), "this is an operation, and no part of a schema", "keep operations in files of their own")
    }

    fn start(
        &self,
        kind: Kind,
        extends: bool,
        name: Option<cst::Name>,
        node: &SyntaxNode,
        directives: Option<cst::Directives>,
    ) -> Result<TypeDefinition, Problem> {
        Ok(TypeDefinition {
            kind,
            extends,
            name: self.name(name, node)?,
            description: None,
            interfaces: Vec::new(),
            directives: self.directives(directives)?,
            fields: Vec::new(),
            members: Vec::new(),
            values: Vec::new(),
        })
    }

    fn schema(
        &self,
        node: &SyntaxNode,
        extends: bool,
        roots: impl Iterator<Item = cst::RootOperationTypeDefinition>,
    ) -> Result<SchemaDefinition, Problem> {
        let root = |root: cst::RootOperationTypeDefinition| {
            let operation = present(root.operation_type(), root.syntax(), self)?;
            let named = present(root.named_type(), root.syntax(), self)?;
            Ok((Arc::from(operation.syntax().text().to_string().trim()), self.name(named.name(), named.syntax())?))
        };
        let roots = roots.map(root).collect::<Result<_, Problem>>()?;
        Ok(SchemaDefinition { at: self.place(node), extends, roots })
    }

    fn interfaces(&self, node: Option<cst::ImplementsInterfaces>) -> Result<Vec<Name>, Problem> {
        node.into_iter().flat_map(|node| node.named_types()).map(|named| self.name(named.name(), named.syntax())).collect()
    }

    fn members(&self, node: Option<cst::UnionMemberTypes>) -> Result<Vec<Name>, Problem> {
        node.into_iter().flat_map(|node| node.named_types()).map(|named| self.name(named.name(), named.syntax())).collect()
    }

    fn fields(&self, node: Option<cst::FieldsDefinition>) -> Result<Vec<Field>, Problem> {
        node.into_iter().flat_map(|node| node.field_definitions()).map(|field| self.field(&field)).collect()
    }

    fn field(&self, node: &cst::FieldDefinition) -> Result<Field, Problem> {
        Ok(Field {
            name: self.name(node.name(), node.syntax())?,
            at: self.place(node.syntax()),
            description: self.description(node.description())?,
            arguments: self.arguments(node.arguments_definition())?,
            ty: self.ty(&present(node.ty(), node.syntax(), self)?)?,
            has_default: false,
            directives: self.directives(node.directives())?,
        })
    }

    fn arguments(&self, node: Option<cst::ArgumentsDefinition>) -> Result<Vec<Field>, Problem> {
        node.into_iter().flat_map(|node| node.input_value_definitions()).map(|input| self.input(&input)).collect()
    }

    fn inputs(&self, node: Option<cst::InputFieldsDefinition>) -> Result<Vec<Field>, Problem> {
        node.into_iter().flat_map(|node| node.input_value_definitions()).map(|input| self.input(&input)).collect()
    }

    fn input(&self, node: &cst::InputValueDefinition) -> Result<Field, Problem> {
        Ok(Field {
            name: self.name(node.name(), node.syntax())?,
            at: self.place(node.syntax()),
            description: self.description(node.description())?,
            arguments: Vec::new(),
            ty: self.ty(&present(node.ty(), node.syntax(), self)?)?,
            has_default: node.default_value().is_some(),
            directives: self.directives(node.directives())?,
        })
    }

    fn values(&self, node: Option<cst::EnumValuesDefinition>) -> Result<Vec<EnumValue>, Problem> {
        let value = |node: cst::EnumValueDefinition| {
            let name = node.enum_value().and_then(|value| value.name());
            Ok(EnumValue {
                name: self.name(name, node.syntax())?,
                description: self.description(node.description())?,
                directives: self.directives(node.directives())?,
            })
        };
        node.into_iter().flat_map(|node| node.enum_value_definitions()).map(value).collect()
    }

    fn directives(&self, node: Option<cst::Directives>) -> Result<Vec<Directive>, Problem> {
        let argument = |node: cst::Argument| {
            let value = match present(node.value(), node.syntax(), self)? {
                cst::Value::StringValue(value) => Value::String(self.string(&value)?),
                cst::Value::BooleanValue(value) => Value::Boolean(value.true_token().is_some()),
                cst::Value::NullValue(_) => Value::Null,
                _ => Value::Other,
            };
            Ok(Argument { name: self.name(node.name(), node.syntax())?.text, at: self.place(node.syntax()), value })
        };
        let directive = |node: cst::Directive| {
            let arguments = node.arguments().into_iter().flat_map(|node| node.arguments());
            Ok(Directive {
                name: self.name(node.name(), node.syntax())?.text,
                at: self.place(node.syntax()),
                arguments: arguments.map(argument).collect::<Result<_, Problem>>()?,
            })
        };
        node.into_iter().flat_map(|node| node.directives()).map(directive).collect()
    }

    fn ty(&self, node: &cst::Type) -> Result<Type, Problem> {
        let mut levels = Vec::new();
        let mut innermost = None;
        let mut at = node.clone();
        loop {
            let (named, list, mark) = match &at {
                cst::Type::NamedType(named) => (Some(named.clone()), None, ""),
                cst::Type::ListType(list) => (None, Some(list.clone()), ""),
                cst::Type::NonNullType(node) => (node.named_type(), node.list_type(), "!"),
            };
            if let Some(named) = named {
                let name = self.name(named.name(), named.syntax())?;
                let nullable_items = innermost.filter(|_| mark.is_empty()).map(|list: cst::ListType| self.excerpt(list.syntax()));
                let innermost = format!("{}{mark}", name.text);
                let spelt: String = levels.iter().rev().fold(innermost, |inner, mark| format!("[{inner}]{mark}"));
                let (lists, nullable) = (u32::try_from(levels.len()).unwrap_or(MAX_LISTS), !spelt.ends_with('!'));
                return Ok(Type { name, nullable, lists, spelt: Arc::from(spelt), nullable_items });
            }
            let list = present(list, at.syntax(), self)?;
            levels.push(mark);
            if levels.len() > MAX_LISTS as usize {
                let message = format!("lists nest more than {MAX_LISTS} deep");
                return Err(Problem::new(self.place(list.syntax()), message, "nest less deeply"));
            }
            at = present(list.ty(), list.syntax(), self)?;
            innermost = Some(list);
        }
    }

    fn excerpt(&self, node: &SyntaxNode) -> (Position, Arc<str>) {
        (self.place(node), Arc::from(node.text().to_string().trim()))
    }

    fn name(&self, name: Option<cst::Name>, parent: &SyntaxNode) -> Result<Name, Problem> {
        let name = present(name, parent, self)?;
        Ok(Name { text: Arc::from(name.text().as_ref()), at: self.place(name.syntax()) })
    }

    fn description(&self, node: Option<cst::Description>) -> Result<Option<Arc<str>>, Problem> {
        node.and_then(|node| node.string_value()).map(|value| self.string(&value)).transpose()
    }

    fn string(&self, node: &cst::StringValue) -> Result<Arc<str>, Problem> {
        let token = node.syntax().children_with_tokens().filter_map(SyntaxElement::into_token);
        let literal = token.filter(|token| token.kind() == SyntaxKind::STRING).map(|token| token.text().to_owned()).next();
        let literal = present(literal, node.syntax(), self)?;
        Ok(Arc::from(string_value(&literal, self.place(node.syntax()))?))
    }

    /// Where the first token of a node stands that is more than white space, commas and comments.
    fn place(&self, node: &SyntaxNode) -> Position {
        let mut token = node.first_token();
        while let Some(found) = &token {
            if !matches!(found.kind(), SyntaxKind::WHITESPACE | SyntaxKind::COMMENT | SyntaxKind::COMMA) {
                return self.source.position(found.text_range().start().into());
            }
            token = found.next_token();
        }
        self.source.position(node.text_range().start().into())
    }
}
