//! That a pattern is what the `regex` crate makes of it, and that no search takes long.

use super::*;
use crate::disk::sim::Rng;

fn matches(pattern: &Pattern, text: &str) -> bool {
    pattern.matches(text, &mut { limits::PATTERN_STEPS_MAX }).expect("few steps")
}

#[test]
fn a_pattern_is_bounded_in_text_and_in_size() {
    assert!(Pattern::new(&"a".repeat(limits::PATTERN_BYTES_MAX + 1)).is_err());
    assert!(Pattern::new(r"\w{1000}{1000}").is_err_and(|reason| reason.contains("too large")));
    assert!(Pattern::new("(").is_err_and(|reason| reason.contains("unclosed group")));
    assert!(Pattern::new(r"(a)\1").is_err(), "back references need backtracking");
}

#[test]
fn a_stored_pattern_is_its_text() {
    let pattern = Pattern::new("^[A-Z]{2}-[0-9]+$").expect("valid");
    let text = serde_json::to_string(&pattern).expect("text");
    assert_eq!(text, r#""^[A-Z]{2}-[0-9]+$""#);
    let back: Pattern = serde_json::from_str(&text).expect("own text");
    assert_eq!(back, pattern);
    assert!(matches(&back, "AB-12") && !matches(&back, "ab-12"));
    assert!(!matches(&Pattern::from(Box::from("(")), "("), "what can't be checked lets nothing pass");
}

/// Patterns for which nearly every byte of a text of a and b is a new state.
const HOSTILE: [&str; 4] = [
    "[ab]*a[ab]{200}c",
    "a[ab]{400}c",
    "(a[ab]{100}b|b[ab]{120}a|a[ab]{90}a){3}c",
    "[ab]*a(?:[ab](?:x?y?z?w?u?){6}){20}c",
];

#[test]
fn a_hostile_pattern_is_given_up_after_the_steps_it_may_take() {
    let mut rng = Rng::new(5);
    let text: String = (0..1_900_000).map(|_| if rng.below(2) == 0 { 'a' } else { 'b' }).collect();
    for hostile in HOSTILE {
        let pattern = Pattern::within(hostile, limits::EXPRESSION_PATTERN_COMPILED_BYTES_MAX).expect("valid");
        for _ in 0..3 {
            let mut left = limits::PATTERN_STEPS_MAX;
            assert_eq!(pattern.matches(&text, &mut left), Err(TooCostly), "{hostile}");
            assert_eq!(left, 0);
        }
        assert_eq!(pattern.matches(&text[..100], &mut { limits::PATTERN_STEPS_MAX }), Ok(false), "{hostile}");
    }
}

#[test]
fn a_plain_pattern_has_enough_steps_for_the_longest_text() {
    let ascii = "lorem ipsum dolor ".repeat(limits::RECORD_BYTES_MAX / 18);
    let han: String = ('\u{4e00}'..'\u{8e00}').cycle().take(limits::RECORD_BYTES_MAX / 3).collect();
    for plain in ["^[a-z ]*!", r"\w+\s+\w+x", r"[\w.+-]+@[\w-]+\.[\w.-]+", "(?i)dolo[^r]", r"\w{3}foo", "foo.*bar"] {
        let pattern = Pattern::within(plain, limits::EXPRESSION_PATTERN_COMPILED_BYTES_MAX).expect("valid");
        assert!(!matches(&pattern, &ascii), "{plain}");
        assert!(!matches(&pattern, &han), "{plain}");
    }
    // The ends of words beyond ASCII are looked for slowly: in a text of a usual length.
    let pattern = Pattern::new(r"\b\w+ing\b").expect("valid");
    assert!(matches(&pattern, &("größe ".repeat(1_000) + "doing")));
    assert_eq!(pattern.matches(&"größe ".repeat(200_000), &mut { limits::PATTERN_STEPS_MAX }), Err(TooCostly));
}

#[test]
fn what_is_kept_between_searches_is_bounded() {
    let pattern = Pattern::new("[ab]*a[ab]{30}c").expect("valid");
    let mut rng = Rng::new(6);
    let text: String = (0..20_000).map(|_| if rng.below(2) == 0 { 'a' } else { 'b' }).collect();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                (0..4).map(|_| pattern.matches(&text, &mut { limits::PATTERN_STEPS_MAX })).collect::<Vec<_>>()
            });
        }
    });
    let automaton = pattern.compiled.get().and_then(Option::as_ref).expect("compiled");
    assert!((1..=limits::PATTERN_KEPT_BYTES).contains(&automaton.kept_bytes()));
}

/// A pattern of the pieces that automata are made of, the conditions on a place above all.
fn random_pattern(rng: &mut Rng, depth: u64) -> String {
    const PIECES: &[&str] = &[
        "a",
        "b",
        "é",
        "ab",
        ".",
        "[ab]",
        "[^a]",
        r"\w",
        r"\W",
        r"\s",
        r"\d",
        "^",
        "$",
        r"\b",
        r"\B",
        r"(?-u:\b)",
        r"(?-u:\B)",
        "(?m:^)",
        "(?m:$)",
        "(?i:É)",
        r"\b{start}",
        r"\b{end-half}",
        r"\A",
        r"\z",
        "(?s:.)",
        "",
    ];
    let inner = |rng: &mut Rng| random_pattern(rng, depth - 1);
    match rng.below(if depth == 0 { 1 } else { 6 }) {
        0 => PIECES[rng.below(PIECES.len() as u64) as usize].to_owned(),
        1 | 2 => inner(rng) + &inner(rng),
        3 => format!("(?:{}|{})", inner(rng), inner(rng)),
        4 => format!("(?:{}){}", inner(rng), ["*", "+", "?", "*?", "{2}", "{1,3}"][rng.below(6) as usize]),
        _ => format!("({})", inner(rng)),
    }
}

#[test]
fn every_pattern_means_what_the_regex_crate_says() {
    const LETTERS: [&str; 9] = ["a", "b", "é", "É", " ", "\n", "1", "ß", "\u{4e00}"];
    for seed in 0..4_000 {
        let mut rng = Rng::new(seed);
        let text = random_pattern(&mut rng, 4);
        let Ok(pattern) = Pattern::new(&text) else {
            assert!(regex::Regex::new(&text).is_err(), "seed {seed}: {text:?}");
            continue;
        };
        let wanted = regex::Regex::new(&text).expect("the same dialect");
        for _ in 0..12 {
            let given: String = (0..rng.below(12)).map(|_| LETTERS[rng.below(9) as usize]).collect();
            let found = pattern.matches(&given, &mut { limits::PATTERN_STEPS_MAX });
            assert_eq!(found, Ok(wanted.is_match(&given)), "seed {seed}: {text:?} on {given:?}");
            let automaton = pattern.compiled.get().and_then(Option::as_ref).expect("compiled");
            let slowly = simulation::matches(automaton.nfa(), &given, 0, &mut { limits::PATTERN_STEPS_MAX });
            assert_eq!(slowly, found, "seed {seed}: {text:?} on {given:?}, slowly");
        }
    }
}
