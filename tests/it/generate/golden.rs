//! Contracts as the router's own generator writes them, for machines without it.
//!
//! What is kept here is what our generator wrote when the tests of the second tier found it equal to the other.

use plugin_build::hosts::cosmo::generate::{Generated, WarningKind, generate};

use super::cases;

const KEPT: [&str; 16] = [
    "basics/hello",
    "basics/nullable scalars",
    "basics/descriptions",
    "basics/names",
    "basics/deprecation",
    "federation/keys",
    "federation/requires of objects",
    "federation/requires of an interface",
    "federation/requires with arguments",
    "resolvers/resolvers with arguments",
    "shapes/lists",
    "shapes/interfaces",
    "shapes/enums",
    "locks/camel case fields",
    "locks/enums",
    "locks/unions and interfaces",
];

/// What comes of the last schema of a case, with the locks of those before it.
fn last(steps: &[String]) -> Generated {
    let mut generated: Option<Generated> = None;
    for schema in steps {
        let lock = generated.map(|before| before.lock);
        generated = Some(generate(schema, &super::options(), lock.as_deref()).unwrap());
    }
    generated.unwrap()
}

#[test]
fn contracts_are_those_that_were_found_equal_to_the_others() {
    let cases = cases::all();
    for name in KEPT {
        let case = cases.iter().find(|case| case.name == name).unwrap();
        let Generated { proto, mapping, lock, .. } = last(&case.steps);
        let all = format!("{proto}\n=== mapping.json\n{mapping}\n=== service.proto.lock.json\n{lock}");
        insta::assert_snapshot!(name.replace(['/', ' '], "-"), all);
    }
}

#[test]
fn what_is_generated_again_from_its_own_lock_is_the_same_or_tells_of_new_numbers() {
    // There `Query` is a message too, and the lock has one entry for both.
    for case in cases::all().into_iter().filter(|case| case.name != "resolvers/operations as types of fields") {
        let Ok(first) = generate(&case.steps[0], &super::options(), None) else { continue };
        let again = generate(&case.steps[0], &super::options(), Some(&first.lock)).unwrap();
        assert_eq!(again.lock, first.lock, "{}", case.name);
        // The other forgets numbers of names that camel case does not give back; that is told.
        let told = again.warnings.iter().any(|warning| warning.kind == WarningKind::Renumbered);
        assert_eq!(again.proto != first.proto, told, "{}: {:?}", case.name, again.warnings);
    }
}

#[test]
fn what_is_refused_says_where_and_what_to_do() {
    for case in cases::all().iter().filter(|case| case.name.starts_with("refused/") || case.name.starts_with("stricter/")) {
        let error = generate(&case.steps[0], &super::options(), None).unwrap_err();
        assert!(!error.help().is_empty(), "{}", case.name);
        let text = error.to_string();
        let placed = text.lines().all(|line| line.split(':').take(2).all(|part| part.parse::<u32>().is_ok()));
        assert!(placed || text.starts_with("the proto would not compile"), "{}: {text}", case.name);
    }
}
