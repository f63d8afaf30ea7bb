//! Tidiness as a test: the floors, the heads of files, and the invariants of absence that the compiler can't see.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The floors, lowest first. A file imports from lower floors and from its own folder; of floor 0 each may use those to
/// its left. Siblings on one floor don't know each other.
const FLOORS: &[&[&str]] = &[
    &["error", "id", "limits", "time", "config", "disk", "meter"],
    &["model"],
    &["log", "state", "journal", "outbound"],
    &["core"],
    &["search", "live", "handlers", "jobs", "replica", "backup"],
    &["service"],
    &["http", "admin"],
    &["server", "cli"],
];

/// `limits` names nothing and is named by `id`: of floor 0 it stands left of everything.
const LEFT_OF_ALL: &str = "limits";

/// Lines a source file may have before it must be split by subject.
const LINES_MAX: usize = 620;

/// The same of the admin page's files.
const PAGE_LINES_MAX: usize = 500;

fn sources() -> BTreeMap<PathBuf, String> {
    fn walk(dir: &Path, into: &mut BTreeMap<PathBuf, String>) {
        for item in fs::read_dir(dir).expect("a readable folder") {
            let path = item.expect("a folder's item").path();
            if path.is_dir() {
                walk(&path, into);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path).expect("readable source");
                into.insert(path, text);
            }
        }
    }
    let mut files = BTreeMap::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    assert!(files.len() > 30, "the sources are found");
    files
}

fn relative(path: &Path) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    path.strip_prefix(root).expect("below src").to_string_lossy().into_owned()
}

fn module(path: &Path) -> String {
    relative(path).split(['/', '.']).next().expect("a first part").to_owned()
}

fn place(module: &str) -> Option<(usize, usize)> {
    FLOORS
        .iter()
        .enumerate()
        .find_map(|(floor, names)| names.iter().position(|name| *name == module).map(|at| (floor, at)))
}

/// The code without comments and without the unit tests at the file's end.
fn code(text: &str) -> String {
    let body = text.split("#[cfg(test)]").next().expect("a first part");
    body.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The top modules that a file names by `crate::…`, also in braces.
fn imports(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut name = String::new();
            let mut fresh = true;
            for c in list.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        found.push(std::mem::take(&mut name));
                        fresh = true;
                    }
                    c if depth == 0 && fresh && (c.is_alphanumeric() || c == '_') => name.push(c),
                    c if depth == 0 && !c.is_whitespace() => fresh = false,
                    _ => {}
                }
            }
            found.push(name);
        } else {
            found.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

#[test]
fn imports_go_down_the_floors_only() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let own = module(&path);
        let Some((floor, at)) = place(&own) else {
            assert!(["lib", "main"].contains(&own.as_str()), "{own} has no place in the table of floors");
            continue;
        };
        for other in imports(&code(&text)) {
            let Some((other_floor, other_at)) = place(&other) else { continue };
            let same = other == own;
            let left = floor == 0 && other_floor == 0 && (other_at < at || other == LEFT_OF_ALL);
            let top = floor == FLOORS.len() - 1 && other_floor == floor;
            if !(same || other_floor < floor || left || top) {
                wrong.push(format!("{}: imports {other}", relative(&path)));
            }
        }
    }
    assert!(wrong.is_empty(), "imports up or sideways:\n{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    for (path, text) in sources() {
        assert!(text.starts_with("//! "), "{} does not open with //!", relative(&path));
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines: split it by subject", relative(&path));
    }
}

#[test]
fn every_file_of_the_admin_page_says_what_it_is_for() {
    fn walk(dir: &Path, ends: &[&str], into: &mut Vec<PathBuf>) {
        for item in fs::read_dir(dir).expect("a readable folder") {
            let path = item.expect("a folder's item").path();
            if path.is_dir() {
                walk(&path, ends, into);
            } else if path.extension().is_some_and(|end| ends.iter().any(|known| end == *known)) {
                into.push(path);
            }
        }
    }
    let mut files = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin/page"), &["js", "css"], &mut files);
    assert!(files.len() > 20, "the page's files are found");
    for path in files {
        let text = fs::read_to_string(&path).expect("readable source");
        let opening = if path.extension().is_some_and(|end| end == "js") { "// " } else { "/* " };
        assert!(text.starts_with(opening), "{} does not open with {opening}", relative(&path));
        let lines = text.lines().count();
        assert!(lines <= PAGE_LINES_MAX, "{} has {lines} lines: split it by subject", relative(&path));
    }
}

/// Who may name what. Each row: a text, and the only files (by the beginning of their path) that may hold it.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("begin_write", &["state/base", "state/filling"]),
    ("redb::", &["state/base", "state/backend", "state/filling"]),
    (
        "Guard::for_",
        &[
            "service/access",
            "model/guard.rs",
            "state/tests/",
            "core/tests/",
            "live/tests",
            "handlers/tests",
            "jobs/tests",
            "search/tests",
        ],
    ),
    ("unbounded(", &[]),
    ("SystemTime", &["time.rs"]),
    ("getrandom", &["core/open.rs", "service/ids.rs"]),
    ("std::fs::", &["disk/real.rs", "meter.rs", "cli/", "search/"]),
    (".stage(", &["core/writer.rs", "log/"]),
];

#[test]
fn what_is_owned_by_one_place_is_named_in_no_other() {
    for (path, text) in sources() {
        let (path, code) = (relative(&path), code(&text));
        for (word, places) in ONLY_IN {
            let allowed = places.iter().any(|place| path.starts_with(place));
            assert!(allowed || !code.contains(word), "{path} names {word}, which belongs to {places:?}");
        }
    }
}

#[test]
fn nothing_under_decide_and_effects_reads_a_clock() {
    for (path, text) in sources() {
        let path = relative(&path);
        let pure = ["model/", "core/decide", "state/effects", "state/key", "state/row", "state/tally"];
        if pure.iter().any(|place| path.starts_with(place)) {
            let code = code(&text);
            for word in ["Instant::now", "Clock::", "thread_rng", "HashMap<", "env::var"] {
                assert!(!code.contains(word), "{path} names {word}: it has to be the same on every server");
            }
        }
    }
}

#[test]
fn the_edge_touches_neither_log_nor_state() {
    for (path, text) in sources() {
        if relative(&path).starts_with("http/") {
            for other in imports(&code(&text)) {
                assert!(!["log", "state", "core"].contains(&other.as_str()), "{}: imports {other}", relative(&path));
            }
        }
    }
}
