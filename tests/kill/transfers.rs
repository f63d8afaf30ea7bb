//! `millpond import`, `export` and `types`, on a folder and on a running server: what they say and how they end.

use std::fs;
use std::path::{Path, PathBuf};

use crate::server::{Ended, Folder, Server, run};

const THINGS: &str = r#"{"name":"things","fields":[{"name":"n","type":"number"},{"name":"t","type":"text"}]}"#;

fn with_things(folder: &Folder) -> Server {
    let server = Server::start(folder);
    let made = server.client().json("POST", "/api/collections", THINGS).expect("an answer");
    assert_eq!(made.status, 201, "{}", made.text());
    server
}

fn file(folder: &Folder, name: &str) -> PathBuf {
    folder.data().parent().expect("the folder's own").join(name)
}

fn text(path: &Path) -> String {
    path.to_str().expect("a plain path").to_owned()
}

#[track_caller]
fn ends(arguments: &[&str], code: i32) -> Ended {
    let ended = run(arguments);
    assert_eq!(ended.code, Some(code), "{arguments:?}: {ended:#?}");
    ended
}

#[test]
fn files_go_in_and_out_of_a_running_server_and_a_stopped_ones_folder() {
    let (one, two) = (Folder::new("transfer-one"), Folder::new("transfer-two"));
    let server = with_things(&one);
    with_things(&two).stop();
    let url = format!("http://{}", server.address);
    let [csv, out, again] = ["in.csv", "out.ndjson", "again.ndjson"].map(|name| file(&one, name));
    fs::write(&csv, "id,n,t\r\na,1,x\r\nb,y,\r\nc,3,\"\"\r\n").expect("written");
    let (csv, out, again) = (text(&csv), text(&out), text(&again));

    let refused = ends(&["import", "things", &csv, "--url", &url], 1);
    assert_eq!(refused.stdout, "3 lines: 2 created, 0 updated\n");
    assert!(refused.stderr.contains("1 lines were refused, the first is line 3"), "{}", refused.stderr);
    assert!(refused.stderr.contains("; n: must be a number"), "{}", refused.stderr);
    ends(&["export", "things", &out, "--url", &url], 0);
    let expected = "{\"id\":\"a\",\"n\":1,\"t\":\"x\"}\n{\"id\":\"c\",\"n\":3,\"t\":\"\"}\n";
    assert_eq!(fs::read_to_string(&out).expect("the file"), expected);
    let filtered =
        ends(&["export", "things", "--url", &url, "--filter", "n > 1", "--fields", "id,n", "--format", "csv"], 0);
    assert_eq!(filtered.stdout, "id,n\r\nc,3\r\n");

    let data = text(&two.data());
    let made = ends(&["import", "things", &out, "--data", &data, "--mode", "upsert", "--atomic"], 0);
    assert_eq!(made.stdout, "2 lines: 2 created, 0 updated\n");
    ends(&["export", "things", &again, "--data", &data], 0);
    assert_eq!(fs::read_to_string(&again).expect("the file"), expected);
    let refused = ends(&["import", "things", &out, "--data", &data], 1);
    assert!(refused.stderr.contains("2 lines were refused, the first is line 1"), "{}", refused.stderr);

    let in_use = ends(&["import", "things", &out, "--data", &text(&one.data())], 1);
    assert!(in_use.stderr.contains("in use"), "{}", in_use.stderr);
    let none = ends(&["import", "nothing", &out, "--url", &url], 1);
    assert!(none.stderr.contains("404: there is no such collection"), "{}", none.stderr);
    ends(&["export", "nothing", &again, "--url", &url], 1);
    assert_eq!(fs::read_to_string(&again).expect("kept"), expected, "a failed export leaves the file that was there");
    ends(&["export", "things", "--url", &url, "--filter", "nope = 1"], 2);
    server.stop();
    let gone = ends(&["export", "things", "--url", &url], 1);
    assert!(gone.stderr.contains("can't be reached"), "{}", gone.stderr);
    ends(&["import", "things", "/nowhere", "--url", &url], 2);
    ends(&["import", "things", &out, "--url", "ftp://127.0.0.1"], 2);
    ends(&["import", "things", &out, "--format", "xml", "--url", &url], 2);
    ends(&["import", "things"], 2);
}

#[test]
fn types_of_a_folder_and_of_a_server_are_the_same() {
    let (one, two) = (Folder::new("types-one"), Folder::new("types-two"));
    let server = with_things(&one);
    with_things(&two).stop();
    let of_server = ends(&["types", "--url", &format!("http://{}", server.address)], 0).stdout;
    let of_folder = ends(&["types", "--data", &text(&two.data())], 0).stdout;
    assert!(of_server.contains("export interface ThingsRecord extends Stored {\n  n: number | null;"), "{of_server}");
    assert_eq!(of_server, of_folder);
    let kept = text(&file(&two, "types.d.ts"));
    ends(&["types", &kept, "--data", &text(&two.data())], 0);
    assert_eq!(fs::read_to_string(kept).expect("the file"), of_folder);
    server.stop();
}

#[test]
fn an_import_with_a_key_is_answered_again_by_the_server_that_comes_after_a_kill() {
    let folder = Folder::new("transfer-keyed");
    let server = with_things(&folder);
    let definitions = r#"{"collections":[{"name":"others","fields":[]}]}"#;
    let lines = "{\"id\":\"a\",\"n\":1}\n{\"id\":\"b\",\"n\":2}\n";
    let all = |server: &Server| {
        let asked = [
            ("POST", "/api/collections/things/import?atomic=1", "application/x-ndjson", lines),
            ("PUT", "/api/collections/import", "application/json", definitions),
        ];
        asked.map(|(method, path, kind, body)| {
            let headers = [("content-type", kind), ("idempotency-key", "k")];
            let answer = server.client().request(method, path, &headers, Some(body.as_bytes())).expect("an answer");
            assert_eq!(answer.status, 200, "{}", answer.text());
            let header = |name: &str| answer.header(name).map(str::to_owned);
            (header("idempotency-replayed"), header("millpond-seq"), answer.text().to_string())
        })
    };
    let first = all(&server);
    server.kill();
    let server = Server::start(&folder);
    let again = all(&server);
    for (first, again) in first.iter().zip(&again) {
        assert_eq!((&first.0, again.0.as_deref()), (&None, Some("true")));
        assert_eq!((&again.1, &again.2), (&first.1, &first.2));
    }
    server.stop();
}
