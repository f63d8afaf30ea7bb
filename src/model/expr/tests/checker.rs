//! What is refused when it is compiled, with its column; what types come out.

use super::*;

fn refused(world: &World, text: &str) -> String {
    match world.compile(text, false) {
        Ok(program) => format!("is {}", program.is()),
        Err(fault) => format!("column {}: {}", fault.at + 1, fault.message),
    }
}

#[test]
fn names_are_known_or_refused_with_their_place() {
    let table = [
        ("nope", "column 1: there is no field \"nope\""),
        ("total > nope", "column 9: there is no field \"nope\""),
        ("user.nope", "column 6: there is no field \"nope\""),
        ("user.boss.nope = 1", "column 11: there is no field \"nope\""),
        ("secret", "column 1: there is no field \"secret\""),
        ("user.token", "column 6: there is no field \"token\""),
        ("@request.auth.token", "column 15: there is no field \"token\""),
        ("@old.secret", "column 6: there is no field \"secret\""),
        ("@old.user.token", "column 11: there is no field \"token\""),
        ("products_via_maker", "column 1: there is no field \"products_via_maker\""),
        ("user.products_via_maker.price", "is a list of numbers"),
        ("user.products_via_boss.price", "column 6: there is no field \"products_via_boss\""),
        ("user.products_via_maker", "is a list of texts"),
        ("status.x", "column 1: status is a text and has no parts"),
        ("id.x", "column 1: id has no parts"),
        ("tags.x", "column 1: tags is a list of texts and has no parts"),
        ("tags.0", "is a text"),
        ("items.1", "is a text"),
        ("meta.a.b.0", "is any value"),
        ("items.price", "is a list of numbers"),
        ("items.maker.roles", "is a list of texts"),
        ("user.id", "is a text"),
        ("items.id", "is a list of texts"),
        ("collectionName", "is a text"),
        ("user.collectionName", "is a text"),
        ("user.boss.boss.boss.boss.boss.name", "is a text"),
        ("user.boss.boss.boss.boss.boss.boss.name", "column 36: a path goes over at most 6 relations"),
        ("@now", "is a date"),
        ("@hour", "is a number"),
        ("@nope", "column 1: there is no \"@nope\""),
        ("@request.nope", "column 1: there is no \"@request.nope\""),
        ("@request.auth.name", "is a text"),
        ("@request.auth.nope", "column 15: there is no field \"nope\""),
        ("@request.auth.boss.age", "is a number"),
        ("@request.body.total", "is a number"),
        ("@request.body.anything", "is any value"),
        ("@request.body.secret", "is any value"),
        ("@request.query.x", "is any value"),
        ("@request.method", "is a text"),
        ("@old.user.name", "is a text"),
        ("@collection.users.name", "column 1: there is no \"@collection.users.name\""),
        ("lookup('users', user).age", "is a number"),
        ("lookup('users', user).token", "column 23: there is no field \"token\""),
        ("lookup('nope', user).age", "column 8: there is no collection \"nope\""),
        ("lookup(status, user).age", "column 8: lookup takes the name of a collection in quotes"),
        ("lookup('users', total).age", "column 17: lookup takes an id here, not a number"),
        ("lookup('users', user)", "column 1: a lookup names a field: lookup('collection', id).field"),
        ("lower(note).x", "column 12: only lookup(…) has a path behind it"),
    ];
    let world = World::new();
    assert_rows(table.map(|(text, expected)| (text, refused(&world, text), expected)));
    for text in ["secret = 'x'", "user.token ~ 'x'", "@request.auth.token", "@request.body.secret"] {
        assert!(world.compile(text, true).is_ok(), "who sees hidden fields may use them: {text}");
    }
}

#[test]
fn types_fit_or_are_refused_with_their_place() {
    let table = [
        ("total = 'x'", "column 9: a number is compared with a text"),
        ("'x' = total", "column 1: a text is compared with a number"),
        ("total = status", "column 9: a number is compared with a text"),
        ("status = 5", "column 10: a text is compared with a number"),
        ("active = 1", "column 10: true or false is compared with a number"),
        ("active > false", "column 8: true and false are compared by = or !="),
        ("at > '2001-02-29'", "column 6: a date that exists is wanted here, such as '2001-02-28 12:30:00Z'"),
        ("'2001' < at", "column 1: a date that exists is wanted here, such as '2001-02-28 12:30:00Z'"),
        ("at = status", "column 6: a date is compared with a text"),
        ("at = 5", "column 6: a date is compared with a number"),
        ("at in ['2001-01-01', 'x']", "column 7: a date that exists is wanted here, such as '2001-02-28 12:30:00Z'"),
        ("n > null", "column 5: with null only = and != can be true"),
        ("null < n", "column 1: with null only = and != can be true"),
        ("note ~ null", "column 8: with null only = and != can be true"),
        ("note ~ tags", "column 8: ~ looks for a text, not a list of texts"),
        ("tags = 5", "column 8: a list of texts is compared with a number"),
        ("tags > ['a']", "column 6: two lists are compared by = or !="),
        ("tags:each > ['a']", "is true or false"),
        ("items.price = 'x'", "column 15: a list of numbers is compared with a text"),
        ("status in 'paid'", "column 11: in wants a list, not a text"),
        ("status in [1]", "column 11: a text is never in a list of numbers"),
        ("status in [null]", "column 12: null is equal to no element; ask for it by = null"),
        ("n in [1, 'a']", "column 10: the list began with a number, so a text doesn't belong"),
        ("n in [[1]]", "column 7: a list has no lists in it"),
        ("status in []", "is true or false"),
        ("meta.x > 5 && meta.x = 'a' && meta.x", "is true or false"),
        ("status && n = 1", "column 1: a comparison is wanted here, such as = or >: this is a text"),
        ("n = 1 || 5", "column 10: a condition is wanted here, not a number"),
        ("!status", "column 2: a comparison is wanted here, such as = or >: this is a text"),
        ("-status", "column 2: - takes a number, not a text"),
        ("total + status", "column 7: arithmetic of a number and a text has no meaning"),
        ("total + 1 - tags", "column 11: arithmetic of a number and a list of texts has no meaning"),
        ("status - note", "column 8: arithmetic of a text and a text has no meaning"),
        ("status + note", "is a text"),
        ("total + n * 2", "is a number"),
        ("meta.a + meta.b", "is any value"),
        ("meta.a + 1", "is a number"),
        ("at + 1", "column 4: arithmetic of a date and a number has no meaning"),
        ("nope(1)", "column 1: there is no function \"nope\""),
        ("lower()", "column 1: lower takes one argument"),
        ("round(1, 2, 3)", "column 1: round takes 1 or 2 arguments"),
        ("now(1)", "column 1: now takes nothing"),
        ("min()", "column 1: min takes at least 1"),
        ("lower(n)", "column 7: lower takes a text here, not a number"),
        ("len(n)", "column 5: len takes a text or a list here, not a number"),
        ("round(n, status)", "column 10: round takes a number here, not a text"),
        ("sum(tags)", "column 5: sum takes numbers here, not a list of texts"),
        ("max(n, status)", "column 8: max takes the same kind as before here, not a text"),
        ("max(n, total, items.price)", "is a number"),
        ("contains(tags, 1)", "column 16: contains takes one of the first's kind here, not a number"),
        ("contains(total, 1)", "column 10: contains takes a text or a list here, not a number"),
        ("coalesce(n, status)", "column 13: coalesce takes the same kind as before here, not a text"),
        ("coalesce(n, null, 5)", "is a number"),
        ("if(n, 1, 2)", "column 4: if takes a condition here, not a number"),
        ("if(n = 1, 1, 'x')", "column 14: if takes the same kind as before here, not a text"),
        ("if(n = 1, tags, ['a'])", "is a list of texts"),
        ("if(n = 1, tags, 'a')", "column 17: if takes the same kind as before here, not a text"),
        ("date(n)", "column 6: date takes a date here, not a number"),
        ("date('2001-01-01 10:00')", "is a text"),
        ("date('x')", "column 6: date takes a date here, not a text"),
        ("addDays(at, 'x')", "column 13: addDays takes a number here, not a text"),
        ("addDays(@now, -7)", "is a date"),
        ("geoDistance(1, 2, 3, 'x')", "column 22: geoDistance takes a number here, not a text"),
        ("matches(note, '(')", "column 15: not a regular expression: unclosed group"),
        ("matches(note, note)", "column 15: matches takes a pattern in quotes"),
        ("matches(n, 'x')", "column 9: matches takes a text here, not a number"),
        (r"matches(note, '\w{500}')", "column 15: the pattern is too large when compiled"),
        ("note:each", "column 5: :each is for lists"),
        ("n:lower", "column 2: :lower is for texts"),
        ("n:length", "column 2: :length is for lists and texts"),
        ("user.name:changed", "column 10: :changed is for a field, and for one of @request.body"),
        ("@request.body.nope:changed", "column 19: :changed is for a field, and for one of @request.body"),
        ("tags:length", "is a number"),
        ("n:isset", "is true or false"),
    ];
    let world = World::new();
    assert_rows(table.map(|(text, expected)| (text, refused(&world, text), expected)));
}

#[test]
fn an_expression_has_few_patterns() {
    let world = World::new();
    let joined = |count: usize| vec!["matches(note, 'x')"; count].join(" || ");
    assert!(world.compile(&joined(crate::limits::EXPRESSION_PATTERNS_MAX), false).is_ok());
    let fault = world.compile(&joined(crate::limits::EXPRESSION_PATTERNS_MAX + 1), false).expect_err("one more");
    assert_eq!(fault.message, "an expression has at most 8 patterns");
}

#[test]
fn a_filter_must_be_a_condition() {
    let world = World::new();
    for text in ["active", "meta.flag", "n = 1", "true", "@request.query.x = 'y'", "null"] {
        assert!(world.condition(text).is_ok(), "{text}");
    }
    for text in ["n", "note", "tags", "@now", "[true]", "1 + 1"] {
        assert!(world.condition(text).is_err(), "{text}");
    }
}

#[test]
fn what_an_expression_depends_on_is_known() {
    let world = World::new();
    let uses = |text: &str| world.compile(text, false).expect("sound").uses().clone();
    let orders = world.collection("orders");
    let fields = |names: &[&str]| names.iter().map(|name| orders.field(name).expect("a field").id).collect::<Vec<_>>();
    let own = uses("n = 1 && meta.x > 2 && lower(note) = 'x' && n < 3");
    assert_eq!(own, Uses { fields: fields(&["n", "meta", "note"]), ..Uses::default() });
    assert_eq!(uses("user.name = 'x' && id != 'y'").fields, fields(&["user"]));
    assert!(uses("at < @now").clock && uses("at < now()").clock && uses("@hour = 1").clock);
    assert!(uses("user = @request.auth.id").request);
    assert!(uses("@old.n = 1").old && uses("n:changed").old);
    let (users, products) = (world.collection("users").id, world.collection("products").id);
    assert_eq!(uses("items.maker.name = 'x'").collections, [products, users]);
    assert_eq!(uses("lookup('products', note).price > 1").collections, [products]);
    assert_eq!(uses("user.products_via_maker.price ?> 1").collections, [users, products]);
}

#[test]
fn what_is_constant_is_evaluated_once() {
    let world = World::new();
    let constant = |text: &str| world.compile(text, false).expect("sound").constant().cloned();
    assert_eq!(constant("1 + 2 * 3"), Some(Value::Int(7)));
    assert_eq!(constant("n = 1 && 1 > 2"), Some(Value::Bool(false)));
    assert_eq!(constant("n = 1 || lower('A') = 'a'"), Some(Value::Bool(true)));
    assert_eq!(constant("'abc' ~ 'B' && 2 in [1, 2]"), Some(Value::Bool(true)));
    assert_eq!(constant("n > 1"), None);
    assert_eq!(constant("@now > '2001-01-01'"), None, "the clock is read when it is evaluated");
}
