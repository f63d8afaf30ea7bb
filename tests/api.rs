//! The contract as scripts: each plays requests against a server of its own and compares every answer, and what was
//! logged, with the script's own text. See `support::script` for their form.

mod support;

use std::path::{Path, PathBuf};

use support::script::play;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident)+) => {
        $($(#[$doc])* #[test]
        fn $name() {
            play(&folder().join(concat!(stringify!($name), ".script")));
        })+

        #[test]
        fn every_script_is_played() {
            let mut found: Vec<String> = std::fs::read_dir(folder())
                .expect("the scripts")
                .map(|item| item.expect("an item").file_name().into_string().expect("a name"))
                .collect();
            found.sort();
            let mut played = vec![$(concat!(stringify!($name), ".script")),+];
            played.sort_unstable();
            assert_eq!(found, played);
        }
    };
}

scripts! {
    collections
    records
    faults
    conflicts
    conditions
    lists
    limits
    access
}
