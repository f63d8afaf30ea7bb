//! Files of each format as they were once written, opened for ever after.

use std::path::{Path, PathBuf};

use crate::disk::sim::SimDisk;
use crate::disk::{Disk, Open, read_all};
use crate::id::{CollectionId, Generation, RecordId};
use crate::state::snapshot::{load, write};
use crate::state::tests::fixture::{DIR, Dice, History, disk, open};
use crate::state::{Applied, Stack, Tally, check, schema_of, tally};

const TALLY: Tally = Tally { count: 68, digest: 261_747_518_848_618_298_193_716_208_246_057_715_072 };

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/golden").join(name)
}

fn base_file() -> PathBuf {
    Path::new(DIR).join("base")
}

fn assert_golden(found: &SimDisk) {
    let opened = open(found);
    let stack = Stack::new(opened.base.view());
    let schema = schema_of(&stack).unwrap();
    assert_eq!(tally(&stack, CollectionId(1), Generation(1)).unwrap(), TALLY);
    let report = check(&stack, &schema).unwrap();
    assert_eq!((report.problems, report.rows), (Vec::new(), TALLY.count));
    assert_eq!(opened.applied.position.to_string(), "1-00000007-41");
    let collection = schema.get(CollectionId(1)).unwrap();
    assert_eq!((&*collection.name, collection.indexes.len(), collection.version.0), ("things1", 6, 1));
    assert!(crate::state::record(&stack, collection, &RecordId::new("nobody").unwrap()).unwrap().is_none());
}

#[test]
fn a_base_of_format_1_opens() {
    let bytes = zstd::decode_all(&std::fs::read(golden("base-1.zst")).unwrap()[..]).unwrap();
    let found = disk(1);
    found.open(&base_file(), Open::CreateNew).unwrap().write_at(0, &bytes).unwrap();
    assert_golden(&found);
}

#[test]
fn a_snapshot_of_format_1_loads() {
    let found = disk(2);
    load(&found, Path::new(DIR), &mut &std::fs::read(golden("snapshot-1")).unwrap()[..]).unwrap();
    assert_golden(&found);
}

#[test]
#[ignore = "writes the golden files of a new format; those of an old one stay"]
fn write_golden_files() {
    let whole = disk(3);
    let mut dice = Dice::new("golden", 42);
    let mut history = History::on(&whole);
    (0..40).for_each(|_| history.step(&mut dice));
    let mut bytes = Vec::new();
    let applied: Applied = history.applied();
    write(&history.stack, &history.schema, applied, &mut bytes).unwrap();
    eprintln!("{:?}", tally(&history.stack, CollectionId(1), Generation(1)).unwrap());
    std::fs::write(golden("snapshot-1"), &bytes).unwrap();
    history.close();
    let base = read_all(&whole, &base_file()).unwrap();
    std::fs::write(golden("base-1.zst"), zstd::encode_all(&base[..], 19).unwrap()).unwrap();
}
