//! The second tier of the cache: a real Redis behind it, which is found useful, and whose faults are nobody's.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use millpond::limits;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::http::{Answer, Client};
use crate::support::proxy::Proxy;
use crate::support::redis::{self, Redis};
use crate::support::rng::Rng;
use crate::support::server::Running;
use crate::support::until::until;

const USERS: &str = "/api/collections/users/records";
const ORDERS: &str = "/api/collections/orders/records";
const LIST: &str = "/api/collections/orders/records?filter=n%3E0&sort=-n";
const SEARCH: &str = "/api/collections/orders/records?search=blue";
const EXPANDED: &str = "/api/collections/orders/records/o1?expand=user";
const AGGREGATE: &str = "/api/collections/orders/records/aggregate?values=sum:sum(n)";

fn started(folder: TempDir, redis: &str) -> (Running, Client) {
    let url = redis.to_owned();
    let server = Running::start_with(folder, |settings| settings.l2_cache = Some(url));
    let client = Client::new(server.address);
    (server, client)
}

/// One with users and orders.
fn filled(redis: &str) -> (Running, Client) {
    let (server, mut client) = started(tempfile::tempdir().expect("a folder"), redis);
    let users = r#"{"name":"users","fields":[{"name":"name","type":"text"}],"listRule":"","viewRule":""}"#;
    let orders = r#"{"name":"orders","fields":[{"name":"n","type":"number","integer":true},{"name":"note","type":"text"},
        {"name":"user","type":"relation","collection":"users"}],"listRule":"","viewRule":"",
        "search":{"fields":{"note":{}}}}"#;
    for definition in [users, orders] {
        let made = client.json("POST", "/api/collections", definition).expect("an answer");
        assert_eq!(made.status, 201, "{}", made.text());
    }
    put(&mut client, USERS, "u1", r#"{"name":"ada"}"#);
    for n in 1..=9 {
        put(&mut client, ORDERS, &format!("o{n}"), &format!(r#"{{"n":{n},"note":"blue {n}","user":"u1"}}"#));
    }
    (server, client)
}

#[track_caller]
fn put(client: &mut Client, of: &str, id: &str, body: &str) {
    let put = client.json("PUT", &format!("{of}/{id}"), body).expect("an answer");
    assert!(matches!(put.status, 200 | 201), "{}", put.text());
}

/// Each is kept there.
const QUESTIONS: [&str; 4] = [LIST, SEARCH, EXPANDED, AGGREGATE];

#[track_caller]
fn ask(client: &mut Client, target: &str) -> Answer {
    let answer = client.get(target).expect("an answer");
    assert_eq!(answer.status, 200, "{target}: {}", answer.text());
    answer
}

fn origin(answer: &Answer) -> &str {
    answer.header("cache-status").unwrap_or("none")
}

fn figures(client: &mut Client) -> Value {
    let tiers = client.get("/api/cache").expect("an answer").json();
    let tier = tiers["tiers"].as_array().expect("tiers").iter().find(|tier| tier["name"] == "l2").cloned();
    tier.expect("a second tier")
}

/// Another value each time, seen in every answer: its own write is never missed, whatever the tier does.
#[track_caller]
fn write_and_see(client: &mut Client, n: u64) {
    put(client, ORDERS, "o1", &format!(r#"{{"n":{n},"note":"blue {n}","user":"u1"}}"#));
    for question in QUESTIONS {
        // Twice: the second may come from anywhere.
        for _ in 0..2 {
            let answer = ask(client, question);
            let seen = answer.json();
            let one = match question {
                LIST | SEARCH => {
                    let items = seen["items"].as_array().expect("items");
                    items.iter().find(|item| item["id"] == "o1").expect("o1")["n"].clone()
                }
                EXPANDED => seen["n"].clone(),
                _ => (seen["items"][0]["sum"].as_u64().expect("a sum") - (2..=9).sum::<u64>()).into(),
            };
            assert_eq!(one, n, "{} from {}", question, origin(&answer));
        }
    }
}

fn until_up(client: &mut Client) {
    until("it is connected to", || figures(client)["up"] == true);
}

/// Writes and asks from a number on until the tier has had so many faults; the last number.
fn until_given_up(client: &mut Client, from: u64, faults: u64) -> u64 {
    let mut n = from;
    until("it is given up", || {
        n += 1;
        write_and_see(client, n);
        figures(client)["faults"].as_u64() >= Some(faults)
    });
    n
}

/// How many were not answered in time, when none is on its way any more that was begun before.
fn late(client: &mut Client) -> Option<u64> {
    let late = |client: &mut Client| figures(client)["late"].as_u64();
    let mut last = late(client);
    until("no more are late", || {
        std::thread::sleep(limits::L2_WRITE_TIME + limits::L2_SIZE_TIME);
        std::mem::replace(&mut last, late(client)) == last
    });
    last
}

/// Starts a server anew, with nothing in its memory.
fn again(server: Running, redis: &str) -> (Running, Client) {
    let (server, mut client) = started(server.stop().1, redis);
    until_up(&mut client);
    (server, client)
}

#[test]
fn what_was_made_before_a_restart_is_found_after_it_and_not_after_a_write() {
    if !redis::present() {
        return;
    }
    let redis = Redis::start();
    let (mut server, mut client) = filled(&redis.url());
    until_up(&mut client);
    let made = QUESTIONS.map(|question| ask(&mut client, question));
    assert!(made.iter().all(|answer| origin(answer) == "millpond; fwd=miss"));
    // One that takes longer than it may is made anew: each is found by and by.
    let mut found = [false; 4];
    until("each is found", || {
        let folder = std::mem::replace(&mut server, Running::start());
        (server, client) = again(folder, &redis.url());
        for ((question, made), found) in QUESTIONS.into_iter().zip(&made).zip(&mut found) {
            let answer = ask(&mut client, question);
            assert_eq!((&answer.body, answer.header("etag")), (&made.body, made.header("etag")), "{}", question);
            *found |= origin(&answer) == "millpond; hit; detail=l2";
            assert_eq!(origin(&ask(&mut client, question)), "millpond; hit", "and then it is in memory");
        }
        found.iter().all(|found| *found)
    });
    for n in 100..105 {
        write_and_see(&mut client, n);
    }
    let figures = figures(&mut client);
    assert!(figures["hits"].as_u64() >= Some(1) && figures["entries"].as_u64() >= Some(4), "{figures}");
    assert_eq!((&figures["refused"], &figures["faults"]), (&0.into(), &0.into()));
}

#[test]
fn a_redis_that_dies_hangs_or_comes_back_is_nobodys_fault() {
    if !redis::present() {
        return;
    }
    let redis = Redis::start();
    let (server, mut client) = filled(&redis.url());
    until_up(&mut client);
    write_and_see(&mut client, 100);
    redis.hang();
    let n = until_given_up(&mut client, 101, 1);
    let late = late(&mut client);
    (0..5).for_each(|more| write_and_see(&mut client, n + more));
    assert_eq!(figures(&mut client)["late"].as_u64(), late, "nobody waits for one that hangs, once that is known");
    redis.go_on();
    until_up(&mut client);
    write_and_see(&mut client, 200);

    let address = redis.kill();
    let mut n = 200;
    until("its end is noticed", || {
        n += 1;
        write_and_see(&mut client, n);
        figures(&mut client)["up"] == false
    });
    let redis = Redis::start_at(address, &[]);
    until_up(&mut client);
    write_and_see(&mut client, 1_000);
    until("it is filled again", || {
        n += 1;
        write_and_see(&mut client, n);
        !redis.answers().is_empty()
    });
    // It is there no more when the server stops, and when one starts.
    redis.hang();
    let (_, folder) = server.stop();
    let (server, mut client) = started(folder, &redis.url());
    write_and_see(&mut client, 2_000);
    drop(server);
}

#[test]
fn garbage_in_the_place_of_answers_is_not_answered() {
    if !redis::present() {
        return;
    }
    let redis = Redis::start();
    let (mut server, mut client) = filled(&redis.url());
    until_up(&mut client);
    let made = QUESTIONS.map(|question| ask(&mut client, question).body);
    until("all are written", || redis.answers().len() == made.len());
    let mut rng = Rng::new(7);
    let mut refused = 0;
    for round in 0..6 {
        let keys = redis.answers();
        let values: Vec<Vec<u8>> = keys.iter().filter_map(|key| redis.value(key)).collect();
        for (at, key) in keys.iter().enumerate() {
            let own = &values[at % values.len()];
            let value = match round {
                0 => (0..200).map(|_| rng.next() as u8).collect(),
                1 => own[..rng.below(own.len() as u64) as usize].to_vec(),
                // Another's, whole.
                2 => values[(at + 1) % values.len()].clone(),
                3 => Vec::new(),
                4 => vec![0; 300_000],
                _ => {
                    let mut value = own.clone();
                    let byte = rng.below(value.len().max(1) as u64) as usize;
                    value.get_mut(byte).into_iter().for_each(|byte| *byte ^= 1);
                    value
                }
            };
            redis.overwrite(key, &value);
        }
        (server, client) = again(server, &redis.url());
        for (question, made) in QUESTIONS.into_iter().zip(&made) {
            let answer = ask(&mut client, question);
            assert_eq!(&answer.body, made, "round {round}: {}", question);
            assert_eq!(origin(&answer), "millpond; fwd=miss", "round {round}: {}", question);
        }
        refused += figures(&mut client)["refused"].as_u64().expect("a number");
    }
    assert!(refused > 0, "garbage was met");
    // A value of another kind than a text.
    for key in redis.answers() {
        redis.ask(&[b"DEL", &key]).expect("a reply");
        redis.ask(&[b"LPUSH", &key, b"x"]).expect("a reply");
    }
    let (_server, mut client) = again(server, &redis.url());
    QUESTIONS.into_iter().zip(&made).for_each(|(question, made)| assert_eq!(&ask(&mut client, question).body, made));
}

/// A server that answers whatever it is asked with bytes of some kind.
struct Babbler {
    address: SocketAddr,
    over: Arc<AtomicBool>,
}

impl Babbler {
    fn start(says: impl Fn(u64) -> Vec<u8> + Send + Sync + 'static) -> Babbler {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let over = Arc::new(AtomicBool::new(false));
        let (ended, says) = (over.clone(), Arc::new(says));
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(mut stream) = stream else { continue };
                let (says, ended) = (says.clone(), ended.clone());
                std::thread::spawn(move || {
                    // As it is asked for a probe, so that some come further.
                    let _ = stream.write_all(b"+PONG\r\n");
                    let bytes = says(number as u64);
                    while !ended.load(Ordering::Relaxed) && stream.write_all(&bytes).is_ok() {
                        std::thread::yield_now();
                    }
                });
            }
        });
        Babbler { address, over }
    }
}

impl Drop for Babbler {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = std::net::TcpStream::connect(self.address);
    }
}

#[test]
fn a_server_that_is_no_redis_is_nobodys_fault() {
    /// What is said on the connection of a number, again and again.
    type Says = fn(u64) -> Vec<u8>;
    let kinds: [(&str, Says); 6] = [
        ("random", |seed| {
            let mut rng = Rng::new(seed);
            (0..4_096).map(|_| rng.next() as u8).collect()
        }),
        ("text", |_| b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        ("endless", |_| b"$9000000000000000000\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx".repeat(100)),
        ("long lists", |_| b"*9000000000000000000\r\n$1\r\nx\r\n".repeat(100)),
        ("replies to nothing", |_| b"+PONG\r\n".repeat(1_000)),
        ("lists of garbage", |_| b"*2\r\n$7\r\ngarbage\r\n$-1\r\n".repeat(1_000)),
    ];
    for (kind, says) in kinds {
        let babbler = Babbler::start(says);
        let (_server, mut client) = filled(&format!("redis://{}", babbler.address));
        until_given_up(&mut client, 100, 3);
        write_and_see(&mut client, 2_000);
        assert_eq!(figures(&mut client)["hits"], 0, "{kind}");
    }
}

#[test]
fn a_slow_redis_is_not_waited_for_again_and_again() {
    if !redis::present() {
        return;
    }
    let redis = Redis::start();
    let proxy = Proxy::start(redis.address, 1);
    let (_server, mut client) = filled(&format!("redis://{}", proxy.address));
    until_up(&mut client);
    proxy.delay(std::time::Duration::from_millis(40));
    let n = until_given_up(&mut client, 100, 2);
    let late = late(&mut client);
    (0..20).for_each(|more| write_and_see(&mut client, n + more));
    assert_eq!(figures(&mut client)["late"].as_u64(), late, "a probe finds out how slow it is, no request does");
    // Cut anywhere, at any time.
    proxy.delay(std::time::Duration::ZERO);
    proxy.cut_within(2_000);
    (200..220).for_each(|n| write_and_see(&mut client, n));
    proxy.cut_within(0);
    until_up(&mut client);
    write_and_see(&mut client, 3_000);
}

#[test]
fn a_password_is_needed_and_shown_to_nobody() {
    if !redis::present() {
        return;
    }
    let at = crate::followers::address();
    let redis = Redis::start_at(at, &["--requirepass", "hush"]);
    let (_server, mut client) = filled(&format!("redis://:hush@{}/3", redis.address));
    until_up(&mut client);
    write_and_see(&mut client, 100);
    let (_other, mut without) = filled(&redis.url());
    write_and_see(&mut without, 100);
    until("it is refused", || figures(&mut without)["faults"].as_u64() >= Some(2));
    assert_eq!(figures(&mut without)["up"], false);
    for target in ["/api/cache", "/metrics", "/api/health", "/api/logs"] {
        assert!(!client.get(target).expect("an answer").text().contains("hush"), "{target}");
    }
}

#[test]
fn what_is_dropped_is_dropped_there_too() {
    if !redis::present() {
        return;
    }
    let redis = Redis::start();
    let (mut server, mut client) = filled(&redis.url());
    until_up(&mut client);
    // Dropped, then asked for where nothing is in memory: whether the tier has it.
    let mut found_after = |body: Option<&str>| {
        (0..5).any(|_| {
            ask(&mut client, LIST);
            until("it is written", || !redis.answers().is_empty());
            if let Some(body) = body {
                assert_eq!(client.json("POST", "/api/cache/invalidate", body).expect("an answer").status, 200);
            }
            let folder = std::mem::replace(&mut server, Running::start());
            (server, client) = again(folder, &redis.url());
            origin(&ask(&mut client, LIST)) == "millpond; hit; detail=l2"
        })
    };
    assert!(found_after(None));
    for drops in [r#"{"patterns":["*"]}"#, r#"{"patterns":["orders/*"]}"#, r#"{"keys":["orders/o1"]}"#] {
        assert!(!found_after(Some(drops)), "{drops}");
    }
    assert!(found_after(Some(r#"{"patterns":["users/*"]}"#)), "of other collections nothing goes");
    // One that does not hear of it is not used for that until it has.
    redis.hang();
    let dropped = client.json("POST", "/api/cache/invalidate", r#"{"patterns":["orders/*"]}"#).expect("an answer");
    assert_eq!(dropped.status, 200);
    redis.go_on();
    until_up(&mut client);
    assert_ne!(origin(&ask(&mut client, LIST)), "millpond; hit; detail=l2");
}
