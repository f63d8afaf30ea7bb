//! Who may call what: every route there is, by every sort of caller, on a server without `dev`.

use millpond::http::{Effect, Endpoint, endpoints};

use crate::support::http::{Answer, Client};
use crate::support::server::Running;

pub(super) const ROOT: (&str, &str) = ("root@example.com", "an open secret");

/// A server on which nobody is superuser by sitting there, with one superuser.
pub(super) fn start() -> (Running, Client) {
    let server =
        Running::start_for(tempfile::tempdir().expect("a folder"), |settings| settings.dev = false, Some(ROOT));
    let client = Client::new(server.address);
    (server, client)
}

/// A token by password.
pub(super) fn login(client: &mut Client, collection: &str, identity: &str, password: &str) -> String {
    let body = serde_json::json!({"identity": identity, "password": password}).to_string();
    let answer = client.json("POST", &format!("/api/collections/{collection}/auth-with-password"), &body);
    let answer = answer.expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["token"].as_str().expect("a token").to_owned()
}

pub(super) fn root(client: &mut Client) -> String {
    login(client, "_superusers", ROOT.0, ROOT.1)
}

/// Sends a request with a token, if there is one.
pub(super) fn send(client: &mut Client, token: &str, method: &str, target: &str, body: &str) -> Answer {
    let lines = method == "POST" && target.ends_with("/import");
    let kind = if lines { "application/x-ndjson" } else { "application/json" };
    let mut headers = vec![("content-type", kind)];
    if !token.is_empty() {
        headers.push(("authorization", token));
    }
    if (method, target.split('?').next()) == ("GET", Some("/api/realtime")) {
        return client.head_of(method, target, &headers).expect("an answer");
    }
    let body = (!body.is_empty()).then_some(body.as_bytes());
    client.request(method, target, &headers, body).expect("an answer")
}

fn made(answer: Answer) -> serde_json::Value {
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

fn key(client: &mut Client, root: &str, settings: &str) -> String {
    let body = format!(r#"{{"name":"k",{settings}}}"#);
    let made = made(send(client, root, "POST", "/api/collections/_apiKeys/records", &body));
    made["key"].as_str().expect("shown once").to_owned()
}

/// A request of an endpoint that does what it is for, if its caller may: `turn` makes names that were not met before.
fn call(endpoint: &Endpoint, turn: usize) -> (String, String) {
    let (collection, id) = match (endpoint.method.as_str(), endpoint.path) {
        ("DELETE", "/api/collections/{collection}") => (format!("spare{turn}"), String::new()),
        ("PATCH", "/api/collections/{collection}") => ("spare0".to_owned(), String::new()),
        ("DELETE", path) if path.ends_with("/truncate") => ("spare0".to_owned(), String::new()),
        ("DELETE", _) => ("notes".to_owned(), format!("spare{turn}")),
        (_, path) if path.contains("auth-") || path.contains("impersonate") => ("people".to_owned(), "ada".to_owned()),
        _ => ("notes".to_owned(), "n1".to_owned()),
    };
    let target = endpoint.path.replace("{collection}", &collection).replace("{id}", &id);
    let body = match (endpoint.method.as_str(), endpoint.path) {
        ("POST", "/api/setup") => r#"{"token":"x","email":"x@example.com","password":"long enough"}"#.to_owned(),
        ("POST", "/api/collections") => format!(r#"{{"name":"made{turn}"}}"#),
        ("POST", "/api/batch") => {
            r#"{"requests":[{"method":"POST","url":"/api/collections/notes/records","body":{"text":"b"}}]}"#.to_owned()
        }
        ("POST", path) if path.ends_with("/auth-with-password") => {
            r#"{"identity":"ada@example.com","password":"correct horse"}"#.to_owned()
        }
        ("POST", path) if path.ends_with("/explain-access") => r#"{"action":"view","id":"n1"}"#.to_owned(),
        ("POST", path) if path.ends_with("/records") => r#"{"text":"x"}"#.to_owned(),
        ("PUT", path) if path.ends_with("/records") => format!(r#"{{"id":"p{turn}","text":"x"}}"#),
        ("POST", path) if path.ends_with("/{collection}/import") => r#"{"text":"i"}"#.to_owned(),
        ("POST", "/api/realtime") => r#"{"clientId":"nobody's","subscriptions":["notes/*"]}"#.to_owned(),
        ("POST", "/api/cache/invalidate") => r#"{"patterns":["notes/*"]}"#.to_owned(),
        ("PUT", "/api/collections/import") => format!(r#"{{"collections":[{{"name":"brought{turn}"}}]}}"#),
        ("PATCH", "/api/collections/{collection}") => r#"{"listRule":""}"#.to_owned(),
        ("PATCH" | "PUT", _) => format!(r#"{{"text":"x{turn}"}}"#),
        _ => String::new(),
    };
    (target, body)
}

/// What the table of callers is about: two collections, one of which anybody with a token may do all with.
fn fill(client: &mut Client, root: &str, turns: usize) {
    let people = r#"{"name":"people","type":"auth","listRule":"","viewRule":""}"#;
    let any = "@request.auth.id != ''";
    let notes = format!(
        r#"{{"name":"notes","fields":[{{"name":"text","type":"text"}}],"listRule":"{any}","viewRule":"{any}",
        "createRule":"{any}","updateRule":"{any}","deleteRule":"{any}"}}"#
    );
    for body in [people, &notes] {
        made(send(client, root, "POST", "/api/collections", body));
    }
    let ada = r#"{"id":"ada","email":"ada@example.com","password":"correct horse"}"#;
    made(send(client, root, "POST", "/api/collections/people/records", ada));
    made(send(client, root, "POST", "/api/collections/notes/records", r#"{"id":"n1","text":"x"}"#));
    for turn in 0..turns {
        made(send(client, root, "POST", "/api/collections", &format!(r#"{{"name":"spare{turn}"}}"#)));
        let spare = format!(r#"{{"id":"spare{turn}","text":"x"}}"#);
        made(send(client, root, "POST", "/api/collections/notes/records", &spare));
    }
}

#[test]
fn every_route_has_its_answer_for_every_caller() {
    let (_server, mut client) = start();
    let root = root(&mut client);
    fill(&mut client, &root, 5);
    let user = login(&mut client, "people", "ada@example.com", "correct horse");
    let whole = key(&mut client, &root, r#""actions":null"#);
    let users = key(&mut client, &root, r#""ownerCollection":"people","owner":"ada""#);
    let callers = ["", &user, &users, &whole, &root];
    let mut table = String::from("nobody user key superkey superuser\n");
    for endpoint in endpoints() {
        let statuses = callers.iter().enumerate().map(|(turn, token)| {
            let (target, body) = call(&endpoint, turn);
            send(&mut client, token, endpoint.method.as_str(), &target, &body).status.to_string()
        });
        let statuses: Vec<String> = statuses.collect();
        table.push_str(&format!("{} {} {}\n", endpoint.method, endpoint.path, statuses.join(" ")));
    }
    let expected = "\
nobody user key superkey superuser
GET /livez 200 200 200 200 200
GET /readyz 200 200 200 200 200
GET /metrics 401 403 403 200 200
GET /api/health 200 200 200 200 200
GET /api/openapi.json 200 200 200 200 200
GET /api/types.d.ts 401 403 403 200 200
POST /api/setup 401 401 401 401 401
GET /api/collections 401 403 403 200 200
POST /api/collections 401 403 403 201 201
PUT /api/collections/import 401 403 403 200 200
GET /api/collections/{collection} 401 403 403 200 200
PATCH /api/collections/{collection} 401 403 403 200 200
DELETE /api/collections/{collection} 401 403 403 204 204
GET /api/collections/{collection}/schema 200 200 200 200 200
DELETE /api/collections/{collection}/truncate 401 403 403 204 204
GET /api/collections/{collection}/auth-methods 200 200 200 200 200
POST /api/collections/{collection}/auth-with-password 200 200 200 200 200
POST /api/collections/{collection}/auth-refresh 401 200 403 403 403
POST /api/collections/{collection}/impersonate/{id} 401 403 403 200 200
POST /api/collections/{collection}/explain-access 401 403 403 200 200
GET /api/collections/{collection}/records 200 200 200 200 200
POST /api/collections/{collection}/records 401 201 201 201 201
PUT /api/collections/{collection}/records 401 201 201 201 201
GET /api/collections/{collection}/records/{id} 404 200 200 200 200
PATCH /api/collections/{collection}/records/{id} 404 200 200 200 200
PUT /api/collections/{collection}/records/{id} 401 200 200 200 200
DELETE /api/collections/{collection}/records/{id} 404 204 204 204 204
GET /api/collections/{collection}/records/aggregate 200 200 200 200 200
PATCH /api/collections/{collection}/records/aggregate 404 404 404 404 404
PUT /api/collections/{collection}/records/aggregate 401 201 200 200 200
DELETE /api/collections/{collection}/records/aggregate 404 204 404 404 404
POST /api/aggregate 400 400 400 400 400
POST /api/collections/{collection}/import 200 200 200 200 200
GET /api/collections/{collection}/export 200 200 200 200 200
POST /api/batch 401 200 200 200 200
GET /api/logs 401 403 403 200 200
GET /api/logs/stats 401 403 403 200 200
GET /api/logs/{id} 401 403 403 404 404
GET /api/realtime 200 200 200 200 200
POST /api/realtime 404 404 404 404 404
POST /api/realtime/token 401 200 403 403 200
GET /api/ws 400 400 400 400 400
GET /api/changes 200 200 200 200 200
GET /api/handlers/{id}/status 401 403 403 404 404
POST /api/handlers/{id}/redeliver 401 403 403 400 400
POST /api/jobs/{name}/run 401 403 403 404 404
POST /api/runs/{id}/cancel 401 403 403 404 404
GET /api/runs/{id}/file 401 403 403 404 404
GET /api/crons 401 403 403 200 200
POST /api/crons/{id} 401 403 403 404 404
GET /api/backups 401 403 403 200 200
POST /api/backups 401 403 403 204 204
POST /api/backups/upload 401 403 403 400 400
GET /api/backups/{key} 401 403 403 404 404
DELETE /api/backups/{key} 401 403 403 404 404
POST /api/backups/{key}/restore 401 403 403 404 404
POST /api/files/token 401 200 403 403 200
GET /api/replication 401 403 403 200 200
POST /api/replication/pull 401 403 403 400 400
POST /api/replication/snapshot 401 403 403 200 200
GET /api/replication/snapshot/{id} 401 403 403 404 404
DELETE /api/replication/snapshot/{id} 401 403 403 204 204
POST /api/replication/fence 401 403 403 400 400
POST /api/replication/promote 401 403 403 409 409
GET /api/cache 401 403 403 200 200
POST /api/cache/invalidate 401 403 403 200 200
";
    assert_eq!(table, expected, "{table}");
}

#[test]
fn a_key_that_only_reads_is_refused_by_every_route_that_writes() {
    let (server, mut client) = start();
    let root = root(&mut client);
    fill(&mut client, &root, 2);
    let reads = r#""actions":["list","view"]"#;
    let keys = [
        key(&mut client, &root, reads),
        key(&mut client, &root, &format!(r#"{reads},"ownerCollection":"people","owner":"ada""#)),
        key(&mut client, &root, r#""actions":[]"#),
        key(&mut client, &root, r#""collections":["people"],"actions":["list","view"]"#),
    ];
    let before = server.core.view().position;
    let (mut writing, mut reading) = (0, 0);
    for endpoint in endpoints() {
        for (turn, key) in keys.iter().enumerate() {
            let (target, body) = call(&endpoint, turn % 2);
            let answer = send(&mut client, key, endpoint.method.as_str(), &target, &body);
            match endpoint.effect {
                Effect::Writes | Effect::Forgets | Effect::Servers => {
                    writing += 1;
                    assert_eq!(answer.status, 403, "{} {target} with key {turn}: {}", endpoint.method, answer.text());
                }
                Effect::Reads | Effect::Grants | Effect::Listens => reading += u32::from(answer.status == 200),
            }
            assert_eq!(server.core.view().position, before, "{} {target} with key {turn} wrote", endpoint.method);
        }
    }
    assert!(writing >= 8 * keys.len() && reading > 0, "{writing} {reading}");
    // What they were refused was the key's doing: the same calls are good ones.
    made(send(&mut client, &root, "POST", "/api/collections", r#"{"name":"made0"}"#));
}

#[test]
fn an_api_key_is_not_made_under_an_idempotency_key_which_could_not_show_it_again() {
    const KEYS: &str = "/api/collections/_apiKeys/records";
    let (server, mut client) = start();
    let root = root(&mut client);
    fill(&mut client, &root, 0);
    let before = server.core.view().position;
    let batch = format!(
        r#"{{"requests":[{{"method":"DELETE","url":"/api/collections/notes/records/n1"}},
        {{"method":"POST","url":"{KEYS}","body":{{"name":"k"}}}}]}}"#
    );
    let put = format!("{KEYS}/k");
    for (method, target, body) in
        [("POST", KEYS, r#"{"name":"k"}"#), ("PUT", &*put, r#"{"name":"k"}"#), ("POST", "/api/batch", &*batch)]
    {
        let headers = [("authorization", &*root), ("content-type", "application/json"), ("idempotency-key", "once")];
        let refused = client.request(method, target, &headers, Some(body.as_bytes())).expect("an answer");
        assert_eq!((refused.status, &refused.json()["code"]), (400, &"key_shown_once".into()), "{}", refused.text());
        assert_eq!(server.core.view().position, before, "{method} {target} wrote");
    }
    // Its change shows no key, so it may be done once.
    let made = made(send(&mut client, &root, "POST", KEYS, r#"{"id":"k","name":"k"}"#));
    assert!(made["key"].is_string());
    let headers = [("authorization", &*root), ("content-type", "application/json"), ("idempotency-key", "once")];
    for _ in 0..2 {
        let changed = client.request("PATCH", &put, &headers, Some(br#"{"name":"other"}"#)).expect("an answer");
        assert_eq!(changed.status, 200, "{}", changed.text());
    }
}

/// Every text of an answer and of the log would show a hash.
fn tells_no_hash(text: &str) {
    assert!(!text.contains("$argon2") && !text.contains("$key$"), "{text}");
}

#[test]
fn a_changed_auth_collection_keeps_its_passwords_and_shows_none() {
    const PEOPLE: &str = "/api/collections/people";
    let (_server, mut client) = start();
    let root = root(&mut client);
    fill(&mut client, &root, 0);
    let mut change = |target: &str, method: &str, body: &str| send(&mut client, &root, method, target, body);
    let mut definition = change(PEOPLE, "GET", "").json();
    definition["fields"].as_array_mut().expect("fields").push(serde_json::json!({"name": "nick", "type": "text"}));
    let fields = serde_json::json!({"fields": definition["fields"], "authToken": {"duration": 600}}).to_string();
    let answer = change(PEOPLE, "PATCH", &fields);
    assert_eq!((answer.status, &answer.json()["authToken"]["duration"]), (200, &600.into()), "{}", answer.text());
    let answer = change(PEOPLE, "PATCH", r#"{"listRule":null}"#);
    assert_eq!((answer.status, answer.json()["fields"].as_array().map(Vec::len)), (200, Some(5)), "{}", answer.text());
    assert_eq!(answer.json()["authToken"]["duration"], 600);
    // A secret under another name or type would be shown.
    for name in ["password", "tokenKey"] {
        for kind in ["text", "json", "password", "secret", "editor"] {
            let mut fields = answer.json()["fields"].clone();
            let field = fields.as_array_mut().expect("fields").iter_mut().find(|field| field["name"] == name);
            let id = field.as_ref().expect("it")["id"].clone();
            *field.expect("it") = serde_json::json!({"id": id, "name": "plain", "type": kind});
            let refused = change(PEOPLE, "PATCH", &serde_json::json!({ "fields": fields }).to_string());
            assert!([400, 422].contains(&refused.status), "{name} as {kind}: {}", refused.text());
            let import = serde_json::json!({"collections": [{"name": "people", "fields": fields}]}).to_string();
            let refused = change("/api/collections/import", "PUT", &import);
            assert!([400, 422].contains(&refused.status), "{name} as {kind}: {}", refused.text());
        }
    }
    for body in [r#"{"type":"base"}"#, r#"{"fields":[{"name":"email","type":"text"}]}"#] {
        assert_eq!(change(PEOPLE, "PATCH", body).status, 400, "{body}");
    }
    login(&mut client, "people", "ada@example.com", "correct horse");
    tells_no_hash(send(&mut client, &root, "GET", "/api/collections/people/records", "").text());
}

#[test]
fn the_servers_own_collections_stay_as_they_are() {
    let (_server, mut client) = start();
    let root = root(&mut client);
    fill(&mut client, &root, 0);
    let mut ask = |method: &str, target: &str, body: &str| send(&mut client, &root, method, target, body);
    for name in ["_superusers", "_apiKeys", "_handlers", "_deadLetters", "_jobs", "_runs"] {
        let target = format!("/api/collections/{name}");
        for body in [r#"{"listRule":""}"#, r#"{"name":"mine"}"#, r#"{"fields":[{"name":"more","type":"text"}]}"#] {
            let refused = ask("PATCH", &target, body);
            assert!([400, 409].contains(&refused.status), "{name} {body}: {}", refused.text());
        }
        assert_eq!(ask("DELETE", &target, "").status, 409);
        assert_eq!(ask("DELETE", &format!("{target}/truncate"), "").status, 409);
        let import = format!(r#"{{"collections":[{{"name":"{name}","listRule":""}}]}}"#);
        assert_eq!(ask("PUT", "/api/collections/import", &import).status, 409);
    }
    assert_eq!(ask("POST", "/api/collections/_apiKeys/import", r#"{"name":"k"}"#).status, 422);
    // All that is there is brought as it is, and then nothing but what is the server's own is left.
    let all = ask("GET", "/api/collections?perPage=100", "").json()["items"].clone();
    let same = ask("PUT", "/api/collections/import", &serde_json::json!({ "collections": all }).to_string());
    assert_eq!((same.status, same.json()["changed"].as_array().map(Vec::len)), (200, Some(0)), "{}", same.text());
    let gone = ask("PUT", "/api/collections/import", r#"{"collections":[],"deleteMissing":true}"#);
    assert_eq!(gone.status, 200, "{}", gone.text());
    let left = ask("GET", "/api/collections", "").json();
    let names: Vec<&str> =
        left["items"].as_array().expect("items").iter().filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(names, ["_superusers", "_apiKeys", "_handlers", "_deadLetters", "_jobs", "_runs"]);
}

#[test]
fn accounts_that_are_imported_can_log_in_and_an_export_shows_no_secret() {
    let (server, mut client) = start();
    let root = root(&mut client);
    fill(&mut client, &root, 0);
    let lines = r#"{"id":"bob","email":"bob@example.com","password":"battery staple"}
        {"id":"eve","email":"eve@example.com"}
        {"id":"short","email":"short@example.com","password":"x"}
        {"id":"hash","email":"hash@example.com","password":"longer one","tokenKey":"known"}"#;
    for (mode, left) in [("", 2), ("?mode=upsert", 2), ("?mode=upsert&atomic=true", 0)] {
        let headers = [("content-type", "application/x-ndjson"), ("authorization", &*root)];
        let body = if left == 0 { lines.lines().next().expect("one") } else { lines };
        let target = format!("/api/collections/people/import{mode}");
        let answer = client.request("POST", &target, &headers, Some(body.as_bytes())).expect("an answer");
        let refused = answer.json()["refused"].as_u64().expect("a number");
        assert!(answer.status == 200 && refused >= left, "{mode}: {}", answer.text());
        tells_no_hash(answer.text());
        login(&mut client, "people", "bob@example.com", "battery staple");
    }
    for kind in ["", "?format=csv"] {
        let export = send(&mut client, &root, "GET", &format!("/api/collections/people/export{kind}"), "");
        assert!(export.status == 200 && export.text().contains("bob@example.com"), "{}", export.text());
        tells_no_hash(export.text());
        assert!(!export.text().contains("tokenKey") && !export.text().contains("password"), "{}", export.text());
    }
    let folder = server.stop().1;
    let log = std::fs::read_dir(folder.path().join("data").join("log")).expect("the log");
    for file in log {
        let bytes = std::fs::read(file.expect("a file").path()).expect("its bytes");
        assert!(
            !bytes.windows(14).any(|window| window == b"battery staple"),
            "a password is in the log as it was given"
        );
    }
}

#[test]
fn whether_an_account_exists_shows_in_no_answer() {
    let (_server, mut client) = start();
    let root = root(&mut client);
    fill(&mut client, &root, 0);
    let mut answers = std::collections::BTreeSet::new();
    for identity in ["ada@example.com", "ADA@EXAMPLE.COM", "nobody@example.com", "no address", "", "ada"] {
        for password in ["wrong horse", "", "x", &"x".repeat(2_000)] {
            let body = serde_json::json!({"identity": identity, "password": password}).to_string();
            let id = [("x-request-id", "same"), ("content-type", "application/json")];
            let target = "/api/collections/people/auth-with-password";
            let answer = client.request("POST", target, &id, Some(body.as_bytes())).expect("an answer");
            let headers = answer.headers.iter().filter(|(name, _)| name != "date").cloned().collect::<Vec<_>>();
            answers.insert((answer.status, headers, answer.body));
        }
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(answers.first().expect("one").0, 401);
}

#[test]
fn a_token_outlives_a_restart_and_no_copy_of_the_log_makes_one() {
    let (server, mut client) = start();
    let root = root(&mut client);
    fill(&mut client, &root, 0);
    let (_, folder) = server.stop();
    let secret = folder.path().join("data/secret.key");
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(&secret).expect("the server's secret").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let server = Running::start_for(folder, |settings| settings.dev = false, None);
    let mut client = Client::new(server.address);
    assert_eq!(send(&mut client, &root, "GET", "/api/collections", "").status, 200);
    let (_, folder) = server.stop();
    // The same records under another secret: what a copy of them comes to.
    std::fs::write(folder.path().join("data/secret.key"), [7; 32]).expect("written");
    let server = Running::start_for(folder, |settings| settings.dev = false, None);
    let mut client = Client::new(server.address);
    assert_eq!(send(&mut client, &root, "GET", "/api/collections", "").status, 401);
}

#[test]
fn a_setup_link_makes_one_superuser_once() {
    let server = Running::start_for(tempfile::tempdir().expect("a folder"), |settings| settings.dev = false, None);
    let token = server.setup.clone().expect("there is no superuser yet");
    let mut client = Client::new(server.address);
    let mut set_up = |token: &str, email: &str, password: &str| {
        let body = serde_json::json!({"token": token, "email": email, "password": password}).to_string();
        client.json("POST", "/api/setup", &body).expect("an answer")
    };
    assert_eq!(set_up("guessed", "a@example.com", "long enough").status, 401);
    assert_eq!(set_up(&token, "a@example.com", "short").status, 400, "what can't be is no use of it");
    let done = set_up(&token, "a@example.com", "long enough");
    assert_eq!(done.status, 201, "{}", done.text());
    assert_eq!(set_up(&token, "b@example.com", "long enough").status, 401);
    let token = done.json()["token"].as_str().expect("a token").to_owned();
    assert_eq!(send(&mut client, &token, "GET", "/api/collections", "").status, 200);
}

#[test]
fn passwords_of_one_transaction_are_bounded() {
    let (_server, mut client) = start();
    let root = root(&mut client);
    fill(&mut client, &root, 0);
    let members = r#"{"name":"members","type":"auth","createRule":""}"#;
    made(send(&mut client, &root, "POST", "/api/collections", members));
    let requests: Vec<String> = (0..=millpond::limits::TRANSACTION_PASSWORDS_MAX)
        .map(|n| {
            let body = format!(r#"{{"email":"u{n}@example.com","password":"long enough"}}"#);
            format!(r#"{{"method":"POST","url":"/api/collections/members/records","body":{body}}}"#)
        })
        .collect();
    let batch = |requests: &[String]| format!(r#"{{"requests":[{}]}}"#, requests.join(","));
    let over = send(&mut client, &root, "POST", "/api/batch", &batch(&requests));
    assert_eq!(over.status, 413, "{}", over.text());
    let within = send(&mut client, &root, "POST", "/api/batch", &batch(&requests[1..]));
    assert_eq!(within.status, 200, "{}", within.text());
    let one = login(&mut client, "members", "u5@example.com", "long enough");
    assert!(!one.is_empty());
    // Who is no superuser has a request cost one hash.
    let user = login(&mut client, "people", "ada@example.com", "correct horse");
    let more: Vec<String> = requests.iter().map(|request| request.replace("\"email\":\"u", "\"email\":\"v")).collect();
    let own = millpond::limits::CALLER_PASSWORDS_MAX;
    let over = send(&mut client, &user, "POST", "/api/batch", &batch(&more[..=own]));
    assert_eq!((over.status, over.json()["code"].as_str()), (413, Some("too_many_passwords")), "{}", over.text());
    let within = send(&mut client, &user, "POST", "/api/batch", &batch(&more[..own]));
    assert_eq!(within.status, 200, "{}", within.text());
}
