//! The parts below the language: patterns of `~`, stored json by its text, dates.

use super::super::dig;
use super::super::like::Like;
use super::super::node::{Keys, Moment};
use super::super::operand::Operand;
use super::*;
use crate::time::Millis;

#[test]
fn a_like_pattern_matches_as_it_looks() {
    let table: [(&str, &[&str], &[&str]); 12] = [
        ("b", &["abc", "B", "b"], &["", "ac"]),
        ("", &["", "x"], &[]),
        ("%", &["", "x"], &[]),
        ("a%", &["a", "abc", "Abc"], &["", "ba"]),
        ("%a", &["a", "ba", "BA"], &["ab", ""]),
        ("%a%", &["a", "bab"], &["b"]),
        ("a%a", &["aa", "aba"], &["a", "aab"]),
        ("a%b%c", &["abc", "a-b-c", "abbcc"], &["ab", "acb", "abcd"]),
        ("%b%b%", &["bb", "abab"], &["b", "ab"]),
        (r"50\%", &["50%", "x 50% y"], &["50", "500"]),
        (r"50\%%", &["50% off"], &["a 50%", "500"]),
        (r"a\b", &[r"a\b"], &["ab"]),
    ];
    for (pattern, matching, others) in table {
        let like = Like::new(pattern);
        for text in matching {
            assert!(like.matches(text), "{pattern:?} on {text:?}");
        }
        for text in others {
            assert!(!like.matches(text), "{pattern:?} on {text:?}");
        }
    }
}

#[test]
fn stored_json_is_read_by_its_text() {
    let json = r#"{"a":{"b":[1,-2.5,"x",null,true,{"c":"}]"}]},"k\u0061":"\n","e":[],"o":{},"s":[[1],[2,3]]}"#;
    let table = [
        ("a.b.0", "Int(1)"),
        ("a.b.1", "Number(-2.5)"),
        ("a.b.2", "Text(\"x\")"),
        ("a.b.3", "Null"),
        ("a.b.4", "Bool(true)"),
        ("a.b.5", "Json(\"{\\\"c\\\":\\\"}]\\\"}\")"),
        ("a.b.5.c", "Text(\"}]\")"),
        ("a.b.c", "List([Text(\"}]\")])"),
        ("a.b.6", "Null"),
        ("a.b.-1", "List([])"),
        ("a.b.0.x", "Null"),
        ("ka", "Text(\"\\n\")"),
        ("e", "Json(\"[]\")"),
        ("e.0", "Null"),
        ("o.x", "Null"),
        ("s.1", "Json(\"[2,3]\")"),
        ("nope.x", "Null"),
    ];
    let found = |path: &str| {
        let keys: Keys = path.split('.').map(Box::from).collect();
        format!("{:?}", dig::dig(dig::operand(json), &keys))
    };
    assert_rows(table.map(|(path, expected)| (path, found(path), expected)));
}

#[test]
fn damaged_json_is_null_and_never_panics() {
    let json = r#"{"a":{"b":[1,-2.5,"x\"é",null,true,{"c":"}]"}]},"k":"\n"}"#;
    let keys: [Keys; 3] = ["a.b.c", "a.b.1", "k"].map(|path| path.split('.').map(Box::from).collect());
    for end in (0..json.len()).filter(|end| json.is_char_boundary(*end)) {
        for from in [&json[..end], &json[end..]] {
            for keys in &keys {
                let _ = dig::dig(dig::operand(from), keys).each();
            }
        }
    }
}

#[test]
fn the_clock_has_many_names() {
    let table = [
        (Moment::Now, "2024-02-29 13:14:15.016Z"),
        (Moment::Yesterday, "2024-02-28 13:14:15.016Z"),
        (Moment::Tomorrow, "2024-03-01 13:14:15.016Z"),
        (Moment::Second, "15"),
        (Moment::Minute, "14"),
        (Moment::Hour, "13"),
        (Moment::Weekday, "4"),
        (Moment::Day, "29"),
        (Moment::Month, "2"),
        (Moment::Year, "2024"),
        (Moment::TodayStart, "2024-02-29 00:00:00.000Z"),
        (Moment::TodayEnd, "2024-02-29 23:59:59.999Z"),
        (Moment::MonthStart, "2024-02-01 00:00:00.000Z"),
        (Moment::MonthEnd, "2024-02-29 23:59:59.999Z"),
        (Moment::YearStart, "2024-01-01 00:00:00.000Z"),
        (Moment::YearEnd, "2024-12-31 23:59:59.999Z"),
    ];
    for (which, expected) in table {
        assert_eq!(super::super::dates::moment(which, NOW).shown().expect("a value"), expected, "{which:?}");
    }
    for at in [Millis::MIN, Millis(-1), Millis(0), Millis::MAX] {
        let Operand::Date(start) = super::super::dates::moment(Moment::YearStart, at) else { panic!("a date") };
        let (year, _, _) = at.civil();
        assert_eq!(start.to_string(), format!("{year:04}-01-01 00:00:00.000Z"));
    }
}
