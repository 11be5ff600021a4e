//! Schemas that want to be expensive: each ends soon, with a contract or an error, on a stack of ordinary size.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use plugin_build::hosts::cosmo::generate::{Error, Generated, generate};

/// A test build on a busy machine is some 50 times slower than what users run.
const SOON: Duration = Duration::from_mins(1);

fn soon(schema: &str) -> Result<Generated, Error> {
    let started = Instant::now();
    let result = generate(schema, &super::options(), None);
    let shown: String = schema.chars().take(60).collect();
    assert!(started.elapsed() < SOON, "`{shown}` took {:?}", started.elapsed());
    result
}

fn many(count: usize, one: impl Fn(usize) -> String) -> String {
    (0..count).map(one).collect()
}

#[test]
fn nesting_is_bounded_before_it_is_followed() {
    let deep = 50_000;
    for schema in [
        format!("type A {{ a: {}Int", "[".repeat(deep)),
        format!("type A {{ a: {}Int{} }}", "[".repeat(deep), "]".repeat(deep)),
        format!("type A {{ a: {}Int{} }}", "[".repeat(17), "]".repeat(17)),
        format!("type A {{ a(x: Int = {}", "[".repeat(deep)),
        format!("type A {{ a(x: Int = {}", "{a: ".repeat(deep)),
        format!("type A @d(x: {}1{}) {{ a: Int }}", "[".repeat(deep), "]".repeat(deep)),
        format!("query {}", "{ a ".repeat(deep)),
        "{".repeat(deep),
        "type A ".repeat(deep / 10),
        "\"\"\"".repeat(deep / 10 + 1),
        format!("type A @key(fields: \"{}\") {{ a: Int }}", "a { ".repeat(deep)),
        format!("type A @key(fields: \"a\") {{ a: Int b: A @external c: Int @requires(fields: \"{}\") }}", "b { ".repeat(deep)),
    ] {
        assert!(matches!(soon(&schema), Err(Error::Schema(_))), "{}", &schema[..40]);
    }
}

#[test]
fn a_chain_of_types_needs_no_stack() {
    let chain = many(20_000, |at| format!("type T{at} {{ next: T{} }}\n", at + 1));
    soon(&format!("{chain} type T20000 {{ first: T0 }} type Query {{ t: T0 }}")).unwrap();
}

#[test]
fn what_is_large_is_read_in_time_that_grows_with_it() {
    let fields = many(8_000, |at| format!("field{at}: [Int!] "));
    soon(&format!("type A {{ {fields} }}")).unwrap();
    let arguments = many(5_000, |at| format!("argument{at}: Int "));
    soon(&format!("type Query {{ a({arguments}): Int }}")).unwrap();
    let values = many(8_000, |at| format!("VALUE_{at} "));
    soon(&format!("enum E {{ {values} }}")).unwrap();
    let resolvers = many(2_500, |at| format!("field{at}(x: Int): Int "));
    soon(&format!("type A {{ id: ID! {resolvers} }}")).unwrap();
    let implementers = many(2_500, |at| format!("type T{at} implements I {{ x: Int }} "));
    soon(&format!("interface I {{ x: Int }} {implementers}")).unwrap();
}

#[test]
fn contexts_are_followed_once() {
    // Each field names all after it: as many ways as 2 to the number of fields.
    let count = 300;
    let fields = many(count, |at| {
        let after: Vec<String> = (at + 1..count).map(|other| format!("f{other}")).collect();
        format!("f{at}: Int @connect__fieldResolver(context: \"id {}\") ", after.join(" "))
    });
    soon(&format!("type A {{ id: ID! {fields} }}")).unwrap();
    let circle = many(count, |at| format!("f{at}: Int @connect__fieldResolver(context: \"f{}\") ", (at + 1) % count));
    assert!(matches!(soon(&format!("type A {{ {circle} }}")), Err(Error::Schema(problems)) if problems.len() == count));
}

#[test]
fn a_small_schema_cannot_ask_for_a_huge_proto() {
    // Each field of an interface may be of each of its types, and so on down.
    let types = many(20, |at| format!("type T{at} implements I {{ i: I x: Int }} "));
    let selection = format!("{} i {{ __typename x }} {}", "i { __typename ".repeat(30), "}".repeat(30));
    let schema = format!(
        "interface I {{ i: I x: Int }} {types} type A @key(fields: \"id\") {{ id: ID! i: I @external y: Int @requires(fields: \"{selection}\") }}"
    );
    assert!(matches!(soon(&schema), Err(Error::Size { .. })));
    // A long description stands in the comment of each call.
    let mut keys = String::new();
    let fields = many(2_000, |at| format!("f{at}: Int! "));
    for at in 0..2_000 {
        write!(keys, "@key(fields: \"f{at}\") ").unwrap();
    }
    let long = "x".repeat(100_000);
    assert!(matches!(soon(&format!("\"{long}\" type A {keys} {{ {fields} }}")), Err(Error::Size { .. })));
    // Each field that requires another has a call for each key.
    let mut needy = String::new();
    for at in 0..1_000 {
        write!(needy, "r{at}: Int! @requires(fields: \"x\") ").unwrap();
    }
    assert!(matches!(soon(&format!("type A {keys} {{ x: Int! @external {fields} {needy} }}")), Err(Error::Size { .. })));
    // Each fragment is compared with each type that a value may be of.
    let types = many(3_000, |at| format!("type T{at} implements I {{ x: Int }} "));
    let fragments = "i { ... on T1 { __typename x } } ".repeat(3_000);
    let required = format!("@requires(fields: \"{fragments}\")");
    let schema =
        format!("interface I {{ x: Int }} {types} type A @key(fields: \"id\") {{ id: ID! i: I @external y: Int {required} }}");
    assert!(matches!(soon(&schema), Err(Error::Size { .. })));
    assert!(matches!(soon(&" ".repeat(5 << 20)), Err(Error::Size { .. })));
}
