//! How the process ends: 0 done, 1 failed, 2 wrong usage, 3 damaged data; and what it says then.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use crate::check::World;
use crate::load::Load;
use crate::server::{self, Folder, Server, run};
use crate::support::results;
use crate::support::rng::Rng;

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

#[test]
fn a_server_told_to_stop_answers_every_write_it_took() {
    let seed = results::seed();
    let mut rng = Rng::new(seed);
    let folder = Folder::new("stop");
    let mut world = World::default();
    let mut server = Server::start(&folder);
    world.define(&mut server.client());
    for cycle in 1..=6 {
        let time = Duration::from_millis(rng.below(200) + 1);
        let mut history = Load { cycle, note_max: 120 }.run(server.address, &mut rng, || {
            std::thread::sleep(time);
            server.stop();
        });
        // Whoever was not answered was not heard: the checker takes none of these for done.
        history.writes.retain(|write| !write.is_in_doubt());
        server = Server::start(&folder);
        history.faults.append(&mut world.check(&folder, &mut server.client(), history.writes));
        assert!(history.faults.is_empty(), "seed {seed}, cycle {cycle}:\n{}", history.faults.join("\n"));
    }
    server.stop();
}

#[test]
fn a_folder_in_use_is_refused() {
    let folder = Folder::new("in-use");
    let server = Server::start(&folder);
    let data = folder.data();
    let data = text(&data);
    for arguments in [&["serve", "--listen", "127.0.0.1:0", "--data", data][..], &["check", "--data", data]] {
        let second = run(arguments);
        assert_eq!(second.code, Some(1), "{second:#?}");
        assert!(second.stderr.contains("in use") && second.stderr.contains(data), "{}", second.stderr);
    }
    assert_eq!(server.client().get("/api/health").expect("an answer").status, 200);
    server.stop();
}

#[test]
fn an_address_in_use_is_a_failure() {
    let (one, two) = (Folder::new("address"), Folder::new("address"));
    let server = Server::start(&one);
    let second = run(&["serve", "--listen", &server.address.to_string(), "--data", text(&two.data())]);
    assert_eq!(second.code, Some(1), "{second:#?}");
    assert!(second.stderr.contains(&server.address.to_string()), "{}", second.stderr);
}

#[test]
fn wrong_usage_ends_with_2_and_names_what_is_wrong() {
    let folder = Folder::new("usage");
    let data = folder.data();
    fs::create_dir_all(&data).expect("a folder");
    let data = text(&data);
    let config = |name: &str, content: &str| {
        let path = Path::new(data).with_file_name(name);
        fs::write(&path, content).expect("a file");
        text(&path).to_owned()
    };
    let (broken, unknown) = (config("broken.toml", "listen = "), config("unknown.toml", "colour = \"red\""));
    let cases: &[(&[&str], &str)] = &[
        (&["serve", "--colour", "red"], "--colour"),
        (&["server"], "server"),
        (&[], "usage"),
        (&["serve", "--listen", "nowhere"], "nowhere"),
        (&["serve", "--dev", "--listen", "0.0.0.0:0"], "127.0.0.0/8"),
        (&["serve", "--body-bytes-max", "1"], "body_bytes_max"),
        (&["serve", "--log-format", "xml"], "xml"),
        (&["serve", "--config", "/nowhere/millpond.toml"], "/nowhere/millpond.toml"),
        (&["serve", "--config", &broken], "listen"),
        (&["serve", "--config", &unknown], "colour"),
        (&["check", "--data", "/nowhere"], "/nowhere"),
        (&["log", "print", "--data", "/nowhere"], "/nowhere"),
    ];
    for (arguments, named) in cases {
        let ended = run(arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {ended:#?}");
        assert!(ended.stderr.to_lowercase().contains(named), "{arguments:?} does not name {named}: {}", ended.stderr);
    }
}

#[test]
fn a_folder_of_a_newer_format_is_refused_and_left_alone() {
    let folder = Folder::new("newer");
    Server::start(&folder).stop();
    let identity = folder.data().join("identity.json");
    let old = fs::read_to_string(&identity).expect("the identity");
    let new = old.replace("\"format\":1,", "\"format\":99,");
    assert_ne!(old, new, "the identity names its format");
    fs::write(&identity, &new).expect("the identity");
    let ended = Server::try_start(&folder).err().expect("a refusal");
    assert_eq!(ended.code, Some(2), "{ended:#?}");
    assert!(ended.stderr.contains("99") && ended.stderr.contains("newer"), "{}", ended.stderr);
    assert_eq!(fs::read_to_string(&identity).expect("the identity"), new);
    fs::write(&identity, old).expect("the identity");
    Server::start(&folder).stop();
    assert_eq!(server::check(&folder).code, Some(0));
}

#[test]
fn what_was_asked_for_ends_with_0() {
    let version = run(&["version"]);
    assert_eq!((version.code, version.stdout.trim()), (Some(0), concat!("millpond ", env!("CARGO_PKG_VERSION"))));
    let help = run(&["--help"]);
    assert_eq!(help.code, Some(0));
    for command in ["serve", "demo", "check", "log", "bench", "ready", "version"] {
        assert!(help.stdout.contains(command), "{command} is not in the help:\n{}", help.stdout);
    }
    assert!(help.stdout.contains("Exit codes") && help.stdout.contains("millpond serve --help"), "{}", help.stdout);
    let cases: &[&[&str]] = &[
        &["help"],
        &["help", "serve"],
        &["serve", "--help"],
        &["demo", "--help"],
        &["check", "--help"],
        &["log", "--help"],
        &["log", "print", "--help"],
        &["log", "tail", "--help"],
        &["version", "--help"],
        &["--version"],
    ];
    for arguments in cases {
        let told = run(arguments);
        assert_eq!((told.code, told.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(!told.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn every_command_on_a_folder_ends_with_0_or_says_whose_fault_it_is() {
    let folder = Folder::new("commands");
    Server::start(&folder).stop();
    let data = folder.data();
    let data = text(&data);
    let check = run(&["check", "--data", data]);
    assert_eq!(check.code, Some(0), "{check:#?}");
    let print = run(&["log", "print", "--data", data]);
    assert_eq!(print.code, Some(0), "{print:#?}");
    let wrong: &[&[&str]] = &[
        &["demo", "--listen", "0.0.0.0:0", "--data", data],
        &["demo", "--cors-origins", "*", "--data", data],
        &["check", "--log-level", "x=y=z", "--data", data],
        &["check", "--listen", "127.0.0.1:0"],
        &["log"],
        &["log", "print", "--from", "x", "--data", data],
        &["log", "tail", "--lines", "-1", "--data", data],
        &["log", "tail", "--data", "/nowhere"],
        &["version", "more"],
    ];
    for arguments in wrong {
        let ended = run(arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {ended:#?}");
        assert!(!ended.stderr.is_empty(), "{arguments:?} says nothing");
    }
}

#[test]
fn the_log_tells_of_refusals_and_of_slow_requests_but_of_no_secrets() {
    let folder = Folder::new("told");
    let server = Server::try_start_with(&folder, &["--slow-ms", "20"]).expect("it starts");
    let mut client = server.client();
    let headers = [("authorization", "Bearer sesame-1"), ("x-request-id", "refused-1")];
    let refused = client.request("GET", "/api/collections/none?token=sesame-2", &headers, None);
    assert!(refused.expect("an answer").status >= 400);
    let mut slow = std::net::TcpStream::connect(server.address).expect("connects");
    let head = "POST /api/collections HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nx-request-id: slow-1\r\nconnection: close\r\ncontent-length: 2\r\n\r\n";
    slow.write_all(head.as_bytes()).expect("sends");
    std::thread::sleep(Duration::from_millis(60));
    slow.write_all(b"{}").expect("sends");
    slow.read_to_end(&mut Vec::new()).expect("an answer");
    let said = server.said();
    let line = |with: &str| said.lines().find(|line| line.contains(with)).map(str::to_owned);
    let refusal = line("refused-1").unwrap_or_else(|| panic!("the refusal is not told:\n{said}"));
    assert!(refusal.contains("INFO") && refusal.contains("/api/collections/none"), "{refusal}");
    let slowness = line("slow ").filter(|line| line.contains("slow-1")).unwrap_or_else(|| panic!("not told:\n{said}"));
    for word in ["WARN", "/api/collections", "status=400", "ms="] {
        assert!(slowness.contains(word), "{word}: {slowness}");
    }
    assert!(!said.contains("sesame"), "{said}");
    server.stop();
}
