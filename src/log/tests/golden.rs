//! A segment of format 1 as it was once written, opened for ever after: every kind of change, every kind of value.

use super::*;
use crate::disk::Open;
use crate::id::Chain;
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

#[test]
fn changes_that_came_later_keep_their_bytes() {
    let (collection, generation, index) = (CollectionId(300), Generation(1), crate::id::IndexId(2));
    let keys = vec![vec![3, 0], vec![255]];
    let through = RecordId::new("ab").expect("an id");
    let table = [
        (
            Change::Backfilled { collection, generation, index, through, rows: 300, keys: keys.clone() },
            "0106ac0201020261 62ac0202020300 01ff",
        ),
        (Change::Unindexed { collection, generation, index, keys, done: true }, "0107ac02010202 02030001ff01"),
    ];
    for (change, bytes) in table {
        let entry = Entry { changes: vec![change] };
        let is: String = encode(&entry).expect("small").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(is, bytes.replace(' ', ""), "{entry:?}");
    }
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
