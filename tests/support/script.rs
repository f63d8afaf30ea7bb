//! Golden scripts: a text of requests, each followed by what came of it: status, headers that matter, body, and the
//! entries it put in the log.
//!
//! ```text
//! ### what is shown
//! POST /api/collections/notes/records
//! Content-Type: application/json
//!
//! {"text": "hello"}
//! => 201
//! etag: "1-NODE-2"
//! {"id": "ID", …}
//! log 2: created notes ID
//! ```
//!
//! Positions are counted from what a new server writes by itself. A JSON body needs no `Content-Type` line. What differs from run to run is masked: `NODE`, `TIME`, `ID` (an id the
//! server made), `HASH` (of a body, in a tag), `LOOK1` and so on (what else is in a tag, each time it is another), `CURSOR1` and so on, and
//! likewise `TOKEN1`, `KEY1` for what an answer gives under `token` and `key`; in a request `NODE`, `ID` and `HASH` (the last ones) stand for what was
//! masked. `{x*300}` in a request is 300
//! times an `x`, `@nest 9` a body of nine nested lists, `@long 9` a body of nine letters, `@data shop/records.json
//! orders 0` what stands there in a file of `data`. What a target must escape is escaped, but for `%`, `&` and `+`. The
//! lines of a form end in CRLF. With `GOLDEN=write` in the environment the answers in the script are replaced by those
//! that come.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use millpond::id::Seq;
use millpond::model::change::Change;
use millpond::model::schema::Schema;

use super::http::{Answer, Client};
use super::server::Running;

/// Headers that are part of the contract; others vary or are the transport's.
const SHOWN: [&str; 10] = [
    "allow",
    "connection",
    "content-disposition",
    "content-type",
    "etag",
    "idempotency-replayed",
    "location",
    "millpond-seq",
    "retry-after",
    "www-authenticate",
];
/// Bodies up to this many characters stay on one line.
const ONE_LINE: usize = 110;
/// Time after which a server that does not do what it must fails the test.
const PATIENCE: Duration = Duration::from_secs(60);

/// Plays a script against a new server and compares.
pub fn play(path: &Path) {
    let golden = std::fs::read_to_string(path).expect("a script");
    let mut player = Player::new();
    let mut played = String::new();
    for (at, part) in golden.split("\n### ").enumerate() {
        if at == 0 {
            played.push_str(part);
            continue;
        }
        let request = part.split("\n=> ").next().expect("a first part");
        write!(played, "\n### {}", request).expect("a string");
        played.push_str(&player.step(request));
    }
    if std::env::var_os("GOLDEN").is_some_and(|how| how == "write") {
        std::fs::write(path, &played).expect("writable");
    }
    if let Some((line, (is, was))) = played.lines().zip(golden.lines()).enumerate().find(|(_, (is, was))| is != was) {
        panic!("{} line {}:\n    golden: {was}\n    answer: {is}", path.display(), line + 1);
    }
    assert_eq!(played, golden, "{}: one is the other's beginning", path.display());
}

struct Player {
    server: Running,
    client: Client,
    seen: Seq,
    /// What the server had written before the first request.
    began: Seq,
    schema: Schema,
    node: String,
    id: String,
    hash: String,
    /// Of tags, in the order in which they were met.
    looks: Vec<String>,
    /// Of lists, in the order in which they were met.
    cursors: Vec<String>,
    tokens: Vec<String>,
    keys: Vec<String>,
}

impl Player {
    fn new() -> Player {
        let server = Running::start();
        let client = Client::new(server.address);
        let view = server.core.view();
        let (seen, schema, node) =
            (view.position.seq, (*view.schema).clone(), format!("{:08x}", view.position.epoch.node.0));
        Player {
            server,
            client,
            seen,
            began: seen,
            schema,
            node,
            id: "0".repeat(26),
            hash: String::new(),
            looks: Vec::new(),
            cursors: Vec::new(),
            tokens: Vec::new(),
            keys: Vec::new(),
        }
    }

    /// Sends one request; its outcome as the script writes it.
    fn step(&mut self, request: &str) -> String {
        let request = repeated(&self.placed(request).replace("ID", &self.id).replace("HASH", &self.hash));
        let (head, body) = request.split_once("\n\n").unwrap_or((&request, ""));
        let mut lines = head.lines().skip(1);
        let (method, target) = lines.next().and_then(|line| line.split_once(' ')).expect("a method and a target");
        let mut headers: Vec<(&str, &str)> = lines
            .map(|line| line.split_once(':').map(|(name, value)| (name, value.trim())).expect("a header"))
            .collect();
        let body = (!body.trim().is_empty()).then(|| body_of(body.trim()));
        if body.is_some() && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            headers.push(("content-type", "application/json"));
        }
        headers.retain(|(_, value)| *value != "none");
        let is_form = headers.iter().any(|(_, value)| value.starts_with("multipart/"));
        let body = if is_form { body.map(|body| with_line_ends(&body)) } else { body };
        // The times of two steps differ, or whether `updated` changes would be chance.
        std::thread::sleep(Duration::from_millis(2));
        let answer = self.client.request(method, &escaped(target), &headers, body.as_deref()).expect("an answer");
        self.learn(&answer);
        let mut outcome = format!("\n=> {}\n", answer.status);
        for name in SHOWN {
            if let Some(value) = answer.header(name).filter(|value| *value != "application/json") {
                let value = self.masked(value);
                let value = body_hash(&value).map_or(value.clone(), |hash| value.replace(hash, "HASH"));
                let value = if name == "etag" { self.with_look(value) } else { value };
                writeln!(outcome, "{name}: {value}").expect("a string");
            }
        }
        if !answer.body.is_empty() {
            writeln!(outcome, "{}", self.shown(&answer)).expect("a string");
        }
        self.logged(&mut outcome);
        outcome
    }

    /// Takes note of the node, of a made id and of a body's hash.
    fn learn(&mut self, answer: &Answer) {
        if let Some(node) = answer.header("millpond-seq").and_then(|seq| seq.split('-').nth(1)) {
            self.node = node.to_owned();
        }
        if let Some(hash) = answer.header("etag").and_then(body_hash) {
            self.hash = hash.to_owned();
        }
        if let Some(id) = answer.header("location").and_then(|place| place.rsplit('/').next()).filter(|id| is_made(id))
        {
            self.id = id.to_owned();
        }
    }

    fn shown(&mut self, answer: &Answer) -> String {
        let Ok(mut json) = serde_json::from_slice::<serde_json::Value>(&answer.body) else {
            return self.masked(answer.text());
        };
        mask_request(&mut json, answer.header("x-request-id"));
        for (member, name, met) in [
            ("nextCursor", "CURSOR", &mut self.cursors),
            ("token", "TOKEN", &mut self.tokens),
            ("key", "KEY", &mut self.keys),
        ] {
            if let Some(serde_json::Value::String(text)) = json.get_mut(member) {
                // Two tokens of one second are the same text.
                let place = if name == "TOKEN" { last_of(met, text) } else { place_of(met, text) };
                *text = format!("{name}{place}");
            }
        }
        let short = json.to_string();
        let text = if short.len() > ONE_LINE { serde_json::to_string_pretty(&json).expect("JSON") } else { short };
        self.masked(&text)
    }

    /// A request with positions of this run.
    fn placed(&self, request: &str) -> String {
        let mut parts = request.split("NODE");
        let mut placed = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (number, rest) = number_of(part);
            placed.push_str(&self.node);
            match number {
                Some(seq) => write!(placed, "-{}{rest}", seq + self.began.0).expect("a string"),
                None => placed.push_str(part),
            }
        }
        // The later ones first: the name of one is the beginning of another's.
        for (name, met) in [("CURSOR", &self.cursors), ("TOKEN", &self.tokens), ("KEY", &self.keys)] {
            for (at, text) in met.iter().enumerate().rev() {
                placed = placed.replace(&format!("{name}{}", at + 1), text);
            }
        }
        placed
    }

    /// A tag in which what a look comes to has a name: it counts definitions, of which a server has some of its own.
    fn with_look(&mut self, tag: String) -> String {
        let Some((version, look)) = tag.trim_matches('"').split_once('~') else { return tag };
        if look == "HASH" {
            return tag;
        }
        format!("\"{version}~LOOK{}\"", place_of(&mut self.looks, look))
    }

    fn masked(&self, text: &str) -> String {
        masked(&self.node, self.began, text)
    }

    /// The entries since the last step, one change a line. Where something is left to be removed, also what the server does
    /// on its own.
    fn logged(&mut self, outcome: &mut String) {
        let log = self.server.core.log();
        let mut left = 0;
        loop {
            for entry in log.read_from(self.seen, usize::MAX).expect("the log") {
                self.seen = entry.position.seq;
                for change in &entry.entry.changes {
                    left += garbage(&self.schema, change);
                    let told = told(&mut self.schema, change);
                    let seq = self.seen.0 - self.began.0;
                    writeln!(outcome, "log {seq}: {}", self.masked(&told)).expect("a string");
                }
            }
            if left == 0 {
                return;
            }
            log.wait_past(self.seen, PATIENCE);
        }
    }
}

/// Masks the request's id, also in the problems of a batch's parts: all are of one request.
fn mask_request(json: &mut serde_json::Value, header: Option<&str>) {
    match json {
        serde_json::Value::Object(members) => {
            for (key, value) in members {
                if key == "requestId" {
                    assert_eq!(value.as_str(), header, "body and header name one request");
                    *value = "REQUEST".into();
                } else {
                    mask_request(value, header);
                }
            }
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(|item| mask_request(item, header)),
        _ => {}
    }
}

/// The hash in a tag, if it is one of a whole body, which may hold times.
fn body_hash(tag: &str) -> Option<&str> {
    let (_, hash) = tag.trim_matches('"').split_once('~')?;
    (hash.len() > 8).then_some(hash)
}

/// Without what differs from run to run.
fn masked(node: &str, began: Seq, text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        if is_time(rest) {
            masked.push_str("TIME");
            rest = &rest[24..];
        } else if word > 0 {
            let (one, after) = rest.split_at(word);
            rest = after;
            masked.push_str(match one {
                made if is_made(made) => "ID",
                word if word == node => "NODE",
                other => other,
            });
            if let (true, (Some(seq), behind)) = (one == node, number_of(after)) {
                // The entries before the first request have no number of their own here.
                write!(masked, "-{}", seq.saturating_sub(began.0)).expect("a string");
                rest = behind;
            }
        } else {
            masked.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    masked
}

/// The place of a text that was met last.
fn last_of(met: &mut Vec<String>, text: &str) -> usize {
    met.push(text.to_owned());
    met.len()
}

/// The place of a text among those that were met, from 1.
fn place_of(met: &mut Vec<String>, text: &str) -> usize {
    let known = met.iter().position(|known| known == text);
    known.unwrap_or_else(|| {
        met.push(text.to_owned());
        met.len() - 1
    }) + 1
}

/// The number in `-12…`, and what stands behind it.
fn number_of(text: &str) -> (Option<u64>, &str) {
    let Some(digits) = text.strip_prefix('-') else { return (None, text) };
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    (digits[..end].parse().ok(), &digits[end..])
}

/// A time of this run: of this century's later years, as the scripts' own dates are not.
fn is_time(text: &str) -> bool {
    let Some(start) = text.get(..24) else { return false };
    let shape = start.bytes().zip("2000-00-00 00:00:00.000Z".bytes()).all(|(is, of)| match of {
        b'0' | b'2' => is.is_ascii_digit(),
        other => is == other,
    });
    shape && start.as_bytes() >= b"2026".as_slice()
}

/// An id that the server made.
fn is_made(word: &str) -> bool {
    word.len() == 26 && word.starts_with("01") && word.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
}

/// Writes out `{x*300}`.
fn repeated(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("{x*") {
        let (times, behind) = rest[at + 3..].split_once('}').expect("a closing brace");
        out.push_str(&rest[..at]);
        out.push_str(&"x".repeat(times.parse().expect("a number")));
        rest = behind;
    }
    out + rest
}

fn escaped(target: &str) -> String {
    let mut out = String::new();
    for c in target.chars() {
        match c {
            ' ' | '"' | '<' | '>' | '|' | '{' | '}' => write!(out, "%{:02X}", u32::from(c)).expect("a string"),
            c => out.push(c),
        }
    }
    out
}

/// A form's lines end as HTTP's do.
fn with_line_ends(body: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(body).replace('\n', "\r\n").into_bytes()
}

fn body_of(text: &str) -> Vec<u8> {
    let number = |text: &str| text.parse::<usize>().expect("a number");
    if let Some(depth) = text.strip_prefix("@nest ") {
        let depth = number(depth);
        return format!("{{\"data\":{}{}}}", "[".repeat(depth), "]".repeat(depth)).into_bytes();
    }
    if let Some(place) = text.strip_prefix("@data ") {
        return from_data(place).into_bytes();
    }
    match text.strip_prefix("@long ") {
        Some(length) => format!("{{\"text\":\"{}\"}}", "x".repeat(number(length))).into_bytes(),
        None => text.as_bytes().to_vec(),
    }
}

/// The JSON at a place in a file of `data`: `shop/records.json orders 0`.
fn from_data(place: &str) -> String {
    let mut words = place.split(' ');
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(words.next().expect("a file"));
    let text = std::fs::read_to_string(file).expect("a file of data");
    let whole: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let step = |at: serde_json::Value, word: &str| match word.parse::<usize>() {
        Ok(place) => at[place].clone(),
        Err(_) => at[word].clone(),
    };
    words.fold(whole, step).to_string()
}

/// How much more there is to be removed behind a change: fillings and indexes.
fn garbage(schema: &Schema, change: &Change) -> i32 {
    match change {
        Change::Dropped { .. } => 1,
        Change::Reclaimed { done, .. } | Change::Unindexed { done, .. } => -i32::from(*done),
        Change::Defined { collection, definition } => {
            let defined: millpond::model::schema::Collection = serde_json::from_str(definition).expect("a definition");
            let Some(old) = schema.get(*collection) else { return 0 };
            if old.generation != defined.generation {
                return 1;
            }
            let goes = |id| !defined.index(id).is_some_and(|index| index.is_kept());
            old.kept_indexes().filter(|index| goes(index.id)).count() as i32
        }
        _ => 0,
    }
}

/// A change in a line.
fn told(schema: &mut Schema, change: &Change) -> String {
    let name = |schema: &Schema, id| schema.get(id).map_or_else(String::new, |found| found.name.to_string());
    match change {
        Change::Created { collection, id, .. } => format!("created {} {id}", name(schema, *collection)),
        Change::Updated { collection, id, before, .. } => {
            let fields = schema.get(*collection).into_iter().flat_map(|found| {
                before.iter().filter_map(|(field, _)| Some(found.field_by_id(*field)?.name.to_string()))
            });
            format!("updated {} {id}: {}", name(schema, *collection), fields.collect::<Vec<_>>().join(" "))
        }
        Change::Deleted { collection, id, .. } => format!("deleted {} {id}", name(schema, *collection)),
        Change::Defined { definition, .. } => {
            let defined: millpond::model::schema::Collection = serde_json::from_str(definition).expect("a definition");
            let told = format!("defined {}", defined.name);
            schema.put(defined);
            told
        }
        Change::Dropped { collection, .. } => {
            let told = format!("dropped {}", name(schema, *collection));
            schema.remove(*collection);
            told
        }
        Change::Reclaimed { keys, done, .. } => format!("reclaimed {} keys, done {done}", keys.len()),
        Change::Backfilled { rows, keys, .. } => format!("backfilled {} keys, {rows} rows in all", keys.len()),
        Change::Rewritten { collection, id, .. } => format!("rewritten {} {id}", name(schema, *collection)),
        Change::Progressed { rows, .. } => format!("progressed, {rows} rows in all"),
        Change::Unindexed { keys, done, .. } => format!("unindexed {} keys, done {done}", keys.len()),
        Change::Advanced { handler, through } => match through {
            Some(_) => format!("advanced handler {handler}"),
            None => format!("ended handler {handler}"),
        },
        Change::Remembered(remembered) => format!("remembered the answer to {}", remembered.kept.len()),
        Change::Forgotten { answers, .. } => format!("forgot {} answers", answers.len()),
        Change::Began { before } => format!("began an epoch behind {before}"),
    }
}
