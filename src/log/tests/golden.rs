//! A segment of format 1 as it was once written, opened for ever after: every kind of change, every kind of value.

use super::*;
use crate::disk::Open;
use crate::id::{Chain, Epoch, Mark, Position};
use crate::model::once::{Fingerprint, Kept, Remembered};
use crate::model::record::Record;
use crate::model::value::Fields;

const SEGMENT: &str = "00000000000000000001.log";
/// The chain after its last entry.
const CHAIN: Chain = Chain(0x5e81_b277_1697_05ef_3b3d_5975_0795_10c2);

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/golden/segment-1.zst")
}

fn values() -> Fields {
    let values = [
        Value::Bool(true),
        Value::Int(i64::MIN),
        Value::Number(-0.5),
        Value::text("ä\0"),
        Value::Date(Millis(-1)),
        Value::List(vec![Value::text("a"), Value::text("b")]),
        Value::Json("{\"a\":[1,null]}".into()),
        Value::Point(13.4, 52.5),
    ];
    (1..).map(FieldId).zip(values).collect()
}

fn entries() -> Vec<Entry> {
    let (collection, generation) = (CollectionId(300), Generation(1));
    let id = RecordId::new("record-1").expect("an id");
    let definition = "{\"name\":\"things\"}".to_owned();
    let one = |change| Entry { changes: vec![change] };
    vec![
        one(Change::Defined { collection, definition: definition.clone() }),
        one(Change::Created { collection, generation, id: id.clone(), after: values() }),
        Entry {
            changes: vec![
                Change::Updated {
                    collection,
                    generation,
                    id: id.clone(),
                    after: [(FieldId(1), Value::Bool(false))].into_iter().collect(),
                    before: vec![(FieldId(1), Value::Bool(true)), (FieldId(9), Value::Null)],
                    since: Seq(2),
                },
                Change::Deleted { collection, generation, id, before: values(), since: Seq(3) },
            ],
        },
        one(Change::Dropped { collection, definition }),
        one(Change::Reclaimed { collection, generation, keys: vec![vec![2, 0, 255], vec![]], done: true }),
    ]
}

#[test]
fn a_segment_of_format_1_opens() {
    let packed = crate::disk::read_all(&RealDisk, &golden()).expect("the golden file");
    let bytes = zstd::decode_all(&packed[..]).expect("zstd");
    let disk = SimDisk::new(1);
    disk.create_dir_all(Path::new(DIR)).expect("a folder");
    let file = disk.open(&Path::new(DIR).join(SEGMENT), Open::CreateNew).expect("a file");
    file.write_at(0, &bytes).expect("room");
    let (_, reader, recovery) = open_at(&disk, Seq(5)).expect("it opens");
    assert_eq!((recovery.database, recovery.first, recovery.cut), (DatabaseId(7), Seq(1), None));
    assert_eq!(recovery.last.to_string(), "1-00000003-5");
    assert_eq!(recovery.chain, CHAIN);
    let found = read_all(&reader);
    assert_eq!(found.iter().map(|logged| (*logged.entry).clone()).collect::<Vec<_>>(), entries());
    assert!(found.iter().all(|logged| logged.time == Millis(1000 + logged.position.seq.0 as i64)));
}

/// Those that the golden segment has none of: an entry, and its bytes.
fn later() -> Vec<(Change, &'static str)> {
    let (collection, generation, index) = (CollectionId(300), Generation(1), crate::id::IndexId(2));
    let keys = vec![vec![3, 0], vec![255]];
    let id = RecordId::new("ab").expect("an id");
    let version = Position { epoch: Epoch { counter: 2, node: NodeId(0x9f3a) }, seq: Seq(300) };
    let after: Fields = [(FieldId(1), Value::Int(7))].into_iter().collect();
    let fingerprint = |byte| Fingerprint([byte; 16]);
    let kept = vec![
        Kept::Change(1),
        Kept::Record(collection, Record { id: id.clone(), version, fields: after.clone() }),
        Kept::Gone(collection),
        Kept::Definition(collection, Seq(5), "{}".to_owned()),
        Kept::Counts(300, 2),
        Kept::Told("{\"a\":1}".to_owned()),
    ];
    let (key, body, time, oldest) = (fingerprint(0xaa), fingerprint(0xbb), Millis(-2), Seq(9));
    let forgotten = vec![(Seq(8), fingerprint(0xcc))];
    let remembered = Remembered { key, body, time, kept, bytes: 500, before: 4, forgotten, oldest };
    let before = vec![(FieldId(1), Value::Null)];
    let mark = |change| Mark { position: version, change };
    vec![
        (
            Change::Backfilled { collection, generation, index, through: id.clone(), rows: 300, keys: keys.clone() },
            "0106ac020102026162ac020202030001ff",
        ),
        (Change::Unindexed { collection, generation, index, keys, done: true }, "0107ac0201020202030001ff01"),
        (
            Change::Remembered(remembered),
            "0108aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb0306000101ac0202616202babe02ac020101020e02ac0203ac0205027b7d04ac020205077b2261223a317df403040108cccccccccccccccccccccccccccccccc09",
        ),
        (
            Change::Rewritten { collection, generation, id: id.clone(), after, before, version },
            "0109ac02010261620101020e01010002babe02ac02",
        ),
        (Change::Progressed { collection, generation, through: id.clone(), rows: 300 }, "010aac0201026162ac02"),
        (Change::Advanced { handler: id.clone(), through: Some(mark(None)) }, "010b0261620102babe02ac0200"),
        (Change::Advanced { handler: id.clone(), through: Some(mark(Some(3))) }, "010b0261620102babe02ac020103"),
        (Change::Advanced { handler: id, through: None }, "010b02616200"),
        (Change::Began { before: version }, "010c02babe02ac02"),
        (
            Change::Forgotten { answers: vec![(Seq(8), fingerprint(0xcc))], bytes: 500, oldest: Seq(300) },
            "010d0108ccccccccccccccccccccccccccccccccf403ac02",
        ),
    ]
}

#[test]
fn changes_that_came_later_keep_their_bytes_and_are_read_from_them() {
    for (change, bytes) in later() {
        let entry = Entry { changes: vec![change] };
        let is: String = encode(&entry).expect("small").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(is, bytes, "{entry:?}");
        let stored: Vec<u8> =
            (0..bytes.len()).step_by(2).map(|at| u8::from_str_radix(&bytes[at..at + 2], 16).expect("hex")).collect();
        assert_eq!(decode(&stored).expect("it is read"), entry);
    }
}

/// Fails to compile when there is a new kind, and fails when nothing here has one of its bytes.
#[test]
fn every_kind_of_change_has_its_bytes_here() {
    fn number(change: &Change) -> usize {
        match change {
            Change::Created { .. } => 0,
            Change::Updated { .. } => 1,
            Change::Deleted { .. } => 2,
            Change::Defined { .. } => 3,
            Change::Dropped { .. } => 4,
            Change::Reclaimed { .. } => 5,
            Change::Backfilled { .. } => 6,
            Change::Unindexed { .. } => 7,
            Change::Remembered(_) => 8,
            Change::Rewritten { .. } => 9,
            Change::Progressed { .. } => 10,
            Change::Advanced { .. } => 11,
            Change::Began { .. } => 12,
            Change::Forgotten { .. } => 13,
        }
    }
    let all =
        entries().into_iter().flat_map(|entry| entry.changes).chain(later().into_iter().map(|(change, _)| change));
    let mut numbers: Vec<usize> = all.map(|change| number(&change)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers, (0..14).collect::<Vec<_>>());
}

#[test]
#[ignore = "writes the golden file of a new format; that of an old one stays"]
fn write_golden_file() {
    let disk = SimDisk::new(1);
    disk.create_dir_all(Path::new(DIR)).expect("a folder");
    let (mut writer, _, _) = open_at(&disk, Seq::ZERO).expect("an empty folder");
    for entry in entries() {
        let payload = encode(&entry).expect("small");
        let time = Millis(1000 + writer.next().seq.0 as i64);
        writer.stage(time, Arc::new(entry), &payload);
        writer.commit().expect("a healthy disk");
    }
    writer.mark().expect("a healthy disk");
    eprintln!("{:#x}", writer.chain().0);
    let bytes = crate::disk::read_all(&disk, &Path::new(DIR).join(SEGMENT)).expect("the segment");
    let packed = zstd::encode_all(&bytes[..], 19).expect("zstd");
    crate::disk::replace_file(&RealDisk, &golden(), &packed).expect("room");
}
