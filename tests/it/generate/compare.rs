//! Comparison with the router's own generator.

use std::fmt::Write as _;

use plugin_build::hosts::cosmo::generate::{Error, Options, Position, Warning, WarningKind, generate};

use proptest::prelude::any;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

use super::cases::{self, Case};
use super::invent::{Dice, Invented};
use super::oracle::{Oracle, Outcome, Step};

/// How one schema fared.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    /// The same bytes.
    Same,
    /// Both refuse it.
    BothRefuse(String),
    /// What the other writes does not compile, or it fails; here it is made.
    Mended(String),
    /// What the other takes is refused.
    Stricter(String),
    /// Other bytes.
    Differs(String),
}

/// Compares what both make of one schema as it changes. The lock that is carried over is the other's, as long as it gives one.
pub fn verdicts(steps: &[Step], theirs: &[Outcome]) -> Vec<Verdict> {
    let mut lock: Option<String> = None;
    let mut verdicts = Vec::new();
    for (step, outcome) in steps.iter().zip(theirs) {
        let options = Options { go_package: step.go_package.clone(), ..Options::of_plugin(&step.plugin) };
        let ours = generate(&step.schema, &options, lock.as_deref());
        verdicts.push(match (ours, outcome.sound_proto()) {
            (Err(error), Err(reason)) => both_refuse(&error, outcome, &reason),
            (Err(error), Ok(_)) => Verdict::Stricter(error.to_string()),
            (Ok(_), Err(reason)) => Verdict::Mended(reason),
            (Ok(ours), Ok(proto)) => {
                let texts = [
                    ("service.proto", ours.proto.as_str(), proto),
                    ("mapping.json", &ours.mapping, outcome.mapping.as_deref().unwrap()),
                    ("service.proto.lock.json", &ours.lock, outcome.lock.as_deref().unwrap()),
                ];
                let different = texts.iter().find(|(_, ours, theirs)| ours != theirs);
                match different {
                    Some((file, ours, theirs)) => Verdict::Differs(format!("{file}\n{}", first_difference(ours, theirs))),
                    None if warned(&ours.warnings) != outcome.warned() => {
                        Verdict::Differs(format!("warnings {:?}\n{:?}", ours.warnings, outcome.warnings))
                    }
                    None => Verdict::Same,
                }
            }
        });
        lock = outcome.lock.clone().or(lock);
    }
    verdicts
}

/// Where rules are broken that both have, both must say so at the same places.
fn both_refuse(error: &Error, outcome: &Outcome, reason: &str) -> Verdict {
    let both = Verdict::BothRefuse(format!("{error}\nthe other: {reason}"));
    let Error::Schema(problems) = error else { return both };
    let mut places: Vec<Position> = problems.iter().map(|problem| problem.at).collect();
    places.sort();
    let missed: Vec<_> = outcome.refused().into_iter().filter(|place| !places.contains(place)).collect();
    if missed.is_empty() {
        both
    } else {
        Verdict::Differs(format!("refused at {places:?}, the other:\n{}", outcome.refused.join("\n")))
    }
}

/// Places of warnings that the other has too.
fn warned(warnings: &[Warning]) -> Vec<Position> {
    let shared = |warning: &&Warning| {
        matches!(warning.kind, WarningKind::NullableItem | WarningKind::KeyWithoutFields | WarningKind::ImpliedContext)
    };
    let mut places: Vec<Position> = warnings.iter().filter(shared).filter_map(|warning| warning.at).collect();
    places.sort();
    places
}

fn first_difference(ours: &str, theirs: &str) -> String {
    let (ours, theirs): (Vec<&str>, Vec<&str>) = (ours.split('\n').collect(), theirs.split('\n').collect());
    let at = ours.iter().zip(&theirs).take_while(|(ours, theirs)| ours == theirs).count();
    let mut text = format!("line {}\n", at + 1);
    for (mark, lines) in [("ours  ", &ours), ("theirs", &theirs)] {
        for line in lines.iter().skip(at.saturating_sub(3)).take(8) {
            writeln!(text, "  {mark} | {line}").unwrap();
        }
    }
    text
}

/// Names of plugins, some of which are respelled in odd ways.
const PLUGINS: [&str; 6] = ["my-plugin", "a-b", "HTTP_cache2", "hello.world", "x1st-item", "Plugin"];

/// A schema, of a plugin whose name and language depend on a number.
fn step(schema: &str, number: usize) -> Step {
    let go_package = (number % 4 == 3).then(|| "github.com/wundergraph/cosmo/plugin".to_owned());
    Step { schema: schema.to_owned(), plugin: PLUGINS[number % PLUGINS.len()].to_owned(), go_package }
}

#[test]
#[ignore = "needs npm"]
fn schemas_made_by_hand_give_the_bytes_of_the_routers_own_generator() {
    let Some(oracle) = Oracle::open() else { return };
    let cases = cases::all();
    let steps_of = |(number, case): (usize, &Case)| case.steps.iter().map(|schema| step(schema, number)).collect();
    let steps: Vec<Vec<Step>> = cases.iter().enumerate().map(steps_of).collect();
    let mut broken = String::new();
    for (case, (steps, theirs)) in cases.iter().zip(steps.iter().zip(oracle.run(&steps))) {
        for (number, verdict) in verdicts(steps, &theirs).into_iter().enumerate() {
            let fits = match case.name.split_once('/').unwrap().0 {
                "refused" => matches!(verdict, Verdict::BothRefuse(_)),
                "mended" => matches!(verdict, Verdict::Mended(_)) || (verdict == Verdict::Same && number + 1 < steps.len()),
                "differs" => matches!(verdict, Verdict::Differs(_)),
                "stricter" => matches!(verdict, Verdict::Stricter(_)),
                _ => verdict == Verdict::Same,
            };
            if !fits {
                writeln!(broken, "{} ({}): {verdict:?}", case.name, number + 1).unwrap();
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.replace("\\n", "\n"));
}

/// Reasons for which what the other writes is no proto, each told of in the documentation of the module.
const KNOWN: [&str; 6] =
    ["Maximum call stack", "found 'function'", "ListOf", "google.protobuf.", "is already used", "conflicts with reserved range"];

#[test]
#[ignore = "needs npm"]
fn schemas_made_by_chance_give_the_bytes_of_the_routers_own_generator() {
    let Some(oracle) = Oracle::open() else { return };
    let mut runner = TestRunner::deterministic();
    let numbers = proptest::collection::vec(any::<u16>(), 97..400);
    let invented: Vec<Vec<Step>> = (0..200)
        .map(|number| {
            let numbers = numbers.new_tree(&mut runner).unwrap().current();
            let mut dice = Dice::new(&numbers);
            let mut schema = Invented::new(&mut dice);
            let mut steps = vec![step(&schema.text(), number)];
            for _ in 0..2 {
                schema = schema.changed(&mut dice);
                steps.push(step(&schema.text(), number));
            }
            steps
        })
        .collect();
    let (mut same, mut broken) = (0, Vec::new());
    for (steps, theirs) in invented.iter().zip(oracle.run(&invented)) {
        for (verdict, step) in verdicts(steps, &theirs).into_iter().zip(steps) {
            match verdict {
                Verdict::Same => same += 1,
                Verdict::BothRefuse(_) => {}
                Verdict::Mended(reason) if KNOWN.iter().any(|known| reason.contains(known)) => {}
                verdict => broken.push(format!("{verdict:?}\n{}", step.schema).replace("\\n", "\n")),
            }
        }
    }
    assert!(broken.is_empty(), "{} broken, {same} the same; the first: {}", broken.len(), broken[0]);
    assert!(same >= 450, "only {same} of 600 schemas are compared");
}

/// The tokens of a schema, and what is between them.
fn tokens(schema: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = schema;
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(rest.len());
        let string = rest[1..].find('"').filter(|_| first == '"').map(|end| end + 2);
        let (token, after) = rest.split_at(string.unwrap_or(word).max(first.len_utf8()));
        tokens.push(token);
        rest = after;
    }
    tokens
}

#[test]
#[ignore = "needs npm"]
fn schemas_broken_by_chance_are_refused_or_give_the_same_bytes() {
    let Some(oracle) = Oracle::open() else { return };
    let cases = cases::all();
    let schemas: Vec<&String> =
        cases.iter().filter(|case| !case.name.starts_with("differs/")).flat_map(|case| &case.steps).collect();
    let mut runner = TestRunner::deterministic();
    let numbers = proptest::collection::vec(any::<usize>(), 12);
    let broken: Vec<Vec<Step>> = (0..1000)
        .map(|number| {
            let numbers = numbers.new_tree(&mut runner).unwrap().current();
            let mut pieces = tokens(schemas[numbers[0] % schemas.len()]);
            let others = tokens(schemas[numbers[1] % schemas.len()]);
            for turn in numbers[3..].chunks(3).take(1 + numbers[2] % 2) {
                let (at, other) = (turn[0] % pieces.len(), others[turn[1] % others.len()]);
                match turn[2] % 4 {
                    0 => drop(pieces.remove(at)),
                    1 => pieces.insert(at, other),
                    2 => pieces[at] = other,
                    _ => {
                        let to = turn[1] % pieces.len();
                        pieces.swap(at, to);
                    }
                }
                if pieces.is_empty() {
                    pieces.push(" ");
                }
            }
            vec![step(&pieces.concat(), number)]
        })
        .collect();
    let (mut same, mut wrong) = (0, Vec::new());
    for (steps, theirs) in broken.iter().zip(oracle.run(&broken)) {
        match verdicts(steps, &theirs).remove(0) {
            Verdict::Same => same += 1,
            Verdict::Stricter(_) | Verdict::BothRefuse(_) => {}
            Verdict::Mended(reason) if KNOWN.iter().any(|known| reason.contains(known)) => {}
            verdict => wrong.push(format!("{verdict:?}\n{}", steps[0].schema).replace("\\n", "\n")),
        }
    }
    assert!(wrong.is_empty(), "{} wrong, {same} the same; the first: {}", wrong.len(), wrong[0]);
    assert!(same >= 100, "only {same} schemas are compared");
}
