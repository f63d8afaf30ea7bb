//! The collection that all server benches work on, six fields and two indexes, and the requests on it.
//!
//! Everything that varies has a fixed width, so all records are of one size.

use std::rc::Rc;

use crate::template::Template;

/// What `POST /api/collections` is sent.
pub(crate) const DEFINITION: &str = r#"{
    "name": "orders", "type": "base",
    "fields": [
        {"name": "customer", "type": "text", "required": true, "max": 40},
        {"name": "status", "type": "select", "values": ["open", "paid", "sent", "done", "lost"], "default": "open"},
        {"name": "total", "type": "number", "min": 0},
        {"name": "note", "type": "text", "max": 2000, "sanitize": ["trim", "nfc"]},
        {"name": "placed", "type": "date", "required": true},
        {"name": "updated", "type": "autodate", "onCreate": true, "onUpdate": true}
    ],
    "indexes": [
        {"name": "by_customer", "fields": ["customer", "-placed"]},
        {"name": "by_status", "fields": ["status", "total"]}
    ],
    "listRule": "", "viewRule": "", "createRule": "", "updateRule": "", "deleteRule": ""
}"#;

/// Customers that the records are spread over.
pub(crate) const CUSTOMERS: u64 = 1_000;
const STATUSES: &[&str] = &["open", "paid", "sent", "done", "lost"];
const ID_DIGITS: usize = 14;
const RECORDS: &str = "/api/collections/orders/records";
const OWNED: &str = "/api/collections/owned/records";

/// A record without an id.
pub(crate) fn record() -> Template {
    Template::default().text("{").join(fields()).text("}")
}

fn fields() -> Template {
    Template::default()
        .text(r#""customer":"c"#)
        .random(0, CUSTOMERS, 4)
        .text(r#"","status":""#)
        .word(STATUSES)
        .text(r#"","total":"#)
        .random(100, 1_000, 3)
        .text(".")
        .random(0, 100, 2)
        .text(r#","note":"left at the door of house "#)
        .random(0, 10_000, 4)
        .text(r#", second ring","placed":"2026-"#)
        .random(1, 13, 2)
        .text("-")
        .random(1, 29, 2)
        .text("T")
        .random(0, 24, 2)
        .text(":")
        .random(0, 60, 2)
        .text(":")
        .random(0, 60, 2)
        .text(r#".000Z""#)
}

/// A create whose id the server makes.
pub(crate) fn create() -> Rc<Template> {
    post(record())
}

/// A create of the record that `read` asks for by its number.
pub(crate) fn fill() -> Rc<Template> {
    post(Template::default().text(r#"{"id":"p"#).number(ID_DIGITS).text(r#"","#).join(fields()).text("}"))
}

/// A read of one record among `filled`.
pub(crate) fn read(filled: u64) -> Rc<Template> {
    let head = format!("GET {RECORDS}/p");
    Template::default().text(&head).random(0, filled, ID_DIGITS).text(" HTTP/1.1\r\nhost: bench\r\n\r\n").shared()
}

/// The path of the first filled record.
pub(crate) fn first() -> String {
    format!("{RECORDS}/p{:0ID_DIGITS$}", 0)
}

/// Twenty orders of a customer, the newest first.
pub(crate) fn list() -> Rc<Template> {
    let head = format!("GET {RECORDS}?filter=customer%3D%27c");
    Template::default()
        .text(&head)
        .random(0, CUSTOMERS, 4)
        .text("%27&sort=-placed&perPage=20&skipTotal=1 HTTP/1.1\r\nhost: bench\r\n\r\n")
        .shared()
}

/// The same with a filter text of its own for each request, so that no answer is kept from the last one: what it says
/// more is true of all.
pub(crate) fn new_list() -> Rc<Template> {
    let head = format!("GET {RECORDS}?filter=customer%3D%27c");
    Template::default()
        .text(&head)
        .random(0, CUSTOMERS, 4)
        .text("%27%26%261")
        .number(8)
        .text("%3E0&sort=-placed&perPage=20&skipTotal=1 HTTP/1.1\r\nhost: bench\r\n\r\n")
        .shared()
}

/// A list with its total; each request has a filter text of its own, so that no count is known from the last one.
pub(crate) fn counted() -> Rc<Template> {
    let head = format!("GET {RECORDS}?filter=status%3D%27paid%27%26%26total%3E0.0");
    Template::default().text(&head).number(8).text("&sort=total&perPage=20 HTTP/1.1\r\nhost: bench\r\n\r\n").shared()
}

/// The path whose answer tells how many records are there.
pub(crate) fn total(filter: &str) -> String {
    format!("{RECORDS}?perPage=1{filter}")
}

/// The filter that `counted` counts by, for `total`.
pub(crate) const PAID: &str = "&filter=status%3D%27paid%27";

/// The definition of a collection of orders that each belong to an account, which alone may read it.
pub(crate) fn owned() -> String {
    let user = r#""fields": [{"name": "user", "type": "relation", "collection": "people"},"#;
    let named = DEFINITION.replacen(r#""orders""#, r#""owned""#, 1).replacen(r#""fields": ["#, user, 1);
    named.replacen(r#""viewRule": """#, r#""viewRule": "user = @request.auth.id""#, 1)
}

/// A create of the order of that account which `read_owned` asks for by its number.
pub(crate) fn fill_owned(user: &str) -> Rc<Template> {
    let head = format!(r#"","user":"{user}","#);
    let record = Template::default().text(r#"{"id":"p"#).number(ID_DIGITS).text(&head).join(fields()).text("}");
    post_to(OWNED, record)
}

/// A read of one of `filled` such orders.
pub(crate) fn read_owned(filled: u64, token: &str) -> Rc<Template> {
    with_token(Template::default().text(&format!("GET {OWNED}/p")).random(0, filled, ID_DIGITS), token)
}

/// A read of each of them in its turn.
pub(crate) fn each_owned(token: &str) -> Rc<Template> {
    with_token(Template::default().text(&format!("GET {OWNED}/p")).number(ID_DIGITS), token)
}

/// The path of the first of them.
pub(crate) fn first_owned() -> String {
    format!("{OWNED}/p{:0ID_DIGITS$}", 0)
}

fn with_token(target: Template, token: &str) -> Rc<Template> {
    target.text(&format!(" HTTP/1.1\r\nhost: bench\r\nauthorization: {token}\r\n\r\n")).shared()
}

fn post(body: Template) -> Rc<Template> {
    post_to(RECORDS, body)
}

/// A POST of `body` to a path.
pub(crate) fn post_to(path: &str, body: Template) -> Rc<Template> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    Template::default().text(&head).join(body).shared()
}
