//! Two servers that share a Redis, among racing writers and readers, while that dies, hangs and is filled with garbage:
//! every read is answered, and none with what is older than what was answered before.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use millpond::config::Settings;

use crate::followers::{Node, address, folder, level};
use crate::support::http::{Answer, Client};
use crate::support::redis::{self, Redis};
use crate::support::results;
use crate::support::rng::Rng;
use crate::support::until::until;

const COUNTERS: &str = "/api/collections/counters/records";
const RECORDS: usize = 6;
const READERS: usize = 3;
/// Writes follow each other so, that a list is asked for more than once between two.
const PAUSE: Duration = Duration::from_millis(15);

/// What was answered of one record: its number, and the position at which it had it.
type Answered = Mutex<(u64, String)>;

struct Race {
    servers: [SocketAddr; 2],
    answered: [Answered; RECORDS],
    over: AtomicBool,
    reads: AtomicU64,
    faults: Mutex<Vec<String>>,
}

impl Race {
    fn fault(&self, what: String) {
        self.faults.lock().expect("no panic").push(what);
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Writes a record of its own, ever more, by either server.
    fn write(&self, record: usize, key: &str, seed: u64) {
        let mut rng = Rng::new(seed);
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let mut clients = self.servers.map(Client::new);
        for n in 1.. {
            if self.is_over() {
                return;
            }
            let through = usize::from(rng.once_in(4));
            let (path, body) = (format!("{COUNTERS}/c{record}"), format!(r#"{{"n":{n}}}"#));
            match clients[through].request("PUT", &path, &headers, Some(body.as_bytes())) {
                Ok(answer) if matches!(answer.status, 200 | 201) => {
                    let seq = answer.header("millpond-seq").expect("a position").to_owned();
                    *self.answered[record].lock().expect("no panic") = (n, seq);
                    // Whoever wrote sees it, on the server that it wrote to.
                    self.read(&mut clients[through], through, &mut [0; RECORDS], &mut rng, Some(record));
                }
                other => return self.fault(format!("a write was not taken: {other:?}")),
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// One read on a server. `seen` is what this reader saw there.
    fn read(
        &self,
        client: &mut Client,
        server: usize,
        seen: &mut [u64; RECORDS],
        rng: &mut Rng,
        own: Option<usize>,
    ) -> Option<()> {
        let record = own.unwrap_or(rng.below(RECORDS as u64) as usize);
        let (n, seq) = self.answered[record].lock().expect("no panic").clone();
        // Without a position a follower may lag, but never goes back.
        let waits = !seq.is_empty() && (own.is_some() || server == 1 && rng.once_in(2));
        let behind = waits.then_some(("millpond-min-seq", seq.as_str()));
        let least = if waits || (server == 0 && own.is_none()) { n } else { 0 };
        let filter = format!("n%3E{}", rng.below(3) as i64 - 3);
        let (target, what) = match rng.below(3) {
            0 => (format!("{COUNTERS}?filter={filter}&sort=-n"), "a list"),
            1 => (format!("{COUNTERS}/c{record}?expand=to"), "a record with its related one"),
            _ => (format!("{COUNTERS}/aggregate?group=id&values=n:max(n)&filter={filter}"), "an aggregate"),
        };
        let answer = client.request("GET", &target, behind.as_slice(), None);
        self.reads.fetch_add(1, Ordering::Relaxed);
        let read = match answer {
            Ok(answer) if answer.status == 200 => numbers(&answer, record),
            // It lags more than is waited for: said, and not stale.
            Ok(answer) if answer.status == 503 && answer.json()["code"] == "min_seq_not_reached" => return None,
            other => {
                self.fault(format!("{what} was not answered: {other:?}"));
                return None;
            }
        };
        for (of, read) in read {
            let least = if of == record { least.max(seen[of]) } else { seen[of] };
            if read < least {
                self.fault(format!("{what} of server {server} has {read} of c{of} after {least}"));
            }
            seen[of] = seen[of].max(read);
        }
        Some(())
    }

    /// Reads until enough was read.
    fn reader(&self, server: usize, enough: u64, seed: u64) {
        let (mut rng, mut client, mut seen) = (Rng::new(seed), Client::new(self.servers[server]), [0; RECORDS]);
        while self.reads.load(Ordering::Relaxed) < enough && !self.is_over() {
            self.read(&mut client, server, &mut seen, &mut rng, None);
        }
        self.over.store(true, Ordering::Relaxed);
    }
}

/// The numbers that an answer shows, by record.
fn numbers(answer: &Answer, of: usize) -> Vec<(usize, u64)> {
    let json = answer.json();
    let n = |item: &serde_json::Value| item["n"].as_f64().unwrap_or(0.0) as u64;
    let Some(items) = json["items"].as_array() else { return vec![(of, n(&json))] };
    let index = |item: &serde_json::Value| item["id"].as_str()?.strip_prefix('c')?.parse().ok();
    items.iter().filter_map(|item| Some((index(item)?, n(item)))).collect()
}

/// What becomes of the Redis meanwhile.
fn trouble(race: &Race, mut redis: Redis, enough: u64, seed: u64) {
    let mut rng = Rng::new(seed);
    let waits = |ms: u64| {
        let until = Instant::now() + Duration::from_millis(ms);
        while Instant::now() < until && !race.is_over() {
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    // Undisturbed for a quarter of the reads, so that it is of use before it is of none.
    while race.reads.load(Ordering::Relaxed) < enough / 4 && !race.is_over() {
        waits(20);
    }
    while !race.is_over() {
        match rng.below(4) {
            0 => {
                redis.hang();
                waits(200);
                redis.go_on();
            }
            1 => {
                let address = redis.kill();
                waits(300);
                redis = Redis::start_at(address, &[]);
            }
            _ => {
                for key in redis.answers() {
                    let value: Vec<u8> = match redis.value(&key) {
                        Some(own) if rng.once_in(2) => own.iter().map(|byte| byte ^ rng.once_in(100) as u8).collect(),
                        _ => (0..rng.below(500)).map(|_| rng.next() as u8).collect(),
                    };
                    redis.overwrite(&key, &value);
                }
            }
        }
        waits(rng.below(600));
    }
}

#[test]
fn nothing_stale_is_read_and_no_read_is_lost_whatever_becomes_of_the_redis() {
    if !redis::present() {
        return;
    }
    let started = Instant::now();
    let (enough, seed) = (results::size(2_000, 20_000, 200_000), results::seed());
    let redis = Redis::start();
    let url = redis.url();
    let change = |settings: &mut Settings| settings.l2_cache = Some(url.clone());
    let mut primary = Node::primary_with(address(), change);
    let counters = r#"{"name":"counters","fields":[{"name":"n","type":"number","integer":true},
        {"name":"to","type":"relation","collection":"notes"}],"listRule":"","viewRule":""}"#;
    assert_eq!(primary.json("POST", "/api/collections", counters).status, 201);
    assert_eq!(primary.json("PUT", "/api/collections/notes/records/n", r#"{"text":"x"}"#).status, 201);
    for record in 0..RECORDS {
        let made = primary.json("PUT", &format!("{COUNTERS}/c{record}"), r#"{"n":0,"to":"n"}"#);
        assert_eq!(made.status, 201, "{}", made.text());
    }
    let mut follower = Node::follower_with(&primary, folder(), address(), change);
    until("it is ready", || follower.get("/readyz").status == 200);
    level(&mut primary, &mut follower);

    let race = Race {
        servers: [&primary, &follower].map(|node| node.server.address),
        answered: std::array::from_fn(|_| Mutex::default()),
        over: AtomicBool::new(false),
        reads: AtomicU64::new(0),
        faults: Mutex::default(),
    };
    std::thread::scope(|scope| {
        let (race, key) = (&race, &primary.key);
        for record in 0..RECORDS {
            scope.spawn(move || race.write(record, key, seed + record as u64));
        }
        for reader in 0..2 * READERS {
            scope.spawn(move || race.reader(reader % 2, enough, seed + 100 + reader as u64));
        }
        scope.spawn(move || trouble(race, redis, enough, seed + 200));
    });
    let reads = race.reads.into_inner();
    let faults = race.faults.into_inner().expect("no panic");
    results::record("C1", reads, faults.len() as u64, started, seed);
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults[..faults.len().min(10)].join("\n"));
    let mut hits = 0;
    for node in [&mut primary, &mut follower] {
        let tiers = node.get("/api/cache").json();
        eprintln!("{}", tiers["tiers"][2]);
        hits += tiers["tiers"][2]["hits"].as_u64().expect("a number");
    }
    assert!(hits > 0, "the tier was of no use");
    level(&mut primary, &mut follower);
}
