//! Backups in a bucket of an S3-compatible store: all that can be done with one in the folder, and what a store that fails
//! does to it, and does not do to anything else.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use millpond::config::Hidden;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::http::{Answer, Client};
use crate::support::receiver::{Reply, Told};
use crate::support::rng::Rng;
use crate::support::s3::{KEY, S3, SECRET, refusal};
use crate::support::server::Running;
use crate::support::until::until;

const NOTES: &str = "/api/collections/notes/records";

fn started_in(folder: TempDir, s3: &S3, hours: u32) -> Running {
    Running::start_with(folder, |settings| {
        settings.backup_store = Some(s3.url("one/"));
        settings.backup_store_key = Some(KEY.to_owned());
        settings.backup_store_secret = Some(Hidden(SECRET.to_owned()));
        settings.backup_hours = hours;
        settings.backups_keep = 1;
    })
}

fn started(s3: &S3, hours: u32) -> (Running, Client) {
    let server = started_in(tempfile::tempdir().expect("a folder"), s3, hours);
    let mut client = Client::new(server.address);
    let notes = json!({"name": "notes", "fields": [{"name": "text", "type": "text", "max": 100_000}]});
    assert_eq!(client.json("POST", "/api/collections", &notes.to_string()).expect("an answer").status, 201);
    (server, client)
}

fn put(client: &mut Client, id: &str, text: &str) {
    let body = json!({"text": text}).to_string();
    let put = client.json("PUT", &format!("{NOTES}/{id}"), &body).expect("an answer");
    assert!(put.status < 300, "{}", put.text());
}

fn make(client: &mut Client, name: &str) -> Answer {
    client.json("POST", "/api/backups", &json!({"name": name}).to_string()).expect("an answer")
}

fn listed(client: &mut Client) -> Vec<Value> {
    let answer = client.get("/api/backups").expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json().as_array().expect("a list").clone()
}

fn keys(client: &mut Client) -> Vec<String> {
    listed(client).iter().map(|one| one["key"].as_str().expect("a key").to_owned()).collect()
}

/// What waits on this machine's disk.
fn spooled(server: &Running) -> usize {
    std::fs::read_dir(server.folder.path().join("data/backups")).expect("the folder").count()
}

fn command(arguments: &[&str]) -> (Option<i32>, String) {
    let ended = Command::new(env!("CARGO_BIN_EXE_millpond"))
        .args(arguments)
        .env("MILLPOND_BACKUP_STORE_KEY", KEY)
        .env("MILLPOND_BACKUP_STORE_SECRET", SECRET)
        .output()
        .expect("it runs");
    let told = [ended.stdout, ended.stderr].concat();
    (ended.status.code(), String::from_utf8(told).expect("text"))
}

/// Text that no compression makes shorter than three quarters.
fn noise(rng: &mut Rng, bytes: usize) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";
    (0..bytes).map(|_| char::from(SIGNS[rng.below(64) as usize])).collect()
}

#[test]
fn a_bucket_does_all_that_the_folder_does() {
    let s3 = S3::start();
    let (server, mut client) = started(&s3, 0);
    put(&mut client, "first", "1");
    assert_eq!(make(&mut client, "a.snap").status, 204);
    put(&mut client, "second", "2");
    let at = listed(&mut client)[0]["position"].clone();
    for name in ["b.snap", "c.snap"] {
        assert_eq!(make(&mut client, name).status, 204);
    }
    let again = make(&mut client, "b.snap");
    assert_eq!((again.status, again.json()["code"].clone()), (409, "backup_exists".into()));
    // What others have there is none of its own.
    for name in ["two/x.snap", "one/deeper/y.snap", "one/no backup", "one/.hidden"] {
        s3.kept().objects.insert(name.to_owned(), b"else".to_vec());
    }
    s3.kept().objects.insert("one/broken.snap".to_owned(), Vec::new());
    let list = listed(&mut client);
    let told: Vec<_> = list.iter().map(|one| one["key"].as_str().expect("a key")).collect();
    assert_eq!(told, ["c.snap", "b.snap", "a.snap"]);
    assert_eq!(list[2]["position"], at);
    let bytes = s3.kept().objects["one/a.snap"].clone();
    assert_eq!(list[2]["size"], bytes.len());
    assert_eq!(spooled(&server), 0, "nothing of it stays on this disk");
    // What was read once is not read again.
    let before = s3.asked().len();
    keys(&mut client);
    let asked = s3.asked().split_off(before);
    assert!(asked.iter().all(|(_, target)| target.contains("list-type") || target.contains("broken")), "{asked:?}");

    assert_eq!(client.get("/api/backups/a.snap").expect("an answer").body, bytes);
    assert_eq!(client.get("/api/backups/none.snap").expect("an answer").status, 404);
    let delete = |client: &mut Client, name: &str| {
        client.request("DELETE", &format!("/api/backups/{name}"), &[], None).expect("an answer").status
    };
    assert_eq!((delete(&mut client, "b.snap"), delete(&mut client, "b.snap")), (204, 404));
    let upload = |client: &mut Client, bytes: &[u8]| {
        let kind = [("content-type", "application/octet-stream")];
        client.request("POST", "/api/backups/upload?name=d.snap", &kind, Some(bytes)).expect("an answer").status
    };
    assert_eq!((upload(&mut client, &bytes[1..]), upload(&mut client, &bytes)), (422, 204));
    assert_eq!(s3.kept().objects["one/d.snap"], bytes);

    let form = |filename: &str, end: &str| {
        let head = format!("--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{filename}\"\r\n\r\n");
        [head.as_bytes(), &bytes, end.as_bytes()].concat()
    };
    let send = |client: &mut Client, origin: &str, form: &[u8]| {
        let headers = [("content-type", "multipart/form-data; boundary=x"), ("origin", origin)];
        let answer = client.request("POST", "/api/backups/upload", &headers, Some(form)).expect("an answer");
        (answer.status, answer.json_or_null()["code"].as_str().unwrap_or_default().to_owned())
    };
    let (own, end) = ("http://localhost:1", "\r\n--x--\r\n");
    let more = "\r\n--x\r\nContent-Disposition: form-data; name=\"more\"\r\n\r\n1\r\n--x--";
    for (filename, origin, end, expected) in [
        ("e.snap", "https://evil.example", end, (401, "unauthenticated")),
        ("e.snap", own, "\r\n--x", (400, "bad_multipart")),
        ("e.snap", own, more, (400, "unknown_part")),
        ("../e.snap", own, end, (400, "invalid")),
        ("a.snap", own, end, (409, "backup_exists")),
        ("e.snap", own, end, (204, "")),
    ] {
        let (status, code) = send(&mut client, origin, &form(filename, end));
        assert_eq!((status, &*code), expected, "{filename} {origin} {end:?}");
        assert_eq!(spooled(&server), 0);
    }
    assert_eq!(s3.kept().objects["one/e.snap"], bytes);

    let (whole, told) = command(&["verify", &s3.url("one/a.snap")]);
    assert!(whole == Some(0) && told.contains("1 records in"), "{told}");
    s3.kept().objects.insert("one/cut.snap".to_owned(), bytes[..bytes.len() - 1].to_vec());
    let (cut, told) = command(&["verify", &s3.url("one/cut.snap")]);
    assert_eq!(cut, Some(3), "{told}");
    for (from, seconds) in [("one/a.snap", 0), ("one", 1)] {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        let (done, told) =
            command(&["restore", "--from", &s3.url(from), "--data", data.to_str().expect("a plain path")]);
        assert_eq!(done, Some(0), "{told}");
        let restored = Running::start_in(folder);
        let mut client = Client::new(restored.address);
        for (id, there) in [("first", true), ("second", seconds == 1)] {
            let status = client.get(&format!("{NOTES}/{id}")).expect("an answer").status;
            assert_eq!(status, if there { 200 } else { 404 }, "{from}: {id}");
        }
    }

    assert_eq!(client.json("POST", "/api/backups/a.snap/restore", "").expect("an answer").status, 204);
    loop {
        let status = |id: &str| Client::new(server.address).get(&format!("{NOTES}/{id}")).map_or(0, |got| got.status);
        if (status("first"), status("second")) == (200, 404) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn a_long_backup_goes_in_parts_and_leaves_none_where_it_fails() {
    let s3 = S3::start();
    let (server, mut client) = started(&s3, 0);
    let mut rng = Rng::new(7);
    for n in 0..140 {
        put(&mut client, &format!("r{n}"), &noise(&mut rng, 90_000));
    }
    // The second part is never taken; the third request for it, and all later ones, are of no use.
    let number = |told: &Told, n: u32| told.method == "PUT" && told.target.contains(&format!("partNumber={n}&"));
    s3.fail(move |told| number(told, 2).then(|| refusal(503, "SlowDown")));
    let failed = make(&mut client, "long.snap");
    assert_eq!((failed.status, failed.json()["code"].clone()), (503, "store_away".into()), "{}", failed.text());
    assert!(s3.kept().uploads.is_empty() && s3.kept().objects.is_empty(), "all of it is given up");
    assert_eq!(spooled(&server), 0);
    // A part that is lost on the way is sent again; an answer that is lost at the end changes nothing.
    let (cuts, ends) = (AtomicU32::new(0), AtomicU32::new(0));
    s3.fail(move |told| {
        if number(told, 1) && cuts.fetch_add(1, Ordering::Relaxed) == 0 {
            return Some(Reply::Close);
        }
        let is_end = told.method == "POST" && told.target.contains("uploadId");
        (is_end && ends.fetch_add(1, Ordering::Relaxed) == 0).then(|| refusal(500, "InternalError"))
    });
    assert_eq!(make(&mut client, "long.snap").status, 204);
    s3.heal();
    assert!(s3.kept().uploads.is_empty());
    let bytes = s3.kept().objects["one/long.snap"].clone();
    assert!(bytes.len() > 8 << 20, "{} bytes are one part", bytes.len());
    assert_eq!(client.get("/api/backups/long.snap").expect("an answer").body, bytes);
    let (whole, told) = command(&["verify", &s3.url("one/long.snap")]);
    assert!(whole == Some(0) && told.contains("140 records"), "{told}");
}

#[test]
fn what_fails_now_and_then_is_tried_again() {
    let s3 = S3::start();
    let (_server, mut client) = started(&s3, 0);
    put(&mut client, "first", "1");
    let count = AtomicU32::new(0);
    // Every second request fails, each time in another way.
    s3.fail(move |told| {
        let n = count.fetch_add(1, Ordering::Relaxed);
        let faults =
            [Reply::Close, refusal(500, "InternalError"), refusal(503, "SlowDown"), Reply::Cut(told.body.clone())];
        n.is_multiple_of(2).then(|| faults[n as usize / 2 % faults.len()].clone())
    });
    for n in 0..4 {
        assert_eq!(make(&mut client, &format!("b{n}.snap")).status, 204);
    }
    assert_eq!(keys(&mut client).len(), 4);
    let bytes = client.get("/api/backups/b0.snap").expect("an answer").body;
    assert_eq!(s3.kept().objects["one/b0.snap"], bytes);
}

#[test]
fn a_store_that_is_away_is_said_to_be_and_holds_up_nothing_else() {
    let s3 = S3::start();
    let (server, mut client) = started(&s3, 0);
    s3.fail(|_| Some(refusal(503, "SlowDown")));
    let calls = [
        ("GET", "/api/backups"),
        ("POST", "/api/backups"),
        ("GET", "/api/backups/a.snap"),
        ("DELETE", "/api/backups/a.snap"),
        ("POST", "/api/backups/a.snap/restore"),
    ];
    for (method, target) in calls {
        let answer = client.json(method, target, "").expect("an answer");
        assert_eq!((answer.status, answer.json()["code"].clone()), (503, "store_away".into()), "{}", answer.text());
    }
    s3.fail(|_| Some(refusal(403, "InvalidAccessKeyId")));
    for (method, target) in calls {
        let answer = client.json(method, target, "").expect("an answer");
        assert_eq!((answer.status, answer.json()["code"].clone()), (503, "store_refused".into()), "{}", answer.text());
        assert!(answer.text().contains("403 InvalidAccessKeyId") && !answer.text().contains(SECRET));
    }
    put(&mut client, "first", "1");
    assert_eq!(spooled(&server), 0);
    // One that takes a request and says nothing: writes go on, and a stop ends it.
    s3.fail(|_| Some(Reply::Hang));
    let address = server.address;
    let waiting = std::thread::spawn(move || make(&mut Client::new(address), "late.snap"));
    until("it is asked for", || s3.asked().iter().any(|(_, target)| target.contains("late")));
    put(&mut client, "second", "2");
    server.stop();
    // Told, or cut off with the rest of them: but not made.
    drop(waiting.join());
    assert!(s3.kept().objects.is_empty());
}

#[test]
fn a_wrong_secret_is_refused_and_never_shown() {
    let s3 = S3::start();
    let (_server, mut client) = started(&s3, 0);
    put(&mut client, "first", &"1".repeat(90_000));
    assert_eq!(make(&mut client, "a.snap").status, 204);
    let told = Command::new(env!("CARGO_BIN_EXE_millpond"))
        .args(["verify", &s3.url("one/a.snap"), "--backup-store-key", KEY, "--backup-store-secret", "wrong"])
        .output()
        .expect("it runs");
    let text = String::from_utf8(told.stderr).expect("text");
    assert!(told.status.code() == Some(1) && text.contains("SignatureDoesNotMatch"), "{text}");
    assert!(!text.contains(SECRET) && !text.contains("wrong"), "{text}");
}

#[test]
fn backups_by_the_clock_go_to_the_bucket_without_asking_it_all_the_time() {
    let s3 = S3::start();
    let (other, mut client) = started(&s3, 0);
    assert_eq!(make(&mut client, "@auto_20190101000000.snap").status, 204);
    drop(other);
    let (before, mut client) = started(&s3, 0);
    for name in ["@auto_20200101000000.snap", "by-hand.snap"] {
        assert_eq!(make(&mut client, name).status, 204);
    }
    let server = started_in(before.stop().1, &s3, 1);
    let mut client = Client::new(server.address);
    let names = || s3.kept().objects.keys().cloned().collect::<Vec<_>>();
    // Of its own by the clock one is kept; another database's are not its business.
    until("the one before is gone", || names().len() == 3 && names()[1].as_str() > "one/@auto_2021");
    put(&mut client, "first", "1");
    let asked = s3.asked().len();
    std::thread::sleep(std::time::Duration::from_millis(600));
    assert_eq!(s3.asked().len(), asked, "{:?}", s3.asked());
    assert_eq!((&*names()[0], &*names()[2]), ("one/@auto_20190101000000.snap", "one/by-hand.snap"));
    drop(server);
}
