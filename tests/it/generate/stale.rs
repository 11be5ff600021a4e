//! What `build` says of a contract that is of another schema, and what it takes for the same.

use std::fs;

use plugin_build::hosts::cosmo::agreement::{Difference, Names, differences};
use plugin_build::hosts::cosmo::generate::{Generated, generate};
use plugin_build::hosts::cosmo::process::Api;
use proptest::prelude::any;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

use super::cases;
use super::invent::{Dice, Invented};
use super::options;
use crate::support::program::{Ran, plugin_build, ran};
use crate::support::project::Project;

const SCHEMA: &str = r#"
type Query { hello(name: String!): Greeting! moods(of: [Mood!]): [Mood!]! any: [Any!] node: Node }
type Mutation { say(input: Said!): Greeting }
type Subscription { tick: Int! }
type Greeting implements Node @key(fields: "id") @key(fields: "code id") {
  id: ID!
  code: String!
  text: String
  tags: [String!]!
  grid: [[Int!]!]
  mood: Mood!
  weight: Int! @external
  cost(currency: String!): Float! @requires(fields: "weight")
  replies(first: Int!): [Greeting!]! @connect__fieldResolver(context: "id code")
}
type Other implements Node { id: ID! }
type Alone { id: ID! }
interface Node { id: ID! }
union Any = Greeting | Other
enum Mood { HAPPY SAD }
input Said { text: String! moods: [Mood!]! }
"#;

/// What is planned of a project.
fn planned(project: &Project) -> Ran {
    ran(plugin_build(&project.root).args(["build", "--dry-run", "--offline"]))
}

#[test]
fn a_stale_contract_is_refused_by_what_changed_with_the_way_out() {
    let project = Project::router_plugin("");
    project.schema(SCHEMA);
    assert_eq!(planned(&project).code, 0);
    let missing = |part: &str, file: &str| format!("`{part}` is missing from {}", shown(&project, file));
    let gone = |part: &str, file: &str| format!("`{part}` is in {}, and no longer in the schema", shown(&project, file));
    let changed = |part: &str, was: &str, now: &str| {
        format!("`{part}` is {was} in {}, and would be {now}", shown(&project, "service.proto"))
    };
    for (from, to, told) in [
        ("code: String!\n", "code: String! more: Int\n", missing("Greeting.more", "service.proto")),
        ("tags: [String!]!\n", "", gone("Greeting.tags", "mapping.json")),
        ("text: String\n", "text: Int\n", changed("Greeting.text", "google.protobuf.StringValue", "google.protobuf.Int32Value")),
        ("text: String\n", "text: String!\n", changed("Greeting.text", "google.protobuf.StringValue", "string")),
        ("tags: [String!]!", "tags: [String!]", changed("Greeting.tags", "repeated string", "list of repeated string")),
        (
            "grid: [[Int!]!]",
            "grid: [Int!]",
            changed("Greeting.grid", "list of repeated list of repeated int32", "list of repeated int32"),
        ),
        ("mood: Mood!", "mood: String!", changed("Greeting.mood", "Mood", "string")),
        ("HAPPY SAD", "HAPPY SAD WILD", missing("Mood.WILD", "service.proto")),
        ("HAPPY SAD", "HAPPY", gone("Mood.SAD", "mapping.json")),
        ("Said { text: String!", "Said { text: Int!", changed("Said.text", "string", "int32")),
        ("node: Node", "node: Node bye: Int", missing("Query.bye", "mapping.json")),
        ("any: [Any!]", "", gone("Query.any", "mapping.json")),
        ("hello(name: String!)", "hello(name: String)", "`Query.hello` is (name: string) -> (hello: Greeting)".to_owned()),
        (
            "hello(name: String!)",
            "hello(name: String! loud: Boolean!)",
            "would be (loud: bool, name: string) -> (hello: Greeting)".to_owned(),
        ),
        ("hello(name: String!)", "hello", "would be () -> (hello: Greeting)".to_owned()),
        ("say(input: Said!)", "say(input: [Said!]!)", "would be (input: repeated Said) -> (say: Greeting)".to_owned()),
        (
            "union Any = Greeting | Other",
            "union Any = Greeting",
            changed("Any", "`value` of Greeting, Other", "`value` of Greeting"),
        ),
        (
            "type Alone",
            "type Alone implements Node",
            changed("Node", "`instance` of Greeting, Other", "`instance` of Alone, Greeting, Other"),
        ),
        ("type Alone { id: ID! }", "", gone("Alone", "service.proto")),
        ("type Alone", "enum New { A } type Alone", missing("New", "service.proto")),
        ("type Alone", "type Alone @key(fields: \"id\")", missing("Alone @key(fields: \"id\")", "mapping.json")),
        (" @key(fields: \"code id\")", "", gone("Greeting @key(fields: \"code id\")", "mapping.json")),
        ("code id\")", "code mood\")", missing("Greeting @key(fields: \"code mood\")", "mapping.json")),
        ("replies(first: Int!)", "replies(first: Int! after: ID)", "`Greeting.replies` is (context: repeated".to_owned()),
        ("(context: \"id code\")", "(context: \"id\")", "would be (context: repeated {id: string}".to_owned()),
        ("cost(currency: String!)", "cost", "`Greeting.cost by `id`` is".to_owned()),
        ("weight: Int! @external", "weight: Float! @external", "fields: {weight: double}".to_owned()),
        ("@requires(fields: \"weight\")", "", missing("Greeting.cost", "mapping.json")),
    ] {
        project.write("src/schema.graphql", &SCHEMA.replacen(from, to, 1));
        let refused = planned(&project);
        assert_eq!(refused.code, 2, "{to}: {}", refused.stderr);
        assert!(refused.stderr.contains(&told), "{to}: {told}\n{}", refused.stderr);
        assert!(refused.stderr.contains("`cargo plugin-build generate`"), "{}", refused.stderr);
    }
}

fn shown(project: &Project, file: &str) -> String {
    project.root.join("generated").join(file).display().to_string()
}

#[test]
fn what_says_the_same_otherwise_is_taken() {
    let project = Project::router_plugin("");
    project.schema(SCHEMA);
    let proto = fs::read_to_string(project.root.join("generated/service.proto")).unwrap();
    let mapping = fs::read_to_string(project.root.join("generated/mapping.json")).unwrap();
    let not_asked = [
        ("tick: Int!", "tick(of: Int!): Float!"),
        ("type Alone", "\"\"\"said\"\"\" type Alone"),
        ("code: String!", "code: String! @deprecated(reason: \"old\")"),
        ("HAPPY SAD", "SAD HAPPY"),
        ("type Alone", "type Alone @key(fields: \"id\", resolvable: false)"),
        ("text: String\n", "text: Custom\n"),
    ];
    for (from, to) in not_asked {
        project.write("src/schema.graphql", &format!("{}\nscalar Custom\n", SCHEMA.replacen(from, to, 1)));
        let taken = planned(&project);
        assert_eq!(taken.code, 0, "{to}: {}", taken.stderr);
    }
    project.write("src/schema.graphql", SCHEMA);
    // Other numbers, names of calls, comments, options and spaces; members in the other spelling, and without those that say nothing.
    let own = "option java_package = \"a.b\";\n// by hand\nmessage Helper { string x = 1; }\n";
    let proto = proto
        .replace("package service;\n", &format!("package service;\n{own}"))
        .replace("string code = 2;", "string\n  code=22;")
        .replace("LookupGreetingById", "FindGreeting")
        .replace("QueryHello", "Hail")
        .replace("int32 first", "int64 first");
    let mapping = mapping
        .replace("LookupGreetingById", "FindGreeting")
        .replace("QueryHello", "Hail")
        .replace("\"original\": \"code\",\n          \"mapped\": \"code\",", "\"mapped\":\"code\",\"original\":\"code\",")
        .replace("typeFieldMappings", "type_field_mappings")
        .replace("\"argumentMappings\": []", "\"argument_mappings\": null");
    project.write("generated/service.proto", &proto);
    project.write("generated/mapping.json", &mapping);
    let taken = planned(&project);
    assert_eq!(taken.code, 0, "{}", taken.stderr);
    // A name that the mapping and the proto do not share.
    project.write("generated/mapping.json", &mapping.replace("\"mapped\": \"tags\"", "\"mapped\": \"labels\""));
    let refused = planned(&project);
    assert!(refused.code == 2 && refused.stderr.contains("`Greeting.tags` is missing"), "{}", refused.stderr);
}

#[test]
fn messages_without_an_end_are_compared_too() {
    let project = Project::router_plugin("");
    project.schema("type Query { a(b: [String!]): Int }");
    let made = fs::read_to_string(project.root.join("generated/service.proto")).unwrap();
    let link = |number: u32| format!("message M{number} {{ M{} m = 1; }}\n", number + 1);
    let chain = (0..20_000).map(link).collect::<Vec<_>>().concat();
    let chained = made.replace("ListOfString b", "M0 b") + "\n" + &chain + "message M20000 {}\n";
    for endless in [made.replace("repeated string items", "repeated ListOfString items"), chained] {
        project.write("generated/service.proto", &endless);
        let refused = planned(&project);
        assert_eq!(refused.code, 2, "{}", refused.stderr);
        assert!(refused.stderr.contains("would be (b: list of repeated string) -> (a: google"), "{}", refused.stderr);
    }
}

#[test]
fn what_cannot_be_compared_is_told() {
    let project = Project::router_plugin("");
    project.write("src/schema.graphql", "type Query { p: String q: Nothing }\n");
    let told = planned(&project);
    assert_eq!(told.code, 0, "{}", told.stderr);
    assert!(told.stderr.contains("was not compared with proto and mapping: 1:27: there is no type `Nothing`"), "{}", told.stderr);
}

#[test]
fn a_build_generates_first_where_it_is_asked_to() {
    let project = Project::router_plugin("");
    let stale = |project: &Project| project.write("src/schema.graphql", "type Query { p: String q: Int }\n");
    stale(&project);
    let built = ran(plugin_build(&project.root).args(["build", "--generate", "--offline", "-o", "out"]));
    assert_eq!(built.code, 0, "{}", built.stderr);
    assert!(built.stderr.contains("Generated the contract of p (3 of 3 files changed)"), "{}", built.stderr);
    assert_eq!(built.stdout, "oci:out:0.1.0\n");
    let again = ran(plugin_build(&project.root).args(["build", "--generate", "--offline", "-o", "out"]));
    assert!(again.code == 0 && !again.stderr.contains("Generated"), "{}", again.stderr);
    // From nothing but the schema.
    fs::remove_dir_all(project.root.join("generated")).unwrap();
    let first = ran(plugin_build(&project.root).args(["build", "--generate", "--offline", "-o", "out"]));
    assert_eq!((first.code, first.stdout.as_str()), (0, built.stdout.as_str()), "{}", first.stderr);
    project.write("src/schema.graphql", "type Query { p: }\n");
    let broken = ran(plugin_build(&project.root).args(["build", "--generate", "--offline", "-o", "out"]));
    assert!(broken.code == 2 && broken.stderr.contains("schema.graphql"), "{}", broken.stderr);
}

fn compared(wanted: &Generated, found: &Generated) -> Vec<Difference> {
    let names = Names::of(&serde_json::from_str(&found.mapping).unwrap());
    differences(wanted, Api::of_source("service.proto", found.proto.as_bytes()).unwrap().pool(), &names).unwrap()
}

/// What a proto says beside names of messages and their fields' types: nothing that the comparison looks at.
fn bare(made: &Generated) -> (String, String) {
    let mut text = String::new();
    let mut in_comment = false;
    for line in made.proto.lines().map(str::trim) {
        in_comment |= line.starts_with("/*");
        let skipped = in_comment || line.is_empty() || line.starts_with("//") || line.starts_with("reserved ");
        in_comment &= !line.ends_with("*/");
        if !skipped {
            let statement = line.split(" = ").next().unwrap();
            text.push_str(statement);
            text.push('\n');
        }
    }
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    (lines.join("\n"), made.mapping.clone())
}

#[test]
fn every_contract_is_that_of_its_own_schema_and_of_no_other() {
    for case in cases::all() {
        for schema in &case.steps {
            let Ok(made) = generate(schema, &options(), None) else { continue };
            assert_eq!(compared(&made, &made), Vec::new(), "{}", case.name);
        }
    }
    let mut runner = TestRunner::deterministic();
    let numbers = proptest::collection::vec(any::<u16>(), 97..400);
    let mut different = 0;
    for _ in 0..60 {
        let numbers = numbers.new_tree(&mut runner).unwrap().current();
        let mut dice = Dice::new(&numbers);
        let schema = Invented::new(&mut dice);
        let text = schema.text();
        let later = schema.changed(&mut dice).text();
        let Ok(old) = generate(&text, &options(), None) else { continue };
        let Ok(new) = generate(&later, &options(), Some(&old.lock)) else { continue };
        assert_eq!(compared(&new, &new), Vec::new(), "{later}");
        let found = compared(&new, &old);
        if bare(&old) == bare(&new) {
            assert_eq!(found, Vec::new(), "{text}\n{later}");
        } else if found.is_empty() {
            let (old, new) = (bare(&old), bare(&new));
            let gone: Vec<&str> = old.0.lines().filter(|line| !new.0.lines().any(|other| other == *line)).collect();
            let come: Vec<&str> = new.0.lines().filter(|line| !old.0.lines().any(|other| other == *line)).collect();
            panic!("nothing is found\n- {gone:?}\n+ {come:?}\n{text}\n{later}");
        } else {
            different += 1;
        }
    }
    assert!(different > 30, "{different}");
}
