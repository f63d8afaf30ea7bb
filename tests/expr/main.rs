//! Expressions made at random, over records made at random: what the compiled form gives is what a naive interpreter
//! gives, which walks the tree with the simplest meaning of each part. And no text at all makes anything panic.

#[path = "../support/naive.rs"]
mod naive;
mod random;
#[path = "../support/results.rs"]
mod results;
#[path = "../support/rng.rs"]
#[expect(unreachable_pub, reason = "shared with other binaries")]
mod rng;
mod world;

use std::time::Instant;

use millpond::model::expr::{Input, Program, Row, parse};
use rng::Rng;
use world::{World, stored};

#[test]
fn a_compiled_expression_gives_what_a_naive_interpreter_gives() {
    let (seed, started) = (results::seed(), Instant::now());
    let cases = results::size(10_000, 300_000, 3_000_000);
    let mut rng = Rng::new(seed);
    let mut kinds = std::collections::BTreeMap::<String, u64>::new();
    let mut case = 0;
    while case < cases {
        let world = World::random(&mut rng);
        let plain = world.plain();
        for _ in 0..20 {
            case += 1;
            let text = random::expression(&mut rng);
            let tree = parse(&text).unwrap_or_else(|fault| panic!("{text}\n{fault:?}"));
            let program = match Program::from_tree(world.scope(), &tree) {
                Ok(program) => program,
                Err(fault) => panic!("{text}\ncolumn {}: {}", fault.at + 1, fault.message),
            };
            let row = Row { id: "o1", fields: &world.order };
            let found = program.value(row, &world.input(), &world).expect("few steps");
            let expected = stored(naive::value(&plain.case(), &tree));
            if found != expected {
                results::record("L2", case, 1, started, seed);
                panic!("{text}\ngives {found:?}\nand must {expected:?}\n{}", world.shown());
            }
            *kinds.entry(format!("{found:?}").chars().take(9).collect()).or_default() += 1;
        }
    }
    results::record("L2", case, 0, started, seed);
    // Nothing is shown by expressions that are all false.
    for kind in ["Bool(true", "Bool(fals"] {
        assert!(kinds.get(kind).is_some_and(|count| *count > cases / 10), "{kinds:?}");
    }
}

#[test]
fn no_text_makes_anything_panic() {
    let cases = results::size(20_000, 100_000, 1_000_000);
    let mut rng = Rng::new(results::seed());
    let world = World::random(&mut rng);
    let row = Row { id: "o1", fields: &world.order };
    let mut sound = 0;
    for _ in 0..cases {
        let text = random::garbage(&mut rng);
        if let Ok(program) = Program::value_of(world.scope(), &text) {
            sound += 1;
            let _ = program.value(row, &world.input(), &world);
            let _ = program.holds(row, &Input::at(world::NOW), &world);
        }
    }
    assert!(sound > cases / 100, "some of it has to be an expression: {sound} of {cases}");
}
