//! Definitions of auth collections.

use super::*;

fn of_fields(fields: &str) -> Result<Collection> {
    let body = format!(r#"{{"name":"people","type":"auth","fields":[{fields}]}}"#);
    parse(&Schema::default(), body.as_bytes(), Millis(0))
}

#[test]
fn an_auth_collection_has_its_own_fields_whatever_is_said_of_them() {
    let table = [
        ("", "email:email password:password verified:bool tokenKey:secret"),
        (r#"{"name":"n","type":"text"}"#, "n:text email:email password:password verified:bool tokenKey:secret"),
        (
            r#"{"name":"tokenKey"},{"name":"n","type":"bool"},{"name":"email","hidden":true}"#,
            "tokenKey:secret n:bool email:email password:password verified:bool",
        ),
        (
            r#"{"name":"password","type":"password","min":12},{"name":"verified","required":true}"#,
            "password:password verified:bool email:email tokenKey:secret",
        ),
    ];
    for (fields, expected) in table {
        let made = of_fields(fields).unwrap_or_else(|error| panic!("{fields}: {error}"));
        let named = made.fields.iter().map(|field| format!("{}:{}", field.name, field.kind.name()));
        assert_eq!(named.collect::<Vec<_>>().join(" "), expected);
        let auth = made.auth_fields().expect("all of them");
        let index = made.indexes.iter().find(|index| index.fields[0].field == auth.email).expect("an index");
        assert!(index.unique && index.system);
        let field = |id| made.field_by_id(id).expect("there");
        assert!(field(auth.token_key).hidden && field(auth.password).required);
        assert!(field(auth.password).is_secret() && field(auth.token_key).is_secret());
        assert!(field(auth.verified).default.is_some());
    }
}

#[test]
fn what_would_make_its_own_fields_others_is_refused_where_it_stands() {
    let table = [
        (r#"{"name":"email","type":"text"}"#, "fields.0.type: not_here;"),
        (r#"{"name":"n","type":"bool"},{"name":"password","type":"text"}"#, "fields.1.type: not_here;"),
        (r#"{"name":"password","default":"12345678"}"#, "fields.0.default: not_here;"),
        (r#"{"name":"password","computed":"name"}"#, "fields.0.computed: not_here;"),
        (r#"{"name":"password","min":0}"#, "fields.0.min: out_of_range;"),
        (r#"{"name":"password","min":600}"#, "fields.0.min: out_of_range;"),
        (r#"{"name":"tokenKey","computed":"'x'"}"#, "fields.0.computed: not_here;"),
        (r#"{"name":"verified","computed":"true"}"#, "fields.0.computed: not_here;"),
        (r#"{"name":"n","type":"text","aliases":["password"]}"#, "duplicate"),
        (r#"{"name":"oldPassword","type":"text"}"#, "fields.0.name: reserved;"),
        (r#"{"name":"pin","type":"password"}"#, "fields.0.type: not_here;"),
        (r#"{"name":"email"},{"name":"email"}"#, "duplicate"),
    ];
    for (fields, expected) in table {
        let error = of_fields(fields).expect_err(fields);
        let faults = error.field_faults().iter().map(|fault| format!("{}: {};", fault.field, fault.code));
        let faults: String = faults.collect();
        assert!(faults.contains(expected), "{fields}: {faults}");
    }
}

#[test]
fn no_expression_index_or_look_reaches_a_secret() {
    for secret in ["password", "tokenKey"] {
        let table = [
            format!(r#""listRule":"{secret} != ''""#),
            format!(r#""updateRule":"@old.{secret} = 'x'""#),
            format!(r#""updateRule":"{secret}:changed""#),
            format!(r#""viewRule":"@request.auth.{secret} = 'x'""#),
            format!(r#""checks":[{{"name":"c","expr":"len({secret}) > 0","message":"m"}}]"#),
            format!(r#""fields":[{{"name":"n","type":"text","computed":"{secret}"}}]"#),
            format!(r#""fields":[{{"name":"n","type":"text","default":{{"expr":"{secret}"}}}}]"#),
            format!(r#""fields":[{{"name":"n","type":"text","computed":"lookup('people', 'x').{secret}"}}]"#),
            format!(
                r#""fields":[{{"name":"to","type":"relation","collection":"people"}}],"listRule":"to.{secret} = 'x'""#
            ),
            format!(r#""indexes":[{{"name":"i","fields":["{secret}"]}}]"#),
            format!(r#""output":{{"fields":["{secret}"]}}"#),
        ];
        for settings in table {
            let body = format!(r#"{{"name":"people","type":"auth",{settings}}}"#);
            let refused = parse(&Schema::default(), body.as_bytes(), Millis(0));
            assert!(refused.is_err(), "{settings}");
        }
    }
}

#[test]
fn an_auth_collection_reads_back_as_it_was_stored() {
    let made = of_fields(r#"{"name":"n","type":"text"}"#).expect("sound");
    let stored = serde_json::to_string(&made).expect("JSON");
    assert_eq!(serde_json::from_str::<Collection>(&stored).expect("its own"), made);
    let mut shown = Vec::new();
    format(&Schema::default(), &made, &std::collections::BTreeMap::new(), &mut shown);
    let shown: serde_json::Value = serde_json::from_slice(&shown).expect("JSON");
    assert_eq!(shown["type"], "auth");
    assert_eq!(shown["indexes"], serde_json::json!([]));
}
