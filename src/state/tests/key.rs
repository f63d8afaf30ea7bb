//! Keys order as values do, and come apart again.

use proptest::prelude::*;

use crate::id::{CollectionId, Generation, IndexId, Position, RecordId};
use crate::model::schema::IndexField;
use crate::model::value::{Fields, Value};
use crate::state::tests::fixture::{Dice, position, things};
use crate::state::{key, row};
use crate::time::Millis;

fn scalar() -> impl Strategy<Value = Value> {
    let near = prop_oneof![any::<i64>(), -5i64..5, (i64::MAX - 3000)..=i64::MAX, (1i64 << 53) - 3..(1i64 << 53) + 3];
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        near.clone().prop_map(Value::Int),
        near.prop_map(|whole| Value::Number(whole as f64 + 0.0)),
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| Value::Number(n + 0.0)),
        any::<i64>().prop_map(|at| Value::Date(Millis(at))),
        "[a\u{0}\u{1}\u{ff}]{0,4}".prop_map(Value::text),
        any::<String>().prop_map(Value::text),
    ]
}

fn sortable() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => scalar(),
        1 => prop::collection::vec(scalar(), 0..4).prop_map(Value::List),
        1 => "[a\u{0}b]{0,3}".prop_map(|text| Value::Json(text.into())),
        1 => (-180.0..180.0, -90.0..90.0).prop_map(|(a, b)| Value::Point(a, b)),
    ]
}

fn id() -> impl Strategy<Value = RecordId> {
    "[ab]{1,3}[A-Za-z0-9_.-]{0,5}".prop_map(|text| RecordId::new(&text).unwrap())
}

fn encoded(value: &Value, descending: bool) -> Vec<u8> {
    let mut key = Vec::new();
    key::push_value(&mut key, value, descending);
    key
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn values_order_as_their_bytes(a in sortable(), b in sortable()) {
        prop_assert_eq!(encoded(&a, false).cmp(&encoded(&b, false)), a.order(&b));
        prop_assert_eq!(encoded(&a, true).cmp(&encoded(&b, true)), b.order(&a));
        prop_assert!(a.order(&b).is_eq() || !encoded(&a, false).starts_with(&encoded(&b, false)), "{a:?} begins with {b:?}");
    }

    #[test]
    fn compound_entries_order_by_each_part_and_then_the_id(
        a in prop::collection::vec(scalar(), 3),
        b in prop::collection::vec(scalar(), 3),
        equal in 0usize..4,
        directions in prop::collection::vec(any::<bool>(), 3),
        ids in (id(), id()),
    ) {
        let mut b = b;
        b[..equal].clone_from_slice(&a[..equal]);
        let mut collection = things(1, 1);
        let mut index = collection.indexes[0].clone();
        index.fields = (1..=3).zip(&directions).map(|(field, descending)| {
            IndexField { field: crate::id::FieldId(field), descending: *descending }
        }).collect();
        collection.indexes = vec![index.clone()];
        let fields = |values: &[Value]| (1..).map(crate::id::FieldId).zip(values.iter().cloned()).collect::<Fields>();
        let key_a = key::index_entries(&collection, &index, &ids.0, &fields(&a)).remove(0);
        let key_b = key::index_entries(&collection, &index, &ids.1, &fields(&b)).remove(0);
        let turn = |order: std::cmp::Ordering, descending: bool| if descending { order.reverse() } else { order };
        let by_values = a.iter().zip(&b).zip(&directions).fold(std::cmp::Ordering::Equal, |sum, ((a, b), descending)| {
            sum.then(turn(a.order(b), *descending))
        });
        let expected = by_values.then(turn(ids.0.cmp(&ids.1), directions[2]));
        prop_assert_eq!(key_a.cmp(&key_b), expected);
        prop_assert_eq!(key::entry_id(&key_a, &index).unwrap(), ids.0);
        prop_assert_eq!(key::entry_index(&key_a).unwrap(), index.id);
    }

    #[test]
    fn the_end_of_a_prefix_is_behind_all_that_begin_with_it(prefix in prop::collection::vec(any::<u8>(), 1..6), rest in prop::collection::vec(any::<u8>(), 0..4), other in prop::collection::vec(any::<u8>(), 0..6)) {
        prop_assume!(prefix.iter().any(|byte| *byte != 0xFF));
        let end = key::after(&prefix);
        prop_assert!([&prefix[..], &rest].concat() < end);
        prop_assert_eq!(other >= prefix && other < end, other.starts_with(&prefix));
    }

    #[test]
    fn no_bytes_make_the_decoders_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), at in 0usize..6) {
        let index = &things(1, 1).indexes[at];
        let _ = key::entry_id(&bytes, index);
        let _ = key::row_id(&bytes);
        let _ = key::filling_of(&bytes);
        let _ = row::decode(&bytes);
    }
}

#[test]
fn a_row_reads_back() {
    let mut dice = Dice::new("rows", 11);
    for seq in 0..500 {
        let fields = dice.fields();
        let encoded = row::encode(position(seq), &fields).unwrap();
        assert_eq!(encoded.fields(), row::encode_fields(&fields).unwrap());
        let bytes = encoded.into_bytes();
        assert_eq!(row::decode(&bytes).unwrap(), (position(seq), fields));
        assert!(row::decode(&bytes[..bytes.len() - 1]).is_err());
        assert!(row::decode(&[&bytes[..], &[0]].concat()).is_err());
    }
}

/// These bytes are on disks: they never change.
#[test]
fn the_stored_formats_stay() {
    let collection = things(3, 2);
    let id = RecordId::new("x1").unwrap();
    let fields: Fields = [
        (crate::state::tests::fixture::NAME, Value::text("a\0b")),
        (crate::state::tests::fixture::WHOLE, Value::Int(-2)),
        (crate::state::tests::fixture::DATE, Value::Date(Millis(5))),
    ]
    .into_iter()
    .collect();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(&key::row(CollectionId(3), Generation(2), &id)), "0200000003000000027831");
    let entries: Vec<String> = collection
        .indexes
        .iter()
        .flat_map(|index| key::index_entries(&collection, index, &id, &fields))
        .map(|key| hex(&key))
        .collect();
    assert_eq!(
        entries,
        [
            "030000000300000002000000010561".to_owned() + "00ff6200017831",
            "03000000030000000200000002".to_owned() + "fcc000000000000000ffff" + "87ceff",
            "03000000030000000200000003".to_owned() + "01" + "fe" + "87ceff",
            "03000000030000000200000004".to_owned()
                + "fb7ffffffffffffffa"
                + "056100ff620001"
                + "033fffffffffffffff0000"
                + "7831",
            "03000000030000000200000006".to_owned() + "01" + "7831",
        ]
    );
    assert_eq!(
        hex(&row::encode(Position::default(), &fields).unwrap().into_bytes()),
        "010000000301040361006202020305050a"
    );
    assert_eq!(key::entry_index(&key::entry_head(CollectionId(3), Generation(2), IndexId(9))).unwrap(), IndexId(9));
}
