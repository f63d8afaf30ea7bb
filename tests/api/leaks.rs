//! What a caller may not see is in no byte of an answer: two databases that differ in nothing else answer the same (F16),
//! and planted secrets never leave (F17). A way to read joins by a line in [`Asking::next`].

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use millpond::state;

use crate::accounts::{login, root, send};
use crate::support::http::{Answer, Client};
use crate::support::results;
use crate::support::rng::Rng;
use crate::support::server::Running;

/// In a hidden field's text, in both databases, with what differs behind it.
const HIDDEN: &str = "hidden-text";
const PASSWORD: &str = "correct horse";

const DEFINITIONS: [&str; 4] = [
    r#"{"name":"people","type":"auth","fields":[{"name":"name","type":"text"},{"name":"open","type":"bool"},
        {"name":"note","type":"text","hidden":true}],"search":{"fields":{"note":{},"name":{}},"facets":["name","note"]},
        "listRule":"open = true || id = @request.auth.id",
        "viewRule":"open = true || id = @request.auth.id"}"#,
    r#"{"name":"orders","fields":[{"name":"user","type":"relation","collection":"people"},
        {"name":"to","type":"relation","collection":"people","maxSelect":3},{"name":"total","type":"number"},
        {"name":"text","type":"text"},{"name":"data","type":"json"},{"name":"open","type":"bool"},
        {"name":"note","type":"text","hidden":true},{"name":"rank","type":"number","hidden":true},
        {"name":"words","type":"text"}],
        "search":{"fields":{"words":{"language":"en"},"text":{"boost":2},"note":{"boost":9}},"facets":["text","open","rank","user"]},
        "indexes":[{"name":"by_total","fields":["total"]},{"name":"by_note","fields":["note"]},
        {"name":"by_rank","fields":["rank","total"]},{"name":"by_text","fields":["text","-total"]}],
        "listRule":"open = true || user = @request.auth.id","viewRule":"open = true || user = @request.auth.id",
        "updateRule":"open = true && user = @request.auth.id"}"#,
    r#"{"name":"lines","fields":[{"name":"order","type":"relation","collection":"orders","onDelete":"cascade"},
        {"name":"n","type":"number","integer":true},{"name":"note","type":"text","hidden":true}],
        "listRule":"order.open = true && order.rank > 2","viewRule":"order.open = true","output":{"embed":{"order":["id","total"]}}}"#,
    r#"{"name":"closed","fields":[{"name":"order","type":"relation","collection":"orders"},{"name":"n","type":"number"}]}"#,
];

/// A server that holds what all may see and, by `which`, one or the other of what they may not.
struct World {
    server: Running,
    client: Client,
    root: String,
    ada: String,
    node: String,
}

impl World {
    fn new(which: u64, seed: u64) -> World {
        let superuser = Some(("root@example.com", "an open secret"));
        let server =
            Running::start_for(tempfile::tempdir().expect("a folder"), |settings| settings.dev = false, superuser);
        let mut client = Client::new(server.address);
        let root = root(&mut client);
        for body in DEFINITIONS {
            let answer = send(&mut client, &root, "POST", "/api/collections", body);
            assert_eq!(answer.status, 201, "{}", answer.text());
        }
        let node = format!("{:08x}", server.core.view().position.epoch.node.0);
        let mut world = World { server, client, root, ada: String::new(), node };
        world.fill(which, &mut Rng::new(seed), &mut Rng::new(seed ^ (which << 40)));
        world.ada = login(&mut world.client, "people", "ada@example.com", PASSWORD);
        world
    }

    /// `seen` decides what all may see and how much is written, `unseen` the rest.
    fn fill(&mut self, which: u64, seen: &mut Rng, unseen: &mut Rng) {
        for n in 0..8 {
            let id = if n == 0 { "ada".to_owned() } else { format!("p{n}") };
            let open = n % 2 == 0;
            let name = if open { seen.below(4) } else { unseen.below(1_000) };
            let body = format!(
                r#"{{"id":"{id}","email":"{id}@example.com","password":"{PASSWORD}","name":"n{name}","open":{open},"note":"{HIDDEN}{}"}}"#,
                unseen.next()
            );
            self.write("POST", "/api/collections/people/records", &body, 201);
        }
        for n in 0..60 {
            let open = seen.below(3) > 0;
            let by = if open { &mut *seen } else { &mut *unseen };
            let (user, to, total, text) = (by.below(8), by.below(8), by.below(20), by.below(6));
            let user = if user == 0 && open { "ada".to_owned() } else { format!("p{}", 1 + user % 7) };
            let body = format!(
                r#"{{"id":"o{n}","user":"{user}","to":["p{}"],"total":{total},"text":"t{text}","words":"{}","data":{{"a":{text}}},"open":{open},"note":"{HIDDEN}{}","rank":{}}}"#,
                1 + to % 7,
                words(by),
                unseen.next(),
                // What a rule asks is the same for all: the lists must be.
                if open { seen.below(6) } else { unseen.below(6) },
            );
            self.write("POST", "/api/collections/orders/records", &body, 201);
            // Of the hidden ones some are there in one database only: as many entries are logged in both.
            if !open && n % 3 == 0 {
                let path = format!("/api/collections/orders/records/o{n}");
                let gone = (n / 3) % 2 == which;
                let (method, body, status) =
                    if gone { ("DELETE", "", 204) } else { ("PATCH", r#"{"text":"changed"}"#, 200) };
                self.write(method, &path, body, status);
            } else {
                let line =
                    format!(r#"{{"id":"l{n}","order":"o{n}","n":{},"note":"{HIDDEN}{}"}}"#, n % 7, unseen.next());
                self.write("POST", "/api/collections/lines/records", &line, 201);
            }
            let closed = format!(r#"{{"id":"c{n}","n":{}}}"#, unseen.below(9));
            self.write("POST", "/api/collections/closed/records", &closed, 201);
        }
    }

    fn write(&mut self, method: &str, target: &str, body: &str, status: u16) {
        let answer = send(&mut self.client, &self.root.clone(), method, target, body);
        assert_eq!(answer.status, status, "{method} {target} {body}: {}", answer.text());
    }

    fn ask(&mut self, asked: &Asked) -> Answer {
        let token = match asked.caller {
            Who::Nobody => String::new(),
            Who::Ada => self.ada.clone(),
            Who::Root => self.root.clone(),
        };
        let mut headers = vec![("content-type", "application/json"), ("x-request-id", "same")];
        // What is found is found of all that was written.
        let position = self.server.core.view().position.to_string();
        if asked.target.contains("search=") {
            headers.push(("millpond-min-seq", &position));
        }
        if !token.is_empty() {
            headers.push(("authorization", &token));
        }
        let body = (!asked.body.is_empty()).then_some(asked.body.as_bytes());
        self.client.request(asked.method, &asked.target, &headers, body).expect("an answer")
    }

    /// An answer without what differs between any two servers.
    fn plain(&self, answer: &Answer) -> (u16, Vec<(String, String)>, String) {
        let plain = |text: &str| text.replace(&self.node, "NODE");
        let headers = answer.headers.iter().filter(|(name, _)| name != "date");
        let headers = headers.map(|(name, value)| (name.clone(), plain(value))).collect();
        (answer.status, headers, plain(&String::from_utf8_lossy(&answer.body)))
    }

    /// What is stored as a secret.
    fn secrets(&self) -> Vec<String> {
        let view = self.server.core.view();
        let mut secrets = Vec::new();
        for (name, id) in [("people", "ada"), ("people", "p1"), ("people", "p2")] {
            let collection = view.schema.find(name).expect("a collection");
            let id = millpond::id::RecordId::new(id).expect("an id");
            let record = state::record(&view.stack, collection, &id).expect("readable").expect("there");
            let auth = collection.auth_fields().expect("an auth collection");
            for field in [auth.password, auth.token_key] {
                secrets.push(record.fields.get(field).as_text().expect("a text").to_owned());
            }
        }
        assert!(matches!(secrets.len(), 6) && secrets.iter().all(|secret| secret.len() > 40));
        secrets
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    Nobody,
    Ada,
    Root,
}

#[derive(Debug)]
struct Asked {
    caller: Who,
    method: &'static str,
    target: String,
    body: String,
}

/// Makes requests that read, in every way there is.
struct Asking {
    rng: Rng,
    /// Of the last lists, for those that go on.
    cursor: Option<String>,
}

impl Asking {
    fn one<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.rng.below(of.len() as u64) as usize]
    }

    fn collection(&mut self) -> &'static str {
        self.one(&["people", "people", "orders", "orders", "orders", "orders", "lines", "lines", "closed"])
    }

    fn next(&mut self, caller: Who) -> Asked {
        let collection = self.collection();
        let records = format!("/api/collections/{collection}/records");
        let get = |target: String| Asked { caller, method: "GET", target, body: String::new() };
        match self.rng.below(15) {
            0 | 1 => {
                let id = self.id(collection);
                let look = self.look(collection);
                get(format!("{records}/{id}?{look}"))
            }
            2 => {
                let (id, look) = (self.rng.below(60), self.look("orders"));
                let target = format!("/api/collections/orders/records/o{id}?{look}");
                Asked { caller, method: "PATCH", target, body: r#"{"data":{"a":1}}"#.to_owned() }
            }
            3 => {
                let (a, b) = (self.rng.below(60), self.id(collection));
                let body = format!(
                    r#"{{"requests":[{{"method":"PATCH","url":"/api/collections/orders/records/o{a}?expand=user,lines_via_order","body":{{"total":1,"total+":0}}}},{{"method":"DELETE","url":"/api/collections/{collection}/records/{b}"}}]}}"#
                );
                Asked { caller, method: "POST", target: "/api/batch".to_owned(), body }
            }
            4 => get(format!("/api/collections/{collection}/schema")),
            5 => get(self
                .one(&[
                    "/api/collections",
                    "/api/health",
                    "/api/collections/people",
                    "/api/collections/people/auth-methods",
                ])
                .to_owned()),
            6 => {
                let filter = escaped(&self.filter(collection));
                let (which, limit) = (self.one(&["", "collections=", "filter="]), 1 + self.rng.below(80));
                let which = match which {
                    "" => String::new(),
                    "collections=" => format!("collections={collection}&"),
                    _ => format!("collections={collection}&filter={filter}&"),
                };
                get(format!("/api/changes?{which}limit={limit}"))
            }
            7 => {
                let (group, values) = (self.group(collection), self.values(collection));
                let filter = self.filter(collection);
                get(format!(
                    "{records}/aggregate?group={}&values={}&filter={}",
                    escaped(group),
                    escaped(values),
                    escaped(&filter)
                ))
            }
            8 => {
                let other = self.collection();
                let source = |asking: &mut Asking, of: &str| {
                    format!(
                        r#"{{"collection":"{of}","filter":"{}","group":{{"k":"{}"}},"values":{{"n":"count()","v":"{}"}}}}"#,
                        asking.filter(of),
                        asking.group(of),
                        asking.values(of),
                    )
                };
                let (a, b) = (source(self, collection), source(self, other));
                let merge =
                    self.one(&[r#""union""#, r#"{"join":["k"],"kind":"left"}"#, r#"{"join":["k"],"kind":"full"}"#]);
                let body = format!(r#"{{"sources":{{"a":{a},"b":{b}}},"merge":{merge}}}"#);
                Asked { caller, method: "POST", target: "/api/aggregate".to_owned(), body }
            }
            _ => {
                let mut parts = vec![self.look(collection)];
                if self.rng.below(3) > 0 {
                    parts.push(format!("filter={}", escaped(&self.filter(collection))));
                }
                if self.rng.below(2) == 0 {
                    parts.push(format!("sort={}", self.sort(collection)));
                }
                if self.rng.once_in(4)
                    && let Some(cursor) = &self.cursor
                {
                    parts.push(format!("cursor={cursor}"));
                } else if self.rng.once_in(2) {
                    parts.push(format!("page={}", 1 + self.rng.below(4)));
                }
                parts.push(format!("perPage={}", [1, 3, 30, 200][self.rng.below(4) as usize]));
                if self.rng.once_in(4) {
                    parts.push("skipTotal=1".to_owned());
                }
                if self.rng.once_in(20) {
                    parts.push("explain=1".to_owned());
                }
                if self.rng.once_in(3) {
                    parts.push(self.search(collection));
                }
                get(format!("{records}?{}", parts.join("&")))
            }
        }
    }

    fn search(&mut self, collection: &str) -> String {
        let searches: [&[&'static str]; 2] = [
            &[
                "wolf",
                "wolves%20h",
                "woof",
                "%22red%20fox%22",
                "fox%20-red",
                "-hen",
                "words:hunted",
                "t%23",
                "the%20hunt",
            ],
            &["n%23", "note:hidden", "hidden", "nope:x", "n", "-n1"],
        ];
        let other = self.rng.once_in(8);
        let search = self.one(searches[usize::from(collection == "people" || other)]);
        let number = self.rng.below(9).to_string();
        let mut text = format!("search={}", search.replace("%23", &number));
        if self.rng.once_in(2) {
            text.push_str(self.one(&[
                "&highlight=words",
                "&highlight=words,text",
                "&highlight=name",
                "&highlight=note",
            ]));
        }
        if self.rng.once_in(2) {
            text.push_str(self.one(&[
                "&facets=text,open",
                "&facets=user",
                "&facets=name",
                "&facets=rank",
                "&facets=note",
            ]));
        }
        text
    }

    fn id(&mut self, collection: &str) -> String {
        let n = self.rng.below(62);
        let letter = &collection[..1];
        match collection {
            "people" if n.is_multiple_of(3) => "ada".to_owned(),
            "people" => format!("p{}", n % 9),
            _ => format!("{letter}{n}"),
        }
    }

    /// One that fits the collection, but for one in ten.
    fn fitting(&mut self, collection: &str, of: &[(&str, &[&'static str])]) -> &'static str {
        let known = of.iter().find(|(name, _)| *name == collection).map_or(of[0].1, |(_, texts)| *texts);
        let texts = if self.rng.once_in(10) { of[self.rng.below(of.len() as u64) as usize].1 } else { known };
        self.one(texts)
    }

    fn look(&mut self, collection: &str) -> String {
        let mut parts = Vec::new();
        if self.rng.below(2) == 0 {
            let expand = self.fitting(
                collection,
                &[
                    ("orders", &["user", "to", "lines_via_order", "closed_via_order", "user.orders_via_user"]),
                    ("people", &["orders_via_user", "orders_via_to.lines_via_order", "orders_via_to.user"]),
                    ("lines", &["order", "order.user", "order.closed_via_order", "order.to"]),
                    ("closed", &["order"]),
                    ("none", &["note", "password", "tokenKey"]),
                ],
            );
            parts.push(format!("expand={expand}"));
        }
        if self.rng.once_in(5) {
            let embed = self.fitting(
                collection,
                &[
                    ("orders", &["user(id,name)", "to(id,email)", "user(verified)"]),
                    ("people", &[""]),
                    ("lines", &["order(total)", "order(id,data)", ""]),
                    ("none", &["user(id,note)", "order(id,note)", "user(password)"]),
                ],
            );
            parts.push(format!("embed={embed}"));
        }
        if self.rng.once_in(4) {
            let fields = self.fitting(
                collection,
                &[
                    ("orders", &["id", "id,total", "*", "id,data.a", "id,text:excerpt(3,true)"]),
                    ("people", &["id", "*", "name,email", "verified"]),
                    ("lines", &["id", "n", "*"]),
                    ("none", &["id,note", "id,password", "*,tokenKey", "rank"]),
                ],
            );
            parts.push(format!("fields={fields}"));
        }
        parts.join("&")
    }

    fn group(&mut self, collection: &str) -> &'static str {
        self.fitting(
            collection,
            &[
                (
                    "orders",
                    &["total", "text", "user", "user.name", "to:each", "to.name", "len(lines_via_order)", "open"],
                ),
                ("people", &["name", "open", "orders_via_user.total", "email"]),
                ("lines", &["n", "order", "order.total", "order.user.name"]),
                ("none", &["note", "rank", "order.rank", "password", "user.tokenKey", "closed_via_order.n"]),
            ],
        )
    }

    fn values(&mut self, collection: &str) -> &'static str {
        self.fitting(
            collection,
            &[
                (
                    "orders",
                    &[
                        "sum(total)",
                        "any(user.name)",
                        "last(text)",
                        "countDistinct(user.email)",
                        "max(lines_via_order.n)",
                    ],
                ),
                ("people", &["min(name)", "sum(orders_via_user.total)", "count(orders_via_to.id)"]),
                ("lines", &["avg(n)", "stddev(order.total)", "percentile(n, 50)", "first(order.text)"]),
                ("none", &["max(note)", "sum(rank)", "any(order.note)", "max(closed_via_order.n)", "any(password)"]),
            ],
        )
    }

    fn sort(&mut self, collection: &str) -> &'static str {
        self.fitting(
            collection,
            &[
                ("orders", &["total", "-total", "text,-total", "id", "-id", "open,text"]),
                ("people", &["name", "-name", "email", "id"]),
                ("lines", &["n", "-n", "id"]),
                ("none", &["note", "rank", "password", "tokenKey"]),
            ],
        )
    }

    /// `#` is a number, another each time.
    fn filter(&mut self, collection: &str) -> String {
        const OF: [(&str, &[&str]); 4] = [
            (
                "orders",
                &[
                    "total > #",
                    "text = 't#'",
                    "user = 'p#'",
                    "user = @request.auth.id",
                    "user.name = 'n#'",
                    "user.name != null",
                    "lines_via_order.n ?= #",
                    "lookup('orders', 'o#').total > 3",
                    "lookup('people', 'p#').name != null",
                    "lookup('closed', 'c#').n > 1",
                    "closed_via_order.n ?> #",
                    "to.email ?~ 'p#'",
                    "id > 'o#'",
                    "to:length > 0",
                    "user.open = false",
                    "@request.auth.name = 'n1'",
                    "user.orders_via_user.total ?= #",
                    "data.a = #",
                ],
            ),
            (
                "people",
                &[
                    "orders_via_user.total ?> #",
                    "orders_via_user:length > 2",
                    "name = 'n#'",
                    "email ~ 'p#'",
                    "orders_via_to.lines_via_order.n ?= #",
                    "open = true",
                    "verified = false",
                ],
            ),
            (
                "lines",
                &[
                    "order.total > #",
                    "n > #",
                    "order.user = @request.auth.id",
                    "order.user.name = 'n#'",
                    "order.open = false",
                ],
            ),
            (
                "none",
                &[
                    "note ~ '#'",
                    "rank > #",
                    "user.note ~ '#'",
                    "order.rank > #",
                    "password != ''",
                    "@request.auth.note != ''",
                ],
            ),
        ];
        let part = |asking: &mut Asking| {
            let text = asking.fitting(collection, &OF);
            text.replace('#', &asking.rng.below(20).to_string())
        };
        let first = part(self);
        match self.rng.below(4) {
            0 => format!("{first} && {}", part(self)),
            1 => format!("{first} || {}", part(self)),
            2 => format!("!({first})"),
            _ => first,
        }
    }
}

/// Some of few words, so that many records have the same.
fn words(rng: &mut Rng) -> String {
    const WORDS: [&str; 9] = ["the", "wolf", "wolves", "red", "fox", "hen", "hunts", "hunted", "house"];
    let count = 1 + rng.below(12);
    (0..count).map(|_| WORDS[rng.below(9) as usize]).collect::<Vec<_>>().join(" ")
}

fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// What all of this process's servers write to their logs.
fn logged() -> &'static Arc<Mutex<Vec<u8>>> {
    static LOGGED: OnceLock<Arc<Mutex<Vec<u8>>>> = OnceLock::new();
    LOGGED.get_or_init(|| {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let to = lines.clone();
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false);
        subscriber.with_writer(move || Lines(to.clone())).init();
        lines
    })
}

struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn databases_that_differ_in_what_may_not_be_seen_answer_the_same() {
    const ROUND: u64 = 500;
    let (started, seed) = (Instant::now(), results::seed());
    let wanted = results::size(2_000, 20_000, 1_000_000);
    let (mut asked_in_all, mut answered, mut failures) = (0, 0, Vec::new());
    let mut round = 0;
    while asked_in_all < wanted {
        let of_round = seed.wrapping_add(round);
        round += 1;
        let mut worlds = [World::new(0, of_round), World::new(1, of_round)];
        let mut asking = Asking { rng: Rng::new(of_round ^ 0xa5), cursor: None };
        for _ in 0..ROUND {
            let caller = if asking.rng.once_in(3) { Who::Nobody } else { Who::Ada };
            let asked = asking.next(caller);
            let [a, b] = &mut worlds;
            let (one, other) = (a.ask(&asked), b.ask(&asked));
            answered += u64::from(one.status == 200);
            asked_in_all += 1;
            if a.plain(&one) != b.plain(&other) {
                failures.push(format!("{asked:?}\n  {}\n  {}", a.plain(&one).2, b.plain(&other).2));
            }
            let next = serde_json::from_slice::<serde_json::Value>(&one.body).ok();
            asking.cursor = next.and_then(|body| Some(body["nextCursor"].as_str()?.to_owned())).or(asking.cursor);
        }
    }
    results::record("F16", asked_in_all, failures.len() as u64, started, seed);
    assert!(failures.is_empty(), "{} of {asked_in_all}, seed {seed}: {}", failures.len(), failures[0]);
    assert!(answered > asked_in_all / 3, "{answered} of {asked_in_all} were answered");
}

#[test]
fn planted_secrets_never_leave() {
    let lines = logged();
    let (started, seed) = (Instant::now(), results::seed());
    let wanted = results::size(2_000, 20_000, 1_000_000);
    let mut world = World::new(0, seed);
    let secrets = world.secrets();
    let mut asking = Asking { rng: Rng::new(seed ^ 0x5a), cursor: None };
    let mut failures = Vec::new();
    for _ in 0..wanted {
        let caller = [Who::Nobody, Who::Ada, Who::Root][asking.rng.below(3) as usize];
        let mut asked = asking.next(caller);
        match asking.rng.below(40) {
            0 => {
                asked.target = "/api/collections/people/auth-with-password".to_owned();
                (asked.method, asked.body) =
                    ("POST", format!(r#"{{"identity":"p1@example.com","password":"{PASSWORD}"}}"#));
            }
            1 => {
                asked.target = "/api/collections/people/records/p1?fields=*,password".to_owned();
                (asked.method, asked.body) = ("PATCH", format!(r#"{{"password":"{PASSWORD}","name":5}}"#));
            }
            2 => {
                asked.target = "/api/collections/people/records".to_owned();
                (asked.method, asked.body) =
                    ("POST", format!(r#"{{"email":"x","password":"{PASSWORD}","passwordConfirm":"no"}}"#));
            }
            _ => {}
        }
        if asked.method == "DELETE" || asked.target == "/api/batch" && caller == Who::Root {
            continue;
        }
        let answer = world.ask(&asked);
        let text = world.plain(&answer);
        let text = format!("{:?} {}", text.1, text.2);
        let told = secrets.iter().any(|secret| text.contains(secret.as_str()))
            || text.contains(PASSWORD)
            || (caller != Who::Root && text.contains(HIDDEN));
        if told {
            failures.push(format!("{asked:?}: {text}"));
        }
    }
    // What was changed meanwhile has new ones.
    let later = world.secrets();
    let log = String::from_utf8_lossy(&lines.lock().expect("no panic")).into_owned();
    for secret in secrets.iter().chain(&later).map(String::as_str).chain([PASSWORD, HIDDEN, &world.root, &world.ada]) {
        if log.contains(secret) {
            failures.push(format!("the log holds {secret}"));
        }
    }
    results::record("F17", wanted, failures.len() as u64, started, seed);
    assert!(failures.is_empty(), "{} of {wanted}, seed {seed}: {}", failures.len(), failures[0]);
    assert!(log.contains("answered"), "something was logged");
}
