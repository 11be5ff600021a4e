//! Schemas that nobody wrote: made from numbers that proptest draws, and changed as people change schemas.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ops::Range;

/// Numbers to decide by.
pub struct Dice<'n> {
    numbers: &'n [u16],
    at: usize,
}

impl<'n> Dice<'n> {
    pub fn new(numbers: &'n [u16]) -> Self {
        Self { numbers, at: 0 }
    }

    fn roll(&mut self) -> usize {
        self.at += 1;
        usize::from(self.numbers[(self.at * 7 + self.at / self.numbers.len()) % self.numbers.len()])
    }

    fn below(&mut self, sides: usize) -> usize {
        self.roll() % sides.max(1)
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

const FIELDS: [&str; 34] = [
    "id",
    "name",
    "firstName",
    "last_name",
    "userID",
    "URL",
    "html5Parser",
    "x1",
    "aB",
    "item1st",
    "Total",
    "isActive",
    "created_at",
    "HTTPStatus",
    "a",
    "b",
    "kind",
    "tags",
    "owner",
    "parent",
    "children",
    "ABTest",
    "v2Beta",
    "eTag",
    "_hidden",
    "price",
    "sizeInCM",
    "myOwnURL",
    "w3cValid",
    "the4thOne",
    "count",
    "meta_data",
    "Z",
    "option",
];
/// Names that camel case gives back: for others, numbers clash when such schemas change, and nothing is left to compare.
const TAME: [&str; 18] = [
    "id",
    "name",
    "firstName",
    "userId",
    "x",
    "total",
    "isActive",
    "kind",
    "tags",
    "owner",
    "parent",
    "children",
    "price",
    "sizeInCm",
    "myOwnUrl",
    "count",
    "option",
    "createdAt",
];
const TYPES: [&str; 12] =
    ["User", "Post", "HTTPServer", "Order2", "line_item", "Media", "aType", "Box", "X", "ProductInfo", "Tag3D", "Node"];
const INPUTS: [&str; 4] = ["FilterInput", "newUser", "Page", "SortBy2"];
const ENUMS: [&str; 4] = ["Role", "HTTPMethod", "order_state", "Kind3D"];
const VALUES: [&str; 8] = ["ADMIN", "USER", "NOT_FOUND", "lower", "MixedCase", "UNSPECIFIED", "V1", "_X"];
const SCALARS: [&str; 7] = ["Int", "Float", "String", "Boolean", "ID", "Date", "JSON2"];
const DESCRIPTIONS: [&str; 7] = [
    "\"One line\"",
    "\"\"\"\n  A block\n    indented\n\n  with lines\n  \"\"\"",
    "\"\"\"one\"\"\"",
    "\"ends */ and begins /*\"",
    "\"  spaces  \"",
    "\"line\\nbreak and \\u00e9\"",
    "\"\"",
];

#[derive(Clone, PartialEq)]
enum Kind {
    Object,
    Interface,
    Union,
    Enum,
    Input,
}

#[derive(Clone)]
struct Type {
    kind: Kind,
    name: &'static str,
    description: &'static str,
    head: String,
    members: Vec<String>,
    fields: Vec<Field>,
}

#[derive(Clone)]
struct Field {
    name: &'static str,
    description: &'static str,
    arguments: Vec<(&'static str, String)>,
    ty: String,
    directives: String,
}

impl Type {
    fn new(dice: &mut Dice<'_>, kind: Kind, name: &'static str, fields: Vec<Field>) -> Self {
        Self { kind, name, description: description(dice), head: String::new(), members: Vec::new(), fields }
    }
}

/// A schema that can be changed.
#[derive(Clone)]
pub struct Invented {
    types: Vec<Type>,
    pool: &'static [&'static str],
}

fn description(dice: &mut Dice<'_>) -> &'static str {
    if dice.chance(25) { dice.pick(&DESCRIPTIONS) } else { "" }
}

/// Different names, also when case and `_` do not count.
fn names(dice: &mut Dice<'_>, from: &[&'static str], count: usize) -> Vec<&'static str> {
    let mut seen = BTreeSet::new();
    let plain = |name: &str| name.replace('_', "").to_lowercase();
    let rolled: Vec<&'static str> = (0..count).map(|_| dice.pick(from)).collect();
    rolled.into_iter().filter(|name| seen.insert(plain(name))).collect()
}

/// So many names, or fewer.
fn some(dice: &mut Dice<'_>, from: &[&'static str], count: Range<usize>) -> Vec<&'static str> {
    let count = count.start + dice.below(count.len());
    names(dice, from, count)
}

fn wrapped(dice: &mut Dice<'_>, name: &str) -> String {
    let shape = dice.pick(&["N", "N", "N!", "N!", "[N!]!", "[N!]", "[N]", "[[N!]!]!", "[[N]]", "[[[N!]]!]"]);
    shape.replace('N', name)
}

impl Invented {
    /// A schema by dice.
    pub fn new(dice: &mut Dice<'_>) -> Self {
        let pool: &[&'static str] = if dice.chance(70) { &TAME } else { &FIELDS };
        let (objects, inputs) = (some(dice, &TYPES, 2..8), some(dice, &INPUTS, 0..3));
        let enums = some(dice, &ENUMS, 1..4);
        let interface = dice.chance(60).then_some("Shared");
        let mut types = Vec::new();
        for name in &enums {
            let values = some(dice, &VALUES, 1..6).into_iter().map(|value| plain(dice, value, String::new())).collect();
            types.push(Type::new(dice, Kind::Enum, name, values));
        }
        let leaves: Vec<&str> = SCALARS.iter().chain(&enums).copied().collect();
        let of_input: Vec<&str> = leaves.iter().chain(&inputs).copied().collect();
        for name in &inputs {
            let fields = some(dice, pool, 1..6).into_iter().map(|field| {
                let ty = dice.pick(&of_input);
                let ty = wrapped(dice, ty);
                plain(dice, field, ty)
            });
            let fields = fields.collect();
            types.push(Type::new(dice, Kind::Input, name, fields));
        }
        let mut of_output: Vec<&str> = leaves.iter().chain(&objects).copied().collect();
        of_output.extend(interface);
        if objects.len() > 1 && dice.chance(50) {
            of_output.push("Either");
            let members = objects.iter().take(1 + dice.below(3)).map(|name| (*name).to_owned()).collect();
            types.push(Type { members, ..Type::new(dice, Kind::Union, "Either", Vec::new()) });
        }
        if let Some(name) = interface {
            let fields = vec![plain(dice, "sharedOne", "Int!".to_owned()), plain(dice, "shared_two", "String".to_owned())];
            types.push(Type::new(dice, Kind::Interface, name, fields));
        }
        for name in &objects {
            types.push(object(dice, name, interface, (&of_output, &of_input), pool));
        }
        for name in ["Query", "Mutation", "Subscription"] {
            if name == "Query" || dice.chance(40) {
                let fields =
                    some(dice, pool, 1..6).into_iter().map(|field| operation(dice, field, (&of_output, &of_input), pool));
                let fields = fields.collect();
                types.push(Type::new(dice, Kind::Object, name, fields));
            }
        }
        let turn = dice.below(types.len());
        types.rotate_left(turn);
        Self { types, pool }
    }

    /// The schema after somebody worked on it: parts gone, parts new, others moved.
    pub fn changed(&self, dice: &mut Dice<'_>) -> Self {
        let mut next = self.clone();
        for ty in &mut next.types {
            let keep: Vec<bool> = ty
                .fields
                .iter()
                .map(|field| {
                    let needed = ["id", "sharedOne", "shared_two", "weight", "inner", "media"].contains(&field.name);
                    needed || ty.head.contains(&format!("\"{},", field.name)) || !dice.chance(20)
                })
                .collect();
            let mut keep = keep.into_iter();
            let first = ty.fields.first().cloned();
            ty.fields.retain(|_| keep.next().unwrap_or(true));
            if ty.fields.is_empty() {
                ty.fields.extend(first);
            }
            let pool: &[&'static str] = if ty.kind == Kind::Enum { &VALUES } else { next.pool };
            let more = if ty.kind == Kind::Union { Vec::new() } else { some(dice, pool, 0..3) };
            let plain_name = |name: &str| name.replace('_', "").to_lowercase();
            for name in more {
                if ty.fields.iter().all(|field| plain_name(field.name) != plain_name(name)) {
                    let made = if ty.kind == Kind::Enum {
                        String::new()
                    } else {
                        let leaf = dice.pick(&SCALARS[..4]);
                        wrapped(dice, leaf)
                    };
                    let at = dice.below(ty.fields.len() + 1);
                    let field = plain(dice, name, made);
                    ty.fields.insert(at, field);
                }
            }
            for field in &mut ty.fields {
                if dice.chance(20) {
                    field.arguments.pop();
                }
                if dice.chance(10) {
                    field.arguments.reverse();
                }
            }
            if dice.chance(20) {
                ty.members.reverse();
            }
        }
        let turn = dice.below(next.types.len());
        next.types.rotate_left(turn);
        next
    }

    /// The schema as text.
    pub fn text(&self) -> String {
        let mut text = "scalar Date\nscalar JSON2\n".to_owned();
        for ty in &self.types {
            let word = match ty.kind {
                Kind::Object => "type",
                Kind::Interface => "interface",
                Kind::Union => "union",
                Kind::Enum => "enum",
                Kind::Input => "input",
            };
            write!(text, "{}\n{word} {}{}", ty.description, ty.name, ty.head).unwrap();
            if ty.kind == Kind::Union {
                writeln!(text, " = {}", ty.members.join(" | ")).unwrap();
                continue;
            }
            text.push_str(" {\n");
            for field in &ty.fields {
                write!(text, "  {} {}", field.description, field.name).unwrap();
                if !field.arguments.is_empty() {
                    let arguments: Vec<String> = field.arguments.iter().map(|(name, ty)| format!("{name}: {ty}")).collect();
                    write!(text, "({})", arguments.join(", ")).unwrap();
                }
                if !field.ty.is_empty() {
                    write!(text, ": {}", field.ty).unwrap();
                }
                writeln!(text, "{}", field.directives).unwrap();
            }
            text.push_str("}\n");
        }
        text
    }
}

fn plain(dice: &mut Dice<'_>, name: &'static str, ty: String) -> Field {
    let directives = match dice.below(12) {
        0 => " @deprecated",
        1 => " @deprecated(reason: \" not  any more \")",
        2 => " @tag(name: \"x\")",
        _ => "",
    };
    Field { name, description: description(dice), arguments: Vec::new(), ty, directives: directives.to_owned() }
}

fn arguments(dice: &mut Dice<'_>, of_input: &[&str], pool: &[&'static str]) -> Vec<(&'static str, String)> {
    let named = some(dice, pool, 0..4);
    let argument = |name| {
        let ty = dice.pick(of_input);
        (name, wrapped(dice, ty))
    };
    named.into_iter().map(argument).collect()
}

/// Names of types of output and of input.
type Types<'t> = (&'t [&'t str], &'t [&'t str]);

fn operation(dice: &mut Dice<'_>, name: &'static str, of: Types<'_>, pool: &[&'static str]) -> Field {
    let ty = dice.pick(of.0);
    let ty = wrapped(dice, ty);
    Field { arguments: arguments(dice, of.1, pool), ..plain(dice, name, ty) }
}

fn object(dice: &mut Dice<'_>, name: &'static str, interface: Option<&str>, of: Types<'_>, pool: &[&'static str]) -> Type {
    let mut fields = vec![Field { directives: String::new(), ..plain(dice, "id", "ID!".to_owned()) }];
    for field in some(dice, pool, 1..7).into_iter().filter(|field| *field != "id") {
        let ty = dice.pick(of.0);
        let ty = if ty == "ID" { "Int".to_owned() } else { wrapped(dice, ty) };
        let mut made = plain(dice, field, ty);
        match dice.below(12) {
            0 => made.arguments = arguments(dice, of.1, pool),
            1 => made.directives.push_str(" @connect__fieldResolver(context: \"id\")"),
            2 => made.directives.push_str(" @external"),
            3 => made.directives.push_str(" @shareable"),
            _ => {}
        }
        fields.push(made);
    }
    let mut head = String::new();
    if let Some(interface) = interface.filter(|_| dice.chance(60)) {
        write!(head, " implements {interface}").unwrap();
        fields.push(plain(dice, "sharedOne", "Int!".to_owned()));
        fields.push(plain(dice, "shared_two", "String".to_owned()));
    }
    if dice.chance(50) {
        head.push_str(" @key(fields: \"id\")");
        if let Some(second) = fields.get(1).filter(|field| field.arguments.is_empty() && dice.chance(30)) {
            write!(head, " @key(fields: \"{}, id\")", second.name).unwrap();
        }
        if dice.chance(40) {
            let external = |name, ty: &str| Field {
                name,
                description: "",
                arguments: Vec::new(),
                ty: ty.to_owned(),
                directives: " @external".to_owned(),
            };
            fields.push(external("weight", "Int!"));
            fields.push(external("inner", name));
            let own = format!("weight media {{ __typename ... on {name} {{ id inner {{ weight }} }} }}");
            let told = format!("media {{ shared_two sharedOne ... on {name} {{ __typename weight }} }}");
            let mut needs = vec!["weight", "inner { id weight }", "inner { inner { id inner { weight } } } weight id"];
            if interface.is_some() {
                fields.push(external("media", "Shared"));
                needs.push("media { __typename sharedOne }");
                needs.push("weight media { __typename shared_two }");
                if head.contains("implements") {
                    needs.push(&own);
                    needs.push(&told);
                }
            }
            let mut computed = operation(dice, "computed", of, pool);
            if dice.chance(80) {
                // Lists around it, and around its arguments, are forgotten by the other where nothing else needs them.
                "[Int!]!".clone_into(&mut computed.ty);
                computed.arguments.iter_mut().for_each(|(_, ty)| "Boolean!".clone_into(ty));
            }
            computed.directives = format!(" @requires(fields: \"{}\")", dice.pick(&needs));
            fields.push(computed);
        }
    }
    Type { head, ..Type::new(dice, Kind::Object, name, fields) }
}
