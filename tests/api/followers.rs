//! A primary and its followers as their clients see them: reads and writes on either, what happens when one goes, who takes
//! its place, and that both always come to hold the same.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use millpond::backup::{self, Restore, Until};
use millpond::config::Settings;
use millpond::core;
use millpond::disk::{Disk, Open, RealDisk};
use millpond::state::{Base, Key, Layer, Read};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::http::{Answer, Client};
use crate::support::server::Running;
use crate::support::until::until;

const NOTES: &str = "/api/collections/notes/records";
const ADA: (&str, &str) = ("ada@example.com", "a long password");

/// A server of a cluster, with its key.
pub(crate) struct Node {
    pub(crate) server: Running,
    client: Client,
    pub(crate) key: String,
}

/// An address that is free now, for a server that has to come back to it.
pub(crate) fn address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address")
}

pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

impl Node {
    fn start(folder: TempDir, at: SocketAddr, key: Option<&str>, change: impl FnOnce(&mut Settings)) -> Node {
        let set = |settings: &mut Settings| {
            (settings.listen, settings.dev) = (at, false);
            settings.advertise = Some(format!("http://{at}"));
            settings.token = key.map(str::to_owned);
            settings.password_memory_kib = 8 << 10;
            change(settings);
        };
        let server = Running::start_for(folder, set, key.is_none().then_some(ADA));
        let client = Client::new(server.address);
        Node { client, server, key: key.unwrap_or_default().to_owned() }
    }

    /// One that has a key made for itself and all that follow it, and a collection.
    fn primary(at: SocketAddr) -> Node {
        Node::primary_with(at, |_| {})
    }

    /// The same with some settings changed.
    pub(crate) fn primary_with(at: SocketAddr, change: impl Fn(&mut Settings)) -> Node {
        let mut node = Node::start(folder(), at, None, &change);
        let login = format!(r#"{{"identity":"{}","password":"{}"}}"#, ADA.0, ADA.1);
        let login = node.client.json("POST", "/api/collections/_superusers/auth-with-password", &login);
        let token = login.expect("an answer").json()["token"].as_str().expect("a token").to_owned();
        node.key = token;
        let key = node.json("POST", "/api/collections/_apiKeys/records", r#"{"name":"replicas"}"#);
        node.key = key.json()["key"].as_str().expect("shown once").to_owned();
        let notes = json!({"name": "notes", "fields": [{"name": "text", "type": "text"}],
            "indexes": [{"name": "t", "fields": ["text"]}], "listRule": "", "viewRule": ""});
        assert_eq!(node.json("POST", "/api/collections", &notes.to_string()).status, 201);
        // It has the key to show itself from here on.
        let (key, (_, folder)) = (node.key.clone(), node.server.stop());
        Node::start(folder, at, Some(&key), change)
    }

    fn follower(of: &Node, folder: TempDir, at: SocketAddr) -> Node {
        Node::follower_with(of, folder, at, |_| {})
    }

    pub(crate) fn follower_with(of: &Node, folder: TempDir, at: SocketAddr, change: impl Fn(&mut Settings)) -> Node {
        let url = of.url();
        let set = |settings: &mut Settings| {
            settings.follow = Some(url);
            change(settings);
        };
        Node::start(folder, at, Some(&of.key), set)
    }

    fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    pub(crate) fn ask(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: Option<&str>) -> Answer {
        let bearer = format!("Bearer {}", self.key);
        let mut all = vec![("authorization", bearer.as_str())];
        all.extend_from_slice(headers);
        if body.is_some() {
            all.push(("content-type", "application/json"));
        }
        self.client.request(method, target, &all, body.map(str::as_bytes)).expect("an answer")
    }

    pub(crate) fn json(&mut self, method: &str, target: &str, body: &str) -> Answer {
        self.ask(method, target, &[], Some(body))
    }

    pub(crate) fn get(&mut self, target: &str) -> Answer {
        self.ask("GET", target, &[], None)
    }

    fn note(&mut self, id: &str) -> Answer {
        let made = self.json("POST", NOTES, &format!(r#"{{"id":"{id}","text":"text of {id}"}}"#));
        assert_eq!(made.status, 201, "{}", made.text());
        made
    }

    fn status(&mut self) -> Value {
        self.get("/api/replication").json()
    }

    fn has(&mut self, id: &str) -> bool {
        self.get(&format!("{NOTES}/{id}")).status == 200
    }

    fn finds(&mut self, word: &str) -> bool {
        self.get(&format!("{NOTES}?search={word}")).json()["totalItems"] == 1
    }

    fn stop(self) -> TempDir {
        self.server.stop().1
    }
}

/// Until a follower has all that its primary has; and then it is the same.
#[track_caller]
pub(crate) fn level(primary: &mut Node, follower: &mut Node) {
    let same = |one: &Value, other: &Value| ["position", "chain", "digest"].iter().all(|part| one[part] == other[part]);
    until("both are the same", || {
        let (primary, follower) = (primary.status(), follower.status());
        follower["state"] == "following" && same(&primary, &follower)
    });
}

fn diverged(data: &Path) -> Vec<std::path::PathBuf> {
    let items = std::fs::read_dir(data).expect("a folder").map(|item| item.expect("an item").path());
    items.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("diverged-"))).collect()
}

#[test]
fn a_follower_is_made_of_its_primary_and_stays_the_same() {
    let mut primary = Node::primary(address());
    for n in 0..50 {
        primary.note(&format!("n{n}"));
    }
    let mut follower = Node::follower(&primary, folder(), address());
    until("it is ready", || follower.get("/readyz").status == 200);
    level(&mut primary, &mut follower);
    let list = format!("{NOTES}?perPage=100&sort=id&fields=id,text");
    assert_eq!(follower.get(&list).text(), primary.get(&list).text());
    assert_eq!(follower.get(&list).json()["totalItems"], 50);

    // A write on the primary, read on the follower by its position.
    let seq = primary.note("later").header("millpond-seq").expect("a position").to_owned();
    let read = follower.ask("GET", &format!("{NOTES}/later"), &[("millpond-min-seq", &seq)], None);
    assert_eq!(read.status, 200, "{}", read.text());
    // One on the follower is there at once, on both, with all that the primary says.
    let made = follower.note("through");
    assert_eq!(
        (made.header("location"), made.header("millpond-lagging")),
        (Some("/api/collections/notes/records/through"), None)
    );
    assert!(follower.has("through") && primary.has("through"));
    let twice = follower.json("POST", NOTES, r#"{"id":"through"}"#);
    assert_eq!((twice.status, twice.json()["code"].clone()), (409, "exists".into()), "{}", twice.text());
    let batch = r#"{"requests":[{"method":"DELETE","url":"/api/collections/notes/records/through"}]}"#;
    assert_eq!(follower.json("POST", "/api/batch", batch).status, 200);
    assert!(!follower.has("through"));
    assert_eq!(follower.json("PATCH", "/api/collections/notes", r#"{"viewRule":null}"#).status, 200);
    level(&mut primary, &mut follower);

    // Logins are good on both: they sign with the same secret.
    let login = format!(r#"{{"identity":"{}","password":"{}"}}"#, ADA.0, ADA.1);
    let token = follower.json("POST", "/api/collections/_superusers/auth-with-password", &login);
    assert_eq!(token.status, 200, "{}", token.text());
    primary.key = token.json()["token"].as_str().expect("a token").to_owned();
    assert!(primary.has("n1"));

    // Away and back, it goes on from where it was.
    let at = follower.server.address;
    let kept = follower.stop();
    primary.note("meanwhile");
    let mut follower = Node::follower(&primary, kept, at);
    level(&mut primary, &mut follower);
    assert!(follower.has("meanwhile"));
    let status = primary.status();
    assert_eq!(
        (status["role"].as_str(), status["followers"][0]["lag"]["records"].as_u64()),
        (Some("primary"), Some(0))
    );
}

#[test]
fn without_its_primary_a_follower_answers_reads_and_refuses_writes() {
    let at = address();
    let mut primary = Node::primary(at);
    primary.note("kept");
    let url = primary.url();
    let follow = |settings: &mut Settings| (settings.follow, settings.ready_lag_s) = (Some(url), 1);
    let mut follower = Node::start(folder(), address(), Some(&primary.key), follow);
    level(&mut primary, &mut follower);
    let (key, kept) = (primary.key.clone(), primary.stop());
    assert!(follower.has("kept"));
    let refused = follower.json("POST", NOTES, r#"{"id":"lost"}"#);
    assert_eq!((refused.status, refused.json()["code"].clone()), (421, "primary_away".into()), "{}", refused.text());
    until("it says that it is behind", || follower.get("/readyz").status == 503);
    assert_eq!(follower.status()["state"], "away");
    let mut primary = Node::start(kept, at, Some(&key), |_| {});
    level(&mut primary, &mut follower);
    until("it is ready again", || follower.get("/readyz").status == 200);
    follower.note("found");
    assert!(primary.has("found"));
}

/// A way to a server on which every other answer to a create is lost with its connection, the first one to begin with.
fn that_loses(to: SocketAddr) -> SocketAddr {
    use std::io::{Read, Write};
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let at = listener.local_addr().expect("an address");
    let loses = Arc::new(AtomicBool::new(true));
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = std::net::TcpStream::connect(to) else { continue };
            let (mut from, mut into) = (client.try_clone().expect("a stream"), server.try_clone().expect("a stream"));
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut into);
                let _ = into.shutdown(std::net::Shutdown::Both);
            });
            let (loses, mut client, mut server) = (loses.clone(), client, server);
            std::thread::spawn(move || {
                let mut piece = [0; 16 << 10];
                while let Ok(read @ 1..) = server.read(&mut piece) {
                    let is_lost = piece.starts_with(b"HTTP/1.1 201") && loses.fetch_xor(true, Ordering::SeqCst);
                    if is_lost || client.write_all(&piece[..read]).is_err() {
                        break;
                    }
                }
                let _ = client.shutdown(std::net::Shutdown::Both);
                let _ = server.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    at
}

#[test]
fn a_write_with_a_key_whose_answer_is_lost_between_two_servers_is_sent_again_and_done_once() {
    let at = address();
    let primary = Node::primary(at);
    let (key, (_, folder)) = (primary.key.clone(), primary.server.stop());
    let way = format!("http://{}", that_loses(at));
    let mut primary = Node::start(folder, at, Some(&key), |settings| settings.advertise = Some(way.clone()));
    let mut follower =
        Node::start(self::folder(), address(), Some(&key), |settings| settings.follow = Some(way.clone()));
    level(&mut primary, &mut follower);
    let kept = follower.ask("POST", NOTES, &[("idempotency-key", "mine")], Some(r#"{"text":"once"}"#));
    assert_eq!(kept.status, 201, "{}", kept.text());
    assert_eq!(kept.header("idempotency-replayed"), Some("true"), "{:?}", kept.headers);
    let again = primary.ask("POST", NOTES, &[("idempotency-key", "mine")], Some(r#"{"text":"once"}"#));
    assert_eq!((again.status, &again.json()["id"]), (201, &kept.json()["id"]));
    // Without one nobody can tell a second from another one.
    let unknown = follower.json("POST", NOTES, r#"{"text":"twice"}"#);
    assert_eq!((unknown.status, unknown.json()["code"].clone()), (503, "outcome_unknown".into()), "{}", unknown.text());
    let all = primary.ask("GET", &format!("{NOTES}?sort=text"), &[], None).json();
    let texts: Vec<&str> =
        all["items"].as_array().expect("items").iter().filter_map(|one| one["text"].as_str()).collect();
    assert_eq!(texts, ["once", "twice"]);
}

#[test]
fn a_follower_that_is_told_to_takes_the_primarys_place_and_the_old_one_follows() {
    let mut first = Node::primary(address());
    let mut second = Node::follower(&first, folder(), address());
    let mut third = Node::follower(&first, folder(), address());
    first.note("before");
    level(&mut first, &mut second);
    level(&mut first, &mut third);
    let before = first.status()["position"].as_str().expect("a position").to_owned();
    until("the second knows of the third", || !second.status()["fleet"].as_array().is_none_or(Vec::is_empty));

    let promoted = second.json("POST", "/api/replication/promote", "{}");
    assert_eq!(promoted.status, 200, "{}", promoted.text());
    assert_eq!(second.status()["role"], "primary");
    second.note("after");
    // Both others come to the new one by themselves.
    level(&mut second, &mut first);
    level(&mut second, &mut third);
    assert!(first.has("after") && third.has("after"));
    first.note("passed");
    assert!(second.has("passed"));
    // Positions of both epochs are known, here and there.
    for node in [&mut first, &mut second, &mut third] {
        let read = node.ask("GET", &format!("{NOTES}/before"), &[("millpond-min-seq", &before)], None);
        assert_eq!(read.status, 200, "{}", read.text());
    }
    // Started as it was before, it is what it has become.
    let (at, key, url) = (second.server.address, second.key.clone(), first.url());
    let kept = second.stop();
    let mut second = Node::start(kept, at, Some(&key), |settings| settings.follow = Some(url));
    assert_eq!(second.status()["role"], "primary");
    level(&mut second, &mut first);
    let refused = second.json("POST", "/api/replication/promote", "{}");
    assert_eq!((refused.status, refused.json()["code"].clone()), (409, "not_a_follower".into()));
}

#[test]
fn what_only_the_old_primary_had_is_set_aside_when_it_comes_back() {
    let (old_at, new_at) = (address(), address());
    let mut old = Node::primary(old_at);
    let mut new = Node::follower(&old, folder(), new_at);
    old.note("shared");
    level(&mut old, &mut new);
    let kept = new.stop();
    old.note("unshared");
    old.note("unshared2");
    let (key, url, old_kept) = (old.key.clone(), old.url(), old.stop());
    let mut new = Node::start(kept, new_at, Some(&key), |settings| settings.follow = Some(url));
    until("it has tried", || new.status()["state"] == "away");
    let promoted = new.json("POST", "/api/replication/promote", "");
    assert_eq!(promoted.status, 200, "{}", promoted.text());
    new.note("elsewhere");
    let data = old_kept.path().join("data");
    let mut old = Node::start(old_kept, old_at, Some(&key), |_| {});
    level(&mut new, &mut old);
    assert!(old.has("elsewhere") && old.has("shared") && !old.has("unshared"));
    assert_eq!(old.status()["rejoined"], "bootstrap", "its end made the tables durable past the fork");
    let aside = diverged(&data);
    assert_eq!(aside.len(), 1, "{aside:?}");
    let scanned = millpond::log::scan(std::sync::Arc::new(RealDisk), &aside[0].join("log")).expect("a log");
    let entries = scanned.filter(|found| matches!(found.as_ref().expect("whole").what, millpond::log::What::Entry(_)));
    assert_eq!(entries.count(), 2, "just what it did not share");
}

/// The same of one that was cut off, and hears of it before its tables are durably past where it left.
#[test]
fn an_old_primary_whose_tables_are_not_past_the_fork_goes_on_from_them() {
    let (old_at, new_at, archive) = (address(), address(), folder());
    let archived = |settings: &mut Settings| settings.archive = Some(archive.path().to_owned());
    let mut old = Node::primary_with(old_at, archived);
    let mut new = Node::follower(&old, folder(), new_at);
    assert_eq!(old.json("PATCH", "/api/collections/notes", r#"{"search":{"fields":{"text":{}}}}"#).status, 200);
    assert_eq!(old.json("POST", "/api/backups", r#"{"name":"first.snap"}"#).status, 204);
    old.note("shared");
    level(&mut old, &mut new);
    let kept = new.stop();
    // Nobody is there.
    let nowhere = format!("http://{}", address());
    let key = old.key.clone();
    let mut new = Node::start(kept, new_at, Some(&key), |settings| settings.follow = Some(nowhere));
    let data = old.server.folder.path().join("data");
    for n in 0..3 {
        old.note(&format!("unshared{n}"));
    }
    until("what nobody else has is found", || old.finds("unshared1"));
    let promoted = new.json("POST", "/api/replication/promote", r#"{"force":true}"#);
    assert_eq!(promoted.status, 200, "{}", promoted.text());
    new.note("elsewhere");
    let status = new.status();
    let node = u32::from_str_radix(status["node"].as_str().expect("a name"), 16).expect("a number");
    let told = json!({"database": status["database"], "epoch": status["epoch"], "node": node, "url": new.url()});
    let fenced = old.json("POST", "/api/replication/fence", &told.to_string());
    assert_eq!(fenced.status, 200, "{}", fenced.text());
    until("it has come back", || {
        old.client = Client::new(old_at);
        let bearer = format!("Bearer {}", old.key);
        let status = old.client.request("GET", "/api/replication", &[("authorization", &bearer)], None);
        status.is_ok_and(|status| status.status == 200 && status.json()["rejoined"] == "cut")
    });
    level(&mut new, &mut old);
    assert!(old.has("elsewhere") && old.has("shared") && !old.has("unshared0"));
    until("what came elsewhere is found", || old.finds("elsewhere"));
    assert!(old.finds("shared") && !old.finds("unshared1"));
    let aside = diverged(&data);
    assert_eq!(aside.len(), 1, "{aside:?}");
    // What it goes on with is whole, now and after another start.
    old.note("passed");
    let (key, kept) = (old.key.clone(), old.stop());
    let url = new.url();
    let follows = |settings: &mut Settings| {
        settings.follow = Some(url);
        archived(settings);
    };
    let mut old = Node::start(kept, old_at, Some(&key), follows);
    level(&mut new, &mut old);
    assert_eq!(old.status()["rejoined"], "cut");
    // What it archived before and after leads into the history that counts.
    let kept = old.stop();
    let made = folder();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let backup = disk.open(&kept.path().join("data/backups/first.snap"), Open::Read).expect("a backup");
    let what = Restore { backup, archive: Some(archive.path().to_owned()), until: Until::End };
    backup::restore(&disk, &made.path().join("data"), &core::Settings::default(), &what).expect("a folder");
    let restored = Running::start_in(made);
    let mut client = Client::new(restored.address);
    for (id, there) in [("shared", 200), ("elsewhere", 200), ("passed", 200), ("unshared0", 404)] {
        assert_eq!(client.get(&format!("{NOTES}/{id}")).expect("an answer").status, there, "{id}");
    }
}

#[test]
fn an_answer_waits_for_as_many_followers_as_were_asked_for() {
    let at = address();
    let primary = Node::primary(at);
    let (key, kept) = (primary.key.clone(), primary.stop());
    let sync = |settings: &mut Settings| (settings.sync_followers, settings.sync_followers_ms) = (1, 300);
    let mut primary = Node::start(kept, at, Some(&key), sync);
    let alone = primary.json("POST", NOTES, r#"{"id":"alone"}"#);
    assert_eq!((alone.status, alone.json()["code"].clone()), (503, "not_replicated".into()), "{}", alone.text());
    assert!(alone.header("millpond-seq").is_some() && primary.has("alone"), "it is there, and nobody else has it");
    let mut follower = Node::follower(&primary, folder(), address());
    level(&mut primary, &mut follower);
    until("both have it in time", || {
        let made = primary.json("POST", NOTES, r#"{"text":"both"}"#);
        assert!(matches!(made.status, 201 | 503), "{}", made.text());
        made.status == 201 && made.header("millpond-replicated") == Some("1")
    });
}

#[test]
fn a_follower_whose_tables_are_not_its_primarys_answers_nothing_until_it_is_made_anew() {
    let mut primary = Node::primary(address());
    let mut follower = Node::follower(&primary, folder(), address());
    primary.note("a");
    level(&mut primary, &mut follower);
    let at = follower.server.address;
    let kept = follower.stop();
    // A tally that no log leads to.
    let data = kept.path().join("data");
    let opened = Base::open(&RealDisk, &data, 1 << 20).expect("tables");
    let (mut base, applied) = (opened.base, opened.applied);
    let (key, value) = {
        let view = base.view();
        let pair = view.scan(&[4], &[5], true).expect("tallies").next().expect("one").expect("readable");
        (pair.key().to_vec(), pair.value().to_vec())
    };
    let mut layer = Layer::new();
    let bent: Vec<u8> = value.iter().map(|byte| byte ^ 1).collect();
    layer.put(Key::from(&key[..]), Some(bent.into()));
    base.apply(&layer, applied).expect("written");
    base.close(true).expect("closed");
    let mut follower = Node::follower(&primary, kept, at);
    primary.note("b");
    level(&mut primary, &mut follower);
    assert!(follower.has("a") && follower.has("b"));
}

#[test]
fn of_two_primaries_with_one_counter_the_one_with_the_lower_name_takes_no_more_writes() {
    let mut primary = Node::primary(address());
    let status = primary.status();
    let fence =
        |epoch: u64, node: u32| json!({"database": status["database"], "epoch": epoch, "node": node}).to_string();
    let own = u32::from_str_radix(status["node"].as_str().expect("a name"), 16).expect("a number");
    let counter = status["epoch"].as_u64().expect("a counter");
    let other = json!({"database": "0".repeat(32), "epoch": 9, "node": 1}).to_string();
    for (what, body, code) in [
        ("its own", fence(counter, own), "newer_epoch"),
        ("a lower name", fence(counter, own.saturating_sub(1)), "newer_epoch"),
        ("a lower counter", fence(counter - 1, u32::MAX), "newer_epoch"),
        ("another database", other, "other_database"),
    ] {
        let refused = primary.json("POST", "/api/replication/fence", &body);
        assert_eq!((refused.status, refused.json()["code"].as_str()), (409, Some(code)), "{what}: {}", refused.text());
    }
    primary.note("taken");
    let told = primary.json("POST", "/api/replication/fence", &fence(counter, u32::MAX));
    assert_eq!((told.status, told.json()["role"].as_str()), (200, Some("fenced")), "{}", told.text());
    let refused = primary.json("POST", NOTES, r#"{"id":"late"}"#);
    assert_eq!((refused.status, refused.json()["code"].as_str()), (421, Some("fenced")), "{}", refused.text());
    assert!(primary.has("taken"));
    let unforced = primary.json("POST", "/api/replication/promote", "{}");
    assert_eq!((unforced.status, unforced.json()["code"].as_str()), (409, Some("fenced")), "{}", unforced.text());
    let forced = primary.json("POST", "/api/replication/promote", r#"{"force":true}"#);
    assert_eq!((forced.status, forced.json()["epoch"].as_u64()), (200, Some(counter + 1)), "{}", forced.text());
    primary.note("again");
}

#[test]
fn only_a_superuser_asks_for_the_log_and_a_follower_needs_a_good_key() {
    let mut primary = Node::primary(address());
    let mut nobody = Client::new(primary.server.address);
    for (method, path) in [
        ("GET", "/api/replication"),
        ("POST", "/api/replication/pull"),
        ("POST", "/api/replication/snapshot"),
        ("GET", "/api/replication/snapshot/1"),
        ("DELETE", "/api/replication/snapshot/1"),
        ("POST", "/api/replication/fence"),
        ("POST", "/api/replication/promote"),
    ] {
        let refused = nobody.json(method, path, "{}").expect("an answer");
        assert_eq!(refused.status, 401, "{method} {path}: {}", refused.text());
    }
    let key = primary.json("POST", "/api/collections/_apiKeys/records", r#"{"name":"few","collections":["notes"]}"#);
    let limited = key.json()["key"].as_str().expect("a key").to_owned();
    let kept = std::mem::replace(&mut primary.key, limited);
    assert_eq!(primary.json("POST", "/api/replication/snapshot", "{}").status, 403);
    primary.key = kept;
    let url = primary.url();
    let follower = Node::start(folder(), address(), Some("mp_bad"), |settings| settings.follow = Some(url));
    let ready = |address| Client::new(address).get("/readyz").expect("an answer").status;
    until("it is refused", || ready(follower.server.address) == 503);
    let refused = Client::new(follower.server.address).get(NOTES).expect("an answer");
    assert_eq!((refused.status, refused.json()["code"].clone()), (503, "bootstrapping".into()), "{}", refused.text());
}

/// By the settings that each of them has for proxies, and by nothing that a client says.
#[test]
fn a_primary_that_trusts_its_follower_is_told_who_asked_there() {
    let at = address();
    let first = Node::primary(at);
    let (key, kept) = (first.key.clone(), first.stop());
    let trusts = |settings: &mut Settings| settings.trusted_proxies = vec!["127.0.0.1".to_owned()];
    let mut primary = Node::start(kept, at, Some(&key), trusts);
    for (trusted, expected) in [(true, "198.51.100.7"), (false, "127.0.0.1")] {
        let url = primary.url();
        let mut follower = Node::start(folder(), address(), Some(&key), |settings| {
            settings.follow = Some(url);
            if trusted {
                trusts(settings);
            }
        });
        level(&mut primary, &mut follower);
        let id = format!("asked-{trusted}");
        let headers = [("x-forwarded-for", "198.51.100.7"), ("x-request-id", &*id)];
        let refused = follower.ask("POST", NOTES, &headers, Some(r#"{"id":"no id"}"#));
        assert_eq!(refused.status, 400, "{}", refused.text());
        let lines = primary.get(&format!("/api/logs?filter=data.requestId%3D'{id}'")).json();
        assert_eq!(lines["items"][0]["data"]["userIP"], expected, "{lines}");
    }
}
