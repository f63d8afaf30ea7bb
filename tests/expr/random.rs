//! Random expressions of the right types, as texts; and texts that are mostly none.

use crate::rng::Rng;
use crate::world::{NUMBERS, TEXTS};

pub(crate) fn expression(rng: &mut Rng) -> String {
    match rng.below(10) {
        0 => number(rng, 3),
        1 => text(rng, 3),
        _ => condition(rng, 4),
    }
}

fn one_of(rng: &mut Rng, from: &[&str]) -> String {
    from[rng.below(from.len() as u64) as usize].to_owned()
}

fn literal(rng: &mut Rng) -> String {
    format!("'{}'", one_of(rng, &TEXTS))
}

fn order(rng: &mut Rng) -> String {
    let mark = if rng.once_in(4) { "?" } else { "" };
    format!("{mark}{}", one_of(rng, &["=", "!=", "<", "<=", ">", ">="]))
}

fn equality(rng: &mut Rng) -> String {
    one_of(rng, &["=", "!=", "?=", "?!="])
}

fn condition(rng: &mut Rng, depth: u64) -> String {
    let simple = depth == 0;
    match rng.below(if simple { 13 } else { 18 }) {
        0 => format!("{} {} {}", number(rng, depth / 2), order(rng), number(rng, depth / 2)),
        1 => format!("{} {} {}", text(rng, depth / 2), order(rng), text(rng, depth / 2)),
        2 => format!("{} {} {}", date(rng, depth / 2), order(rng), date_or_literal(rng, depth / 2)),
        3 => format!("active {} {}", equality(rng), one_of(rng, &["true", "false", "@old.active", "meta.flag"])),
        4 => format!("{} {} {}", texts(rng), order_or_equality_of_lists(rng), text(rng, 0)),
        5 => format!("{} {} {}", whole_list(rng), equality(rng), whole_list(rng)),
        6 => format!("{} {} {}", numbers(rng), order(rng), number(rng, 0)),
        7 => {
            let left = if rng.once_in(2) { texts(rng) } else { text(rng, depth / 2) };
            let form = one_of(rng, &["'a'", "'%a'", "'a%'", "'%'", "'a%b'", "'10\\%'", "''", "status", "5", "'B'"]);
            format!("{left} {} {form}", one_of(rng, &["~", "!~", "?~", "?!~"]))
        }
        8 => {
            let what = if rng.once_in(2) { texts(rng) } else { field(rng) };
            format!("{what} {} null", equality(rng))
        }
        9 => match rng.below(4) {
            0 => format!("{} {}in ['a', 'Ab', 'b']", text(rng, depth / 2), one_of(rng, &["", "not "])),
            1 => format!("{} in [1, 1.5, 10, 9007199254740993]", number(rng, depth / 2)),
            2 => format!("{} in {}", text(rng, 0), texts(rng)),
            _ => format!("{} in ['a', status]", texts(rng)),
        },
        10 => format!("{}({}, {})", one_of(rng, &["contains", "startsWith", "endsWith"]), text(rng, 1), text(rng, 0)),
        11 => one_of(
            rng,
            &[
                "n:changed",
                "status:changed",
                "@request.body.total:isset",
                "@request.body.status:changed",
                "active",
                "meta.flag",
                "at:isset",
                "@request.query.min:isset",
                "total > @request.query.min",
                "@request.query.min <= n",
                "contains(tags, 'a')",
                "contains(items.price, 1.5)",
                "matches(status, '^[a-z]$')",
            ],
        ),
        12 => format!("meta.{} {} {}", one_of(rng, &["num", "text", "nums", "x"]), order(rng), number(rng, 0)),
        13 | 14 => joined(rng, depth, &["&&", "and"]),
        15 | 16 => joined(rng, depth, &["||", "or"]),
        _ => format!("{}({})", one_of(rng, &["!", "not ", "!!"]), condition(rng, depth - 1)),
    }
}

fn joined(rng: &mut Rng, depth: u64, by: &[&str]) -> String {
    let parts: Vec<String> = (0..2 + rng.below(2)).map(|_| format!("({})", condition(rng, depth - 1))).collect();
    parts.join(&format!(" {} ", one_of(rng, by)))
}

fn order_or_equality_of_lists(rng: &mut Rng) -> String {
    if rng.once_in(2) { order(rng) } else { equality(rng) }
}

fn field(rng: &mut Rng) -> String {
    one_of(
        rng,
        &[
            "status",
            "total",
            "n",
            "active",
            "at",
            "tags",
            "user",
            "items",
            "meta",
            "user.name",
            "user.boss.age",
            "items.price",
            "items.maker.boss.roles",
            "meta.num",
            "meta.tags",
            "@old.n",
            "@request.body.n",
            "@request.auth.boss",
            "user.products_via_maker.price",
            "meta.nums.0",
            "tags.1",
            "tags:each",
        ],
    )
}

fn number(rng: &mut Rng, depth: u64) -> String {
    if depth == 0 {
        return match rng.below(3) {
            0 => one_of(rng, &NUMBERS),
            _ => one_of(
                rng,
                &[
                    "total",
                    "n",
                    "user.age",
                    "user.boss.age",
                    "@old.total",
                    "@request.body.n",
                    "@request.auth.age",
                    "tags:length",
                    "lookup('users', user).age",
                    "lookup('products', 'p1').price",
                    "@day",
                    "@year",
                ],
            ),
        };
    }
    let inner = |rng: &mut Rng| number(rng, depth - 1);
    match rng.below(10) {
        0 | 1 => {
            let (a, b, c) = (inner(rng), inner(rng), inner(rng));
            let signs = ["+", "-", "*", "/", "%"];
            format!("({a} {} {b} {} {c})", one_of(rng, &signs), one_of(rng, &signs))
        }
        2 => format!("round({}, {})", inner(rng), rng.below(3)),
        3 => format!("abs({})", inner(rng)),
        4 => format!("{}({}, {}, {})", one_of(rng, &["min", "max"]), inner(rng), inner(rng), numbers(rng)),
        5 => format!("{}({})", one_of(rng, &["sum", "avg", "count", "min", "max"]), numbers(rng)),
        6 => format!("len({})", if rng.once_in(2) { text(rng, 0) } else { texts(rng) }),
        7 => format!("coalesce({}, {})", inner(rng), inner(rng)),
        8 => format!("if({}, {}, {})", condition(rng, 0), inner(rng), inner(rng)),
        _ => format!("{}({})", one_of(rng, &["year", "month", "day", "hour"]), date_or_literal(rng, 0)),
    }
}

fn text(rng: &mut Rng, depth: u64) -> String {
    if depth == 0 {
        return match rng.below(3) {
            0 => literal(rng),
            _ => one_of(
                rng,
                &[
                    "status",
                    "user",
                    "user.name",
                    "@request.auth.name",
                    "@request.method",
                    "@old.status",
                    "tags.0",
                    "user.boss.name",
                    "status:lower",
                    "@request.auth.id",
                    "lookup('users', 'u2').name",
                    "@request.body.status",
                    "id",
                ],
            ),
        };
    }
    let inner = |rng: &mut Rng| text(rng, depth - 1);
    match rng.below(5) {
        0 => format!("{}({})", one_of(rng, &["lower", "upper", "trim"]), inner(rng)),
        1 => format!("({} + {})", inner(rng), inner(rng)),
        2 => format!("coalesce({}, {})", inner(rng), inner(rng)),
        3 => format!("if({}, {}, {})", condition(rng, 0), inner(rng), inner(rng)),
        _ => format!("date({})", date_or_literal(rng, 0)),
    }
}

fn date(rng: &mut Rng, depth: u64) -> String {
    match rng.below(if depth == 0 { 2 } else { 3 }) {
        0 => one_of(rng, &["at", "@old.at", "@request.body.at"]),
        1 => one_of(rng, &["@now", "@todayStart", "@yearEnd", "now()"]),
        _ => format!("addDays({}, {})", date(rng, depth - 1), number(rng, 0)),
    }
}

fn date_or_literal(rng: &mut Rng, depth: u64) -> String {
    if rng.once_in(3) { one_of(rng, &["'2001-01-01'", "'1969-12-31 23:59:59.999'"]) } else { date(rng, depth) }
}

fn whole_list(rng: &mut Rng) -> String {
    one_of(rng, &["tags", "user.roles", "@request.auth.roles", "['a', 'b']", "['a']", "[]", "@old.tags", "meta.tags"])
}

fn texts(rng: &mut Rng) -> String {
    one_of(
        rng,
        &[
            "tags",
            "tags:each",
            "items.title",
            "user.roles",
            "items.maker.name",
            "['a', 'b']",
            "meta.tags",
            "@request.body.tags",
            "user.products_via_maker.title",
            "items",
            "items.id",
            "items.maker.roles",
        ],
    )
}

fn numbers(rng: &mut Rng) -> String {
    one_of(rng, &["items.price", "[1, 2.5]", "meta.nums", "items.maker.age", "user.products_via_maker.price", "total"])
}

/// Words and signs of the language in any order, an expression that lost or got a character, or any characters.
pub(crate) fn garbage(rng: &mut Rng) -> String {
    const WORDS: [&str; 44] = [
        "n",
        "total",
        "status",
        "tags",
        "user.name",
        "meta.a.0",
        "items.price",
        "@now",
        "@request.auth.id",
        "1",
        "2.5",
        "'a'",
        "null",
        "true",
        "[",
        "]",
        "(",
        ")",
        ",",
        "=",
        "!=",
        "~",
        "?=",
        "<",
        "&&",
        "||",
        "!",
        "not",
        "in",
        "+",
        "-",
        "*",
        "/",
        "%",
        "min(",
        "if(",
        "lookup('users', ",
        ").name",
        ":each",
        ":lower",
        "'%",
        ".",
        "@",
        "\u{1f600}",
    ];
    match rng.below(3) {
        0 => (0..rng.below(12)).map(|_| one_of(rng, &WORDS) + if rng.once_in(2) { " " } else { "" }).collect(),
        1 => {
            let mut chars: Vec<char> = expression(rng).chars().collect();
            let at = rng.below(chars.len() as u64) as usize;
            match rng.below(3) {
                0 => drop(chars.remove(at)),
                1 => chars.truncate(at),
                _ => chars.insert(at, char::from(32 + rng.below(95) as u8)),
            }
            chars.into_iter().collect()
        }
        _ => {
            let bytes: Vec<u8> = (0..rng.below(60)).map(|_| rng.next() as u8).collect();
            String::from_utf8_lossy(&bytes).into_owned()
        }
    }
}
