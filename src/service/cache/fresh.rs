//! Never stale: among writers and readers on real threads, and against a service without a cache over the same core, by
//! every way to write.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::core::Core;
use crate::disk::sim::Rng;
use crate::id::{CollectionId, Position, RecordId};
use crate::limits;
use crate::model::command::Command;
use crate::model::look::Wanted;
use crate::model::predicate::{QueryPairs, Request};
use crate::model::record::Record;
use crate::model::value::Fields;
use crate::service::cache::{Answer, Question};
use crate::service::fixture::{block_on, define, get, list, nobody, over, page, put, start, start_core, superuser};
use crate::service::lists::ListRequest;
use crate::service::writes::{Ask, Deed};
use crate::service::{Asker, Caller, Paging, Service};
use crate::time::Millis;

const WRITERS: usize = 24;
const READERS: usize = 40;
const WRITES: u64 = 25;
const READS: u64 = 150;
const RECORDS: usize = 8;

fn n_of(json: &serde_json::Value) -> u64 {
    json["n"].as_u64().unwrap()
}

fn json(answer: &Answer) -> serde_json::Value {
    serde_json::from_slice(&answer.found.as_ref().unwrap().body).unwrap()
}

#[test]
fn no_reader_sees_a_value_older_than_one_that_was_answered() {
    let (service, threads) = start(limits::CACHE_BYTES);
    define(
        &service,
        r#"{"name":"a","fields":[{"name":"n","type":"number","integer":true}],"listRule":"","viewRule":""}"#,
    );
    let name = |record: usize| format!("r{record}");
    (0..RECORDS).for_each(|record| put(&service, "a", &name(record), r#"{"n":0}"#));
    // What each writer was last told of, by record: a record's writers write what is theirs, always more.
    let answered: [AtomicU64; RECORDS] = std::array::from_fn(|_| AtomicU64::new(0));
    let next: [std::sync::Mutex<u64>; RECORDS] = std::array::from_fn(|_| std::sync::Mutex::new(0));
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (service, answered, next) = (&service, &answered, &next);
            scope.spawn(move || {
                for _ in 0..WRITES {
                    let record = writer % RECORDS;
                    let mut n = next[record].lock().unwrap();
                    *n += 1;
                    put(service, "a", &name(record), &format!(r#"{{"n":{n}}}"#));
                    answered[record].store(*n, Ordering::SeqCst);
                }
            });
        }
        for reader in 0..READERS {
            let (service, answered) = (&service, &answered);
            scope.spawn(move || {
                let (asker, mut rng) = (nobody(service), Rng::new(reader as u64));
                for _ in 0..READS {
                    let record = rng.below(RECORDS as u64) as usize;
                    let before: Vec<u64> = answered.iter().map(|n| n.load(Ordering::SeqCst)).collect();
                    if rng.below(3) > 0 {
                        let n = n_of(&json(&get(service, &asker, "a", &name(record))));
                        assert!(n >= before[record], "{n} was read after {} was answered", before[record]);
                        continue;
                    }
                    // One of several, so that pages are made that others have not made.
                    let filter = format!("n >= 0 && id != 'x{}'", rng.below(4));
                    let page = json(&list(service, &asker, "a", &filter));
                    let items = page["items"].as_array().unwrap();
                    assert_eq!(items.len(), RECORDS);
                    for (at, item) in items.iter().enumerate() {
                        assert!(n_of(item) >= before[at], "{item} was listed after {} was answered", before[at]);
                    }
                }
            });
        }
    });
    for (tier, figures) in service.0.cache.as_ref().unwrap().figures().memory {
        assert!(figures.hits > 0 && figures.misses > 0, "{tier}: {figures:?}");
    }
    drop(service);
    threads.stop().unwrap();
}

pub(super) const DEFINITIONS: [&str; 4] = [
    r#"{"name":"teams","fields":[{"name":"name","type":"text"},{"name":"open","type":"bool"}],
        "listRule":"","viewRule":"open = true"}"#,
    r#"{"name":"users","fields":[{"name":"name","type":"text"},{"name":"secret","type":"text","hidden":true},
        {"name":"team","type":"relation","collection":"teams","onDelete":"setNull"}],
        "listRule":"team.open = true","viewRule":"team.open = true || id = @request.auth.id"}"#,
    r#"{"name":"orders","fields":[{"name":"n","type":"number","integer":true},
        {"name":"user","type":"relation","collection":"users","onDelete":"cascade"},
        {"name":"teams","type":"relation","collection":"teams","maxSelect":3,"onDelete":"setNull"}],
        "indexes":[{"name":"by_n","fields":["n"]}],"output":{"embed":{"user":["id","name"]}},
        "listRule":"","viewRule":"n < 6 || user = @request.auth.id"}"#,
    r#"{"name":"notes","fields":[{"name":"t","type":"text"},{"name":"order","type":"relation","collection":"orders"}],
        "listRule":"order.user.team.open = true || @request.query.all = '1'","viewRule":"order.n > 1"}"#,
];

/// What may be asked of a collection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) collection: &'static str,
    /// Of one record; a list without.
    pub(super) id: Option<u64>,
    filter: Option<&'static str>,
    sort: Option<&'static str>,
    pub(super) wanted: Wanted<'static>,
    pub(super) query: &'static str,
    count: bool,
    per_page: usize,
}

impl Asked {
    pub(super) fn request(&self, min: Option<Position>) -> ListRequest<'_> {
        let paging = Paging { page: 1, per_page: self.per_page, count: self.count };
        ListRequest { filter: self.filter, sort: self.sort, wanted: self.wanted, paging, min, ..page("") }
    }
}

const FILTERS: [(&str, &str); 9] = [
    ("orders", "n > 2"),
    ("orders", "user.name ~ 'a'"),
    ("orders", "user.team.open = true"),
    ("orders", "teams.name ?= 'b' && n < @year"),
    ("users", "orders_via_user.n ?> 3"),
    ("users", "name != ''"),
    ("teams", "users_via_team.name ?~ 'a'"),
    ("notes", "order.n >= 3"),
    ("notes", "t ~ 'b'"),
];

pub(super) fn random_question(rng: &mut Rng) -> Asked {
    let collection = ["teams", "users", "orders", "notes"][rng.below(4) as usize];
    let of_it: Vec<&str> = FILTERS.iter().filter(|(of, _)| *of == collection).map(|(_, filter)| *filter).collect();
    let expand = match collection {
        "orders" => "user.team,teams,notes_via_order",
        "users" => "team,orders_via_user",
        "notes" => "order.user",
        _ => "users_via_team,orders_via_teams",
    };
    let mut wanted = Wanted::default();
    match rng.below(5) {
        0 => wanted.fields = Some("id,collectionName"),
        1 => wanted.expand = Some(expand),
        2 => wanted.embed = Some(""),
        _ => {}
    }
    Asked {
        collection,
        id: (rng.below(2) == 0).then(|| rng.below(5)),
        filter: (rng.below(2) == 0 && !of_it.is_empty()).then(|| of_it[rng.below(of_it.len().max(1) as u64) as usize]),
        sort: [None, Some("-id"), Some("id")][rng.below(3) as usize],
        wanted,
        query: ["", "all=1"][rng.below(2) as usize],
        count: rng.below(2) == 0,
        per_page: [2, 30][rng.below(2) as usize],
    }
}

/// Everything that a caller is told, or why nothing.
pub(super) fn told(service: &Service, asker: &Asker, asked: &Asked, min: Option<Position>) -> (String, bool) {
    let words = format!("{asked:?}");
    let question = Question::of(asker, &words);
    let answer = match asked.id {
        Some(id) => {
            let id = id.to_string();
            block_on(service.view_record(asker, &question, asked.collection, &id, asked.wanted, min))
        }
        None => block_on(service.list_records(asker, &question, asked.collection, asked.request(min))),
    };
    match answer {
        Ok(answer) => (format!("{:?}", answer.found), answer.is_hit()),
        Err(error) => (format!("{:?} {}", error.kind(), error.message()), false),
    }
}

/// A write of a batch.
struct Random {
    collection: &'static str,
    id: String,
    body: String,
    how: u64,
}

impl Random {
    fn new(rng: &mut Rng) -> Random {
        let collection = ["teams", "users", "orders", "notes"][rng.below(4) as usize];
        let (one, other, text) = (rng.below(5), rng.below(5), ["a", "b", "ab", ""][rng.below(4) as usize]);
        let body = match collection {
            "teams" => format!(r#"{{"name":"{text}","open":{}}}"#, one > 1),
            "users" => format!(r#"{{"name":"{text}","secret":"{other}","team":"{one}"}}"#),
            "orders" => format!(r#"{{"n":{},"user":"{one}","teams":["{other}"]}}"#, rng.below(8)),
            _ => format!(r#"{{"t":"{text}","order":"{one}"}}"#),
        };
        Random { collection, id: rng.below(5).to_string(), body, how: rng.below(8) }
    }

    fn ask<'a>(&'a self, asker: &'a Asker) -> Ask<'a> {
        let (id, body) = (self.id.as_str(), self.body.as_bytes());
        let deed = match self.how {
            0 => Deed::Delete { id, if_match: None },
            1 => Deed::Merge { id, body, if_match: None },
            _ => Deed::Put { id: Some(id), body, if_match: None, create_only: false },
        };
        Ask { asker, collection: self.collection, wanted: Wanted::default(), deed }
    }
}

/// One random write or three as a transaction, through the service that has the cache. A refused one changes nothing.
pub(super) fn write(service: &Service, rng: &mut Rng) -> Option<Position> {
    let asker = superuser(service);
    let writes: Vec<Random> = (0..1 + rng.below(8) / 6 * 2).map(|_| Random::new(rng)).collect();
    let asks: Vec<Ask<'_>> = writes.iter().map(|write| write.ask(&asker)).collect();
    block_on(service.batch(&asks, None)).ok().map(|batch| batch.commit.position)
}

#[test]
fn with_a_cache_and_without_every_answer_is_the_same() {
    for seed in 0..3 {
        eprintln!("cache: seed {seed}");
        let mut rng = Rng::new(seed);
        let (core, threads) = start_core();
        let (cached, bare) = (over(&core, limits::CACHE_BYTES), over(&core, 0));
        DEFINITIONS.iter().for_each(|definition| define(&cached, definition));
        let questions: Vec<Asked> = (0..40).map(|_| random_question(&mut rng)).collect();
        let mut hits = BTreeMap::new();
        for step in 0..250 {
            let position = match rng.below(60) {
                0 => redefine(&cached),
                1 => truncate(&core, &mut rng),
                _ => write(&cached, &mut rng),
            };
            for _ in 0..8 {
                let asked = &questions[rng.below(questions.len() as u64) as usize];
                let asker = asker(&cached, &mut rng, asked.query);
                let min = position.filter(|_| rng.below(3) == 0);
                let (with, hit) = told(&cached, &asker, asked, min);
                let (without, _) = told(&bare, &asker, asked, None);
                assert_eq!(with, without, "seed {seed}, step {step}, hit {hit}: {asked:?} by {asker:?}");
                *hits.entry((asked.id.is_some(), hit)).or_insert(0) += 1;
            }
        }
        assert!(hits.len() == 4 && hits.values().all(|count| *count > 40), "seed {seed}: {hits:?}");
        let figures = cached.0.cache.as_ref().unwrap().figures().memory;
        assert!(figures.iter().all(|(_, figures)| figures.hits > 0), "{figures:?}");
        drop((cached, bare, core));
        threads.stop().unwrap();
    }
}

/// The notes go and come again, empty, under a new id.
pub(super) fn redefine(service: &Service) -> Option<Position> {
    let position = block_on(service.drop_collection(Caller::Superuser, "notes", None)).unwrap().position;
    define(service, DEFINITIONS[3]);
    Some(position)
}

/// A collection is emptied, unless others need its records.
pub(super) fn truncate(core: &Core, rng: &mut Rng) -> Option<Position> {
    let id = core.view().schema.find(["teams", "orders", "notes"][rng.below(3) as usize]).unwrap().id;
    block_on(core.submit(Command::Truncate(id))).ok().map(|committed| committed.position)
}

/// A superuser, nobody, or one of two users.
pub(super) fn asker(service: &Service, rng: &mut Rng, query: &str) -> Asker {
    let pairs = query.split_once('=').map(|(name, value)| (name.into(), value.into()));
    let query: QueryPairs = pairs.into_iter().collect::<Vec<_>>().into();
    let which = rng.below(4);
    if which == 0 {
        return service.asker(Caller::Superuser, "GET", query);
    }
    let principal = (which > 1).then(|| {
        let id = RecordId::new(&which.to_string()).unwrap();
        (CollectionId(2), Arc::new(Record { id, version: Position::default(), fields: Fields::new() }))
    });
    let request = Request { method: "GET", principal, query, ..Request::at(Millis(1)) };
    Asker { caller: Caller::Anonymous, request: Arc::new(request) }
}
