//! What holds of every value and of any bytes at all.

use proptest::prelude::*;

use super::*;

/// Any text of JSON within a small depth, as compact as the pipeline makes it.
fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|flag| flag.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| serde_json::to_string(&n).expect("finite")),
        any::<String>().prop_map(|text| serde_json::to_string(&text).expect("text")),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(|items| format!("[{}]", items.join(","))),
            proptest::collection::btree_map(any::<String>(), inner, 0..5).prop_map(|members| {
                let members: Vec<String> = members
                    .into_iter()
                    .map(|(key, value)| format!("{}:{value}", serde_json::to_string(&key).expect("text")))
                    .collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

/// Values for the fields of [`round_trip`], null among them.
fn values() -> impl Strategy<Value = Fields> {
    let optional = proptest::option::of::<BoxedStrategy<Value>>;
    let ids = proptest::collection::btree_set("[A-Za-z0-9_-]{1,100}", 0..20);
    (
        optional(any::<String>().prop_map(Value::text).boxed()),
        optional(any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| Value::Number(n + 0.0)).boxed()),
        optional(any::<i64>().prop_map(Value::Int).boxed()),
        optional(any::<bool>().prop_map(Value::Bool).boxed()),
        optional((Millis::MIN.0..=Millis::MAX.0).prop_map(|at| Value::Date(Millis(at))).boxed()),
        optional(ids.prop_map(|ids| Value::List(ids.into_iter().map(Value::text).collect())).boxed()),
        optional(json_text().prop_filter("null", |text| text != "null").prop_map(|t| Value::Json(t.into())).boxed()),
    )
        .prop_map(|(text, number, whole, flag, date, list, json)| {
            let all = [text, number, whole, flag, date, list, json];
            (1..).map(FieldId).zip(all).filter_map(|(id, value)| Some((id, value?))).collect()
        })
}

fn round_trip() -> Collection {
    collection(
        r#"{"name": "c", "fields": [
        {"name": "text", "type": "text", "max": 100000, "sanitize": []},
        {"name": "number", "type": "number"},
        {"name": "whole", "type": "number", "integer": true},
        {"name": "flag", "type": "bool"},
        {"name": "date", "type": "date"},
        {"name": "list", "type": "relation", "collection": "c", "maxSelect": 50},
        {"name": "json", "type": "json"}
    ]}"#,
    )
}

proptest! {
    #[test]
    fn what_is_shown_reads_back_as_what_was_stored(fields in values()) {
        let collection = round_trip();
        let text = shown(&collection, fields.clone(), &Mask::all(false));
        prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
        let op = put(&collection, Some("made"), text.as_bytes(), None, false, made(), true);
        prop_assert_eq!(fields_of(op.expect("own text")), fields);
    }

    #[test]
    fn merging_agrees_with_a_tree_of_values(old in json_text(), patch in json_text()) {
        use serde_json::Value as Json;
        fn plain(target: Json, patch: &Json) -> Json {
            let Json::Object(changes) = patch else { return patch.clone() };
            let mut target = if let Json::Object(target) = target { target } else { serde_json::Map::new() };
            for (key, change) in changes {
                let old = target.get(key).cloned().unwrap_or(Json::Null);
                if change.is_null() {
                    target.shift_remove(key);
                } else {
                    target.insert(key.clone(), plain(old, change));
                }
            }
            Json::Object(target)
        }
        let tree = |text: &str| serde_json::from_str::<Json>(text).expect("JSON");
        let merged = crate::model::json::merge_json(Some(&old), &patch);
        prop_assert_eq!(tree(&merged), plain(tree(&old), &tree(&patch)));
    }

    #[test]
    fn compact_text_is_a_fixed_point(text in json_text()) {
        let mut again = String::new();
        crate::model::json::compact(&text, &mut again).expect("well-formed");
        prop_assert_eq!(&again, &text);
        let tree: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let spaced = serde_json::to_string_pretty(&tree).expect("JSON");
        let mut compact = String::new();
        crate::model::json::compact(&spaced, &mut compact).expect("well-formed");
        prop_assert_eq!(compact, tree.to_string());
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let collection = every_type();
        let _ = create(&collection, &bytes, made(), true);
        let _ = put(&collection, None, &bytes, None, true, made(), true);
        let _ = merge(&collection, &made(), &bytes, None, true);
        let _ = definition::parse(&Schema::default(), &bytes, NOW);
    }

    #[test]
    fn near_misses_of_a_body_never_panic(
        at in 0usize..400, byte in any::<u8>(), cut in 0usize..400,
    ) {
        let collection = every_type();
        let mut body = br#"{"text":"a\u00e9","whole":1.5e3,"date":"2001-01-01","selects":["a","b"],"json":{"a":[{"b":null}],"c":"\n"},"email":"a@b.org","expand":{"x":1}}"#.to_vec();
        if let Some(place) = body.get_mut(at) {
            *place = byte;
        }
        body.truncate(body.len().min(cut.max(1)));
        let _ = create(&collection, &body, made(), true);
        let _ = merge(&collection, &made(), &body, None, true);
    }
}
