//! What is kept, for whom, and how much of it. That nothing is ever stale is proven in `fresh`.

use std::sync::Arc;

use bytes::Bytes;

use super::flights::{Ended, Flights, Joined};
use super::needs::Needs;
use super::question::Sharing;
use super::tier::{Tier, Weigh};
use super::{Cache, Found, Question};
use crate::core::Slots;
use crate::id::{CollectionId, Position, RecordId, Seq};
use crate::limits;
use crate::model::predicate::Request;
use crate::model::record::Record;
use crate::model::value::Fields;
use crate::service::fixture::{block_on, define, get, list, nobody, put, start, superuser};
use crate::service::{Asker, Caller};
use crate::time::Millis;

const A: CollectionId = CollectionId(1);

fn id(text: &str) -> RecordId {
    RecordId::new(text).unwrap()
}

/// A user, by the record that its token named.
fn user(name: &str, seq: u64) -> Asker {
    let version = Position { seq: Seq(seq), ..Position::default() };
    let record = Arc::new(Record { id: id(name), version, fields: Fields::new() });
    let request =
        Request { method: "GET", principal: Some((CollectionId(9), record)), ..Request::at(Millis(2_000_000_000_000)) };
    Asker { caller: Caller::Anonymous, request: Arc::new(request) }
}

fn found(bytes: usize) -> Found {
    Found { body: Bytes::from(vec![b'x'; bytes]), tag: None }
}

fn cache() -> Cache {
    Cache::new(limits::CACHE_BYTES_LEAST, Arc::new(Slots::default())).unwrap()
}

/// Whether an answer so long to words so long, with so many needs, is kept.
fn is_kept(bytes: usize, words: usize, needs: u32) -> bool {
    let (cache, asker, words) = (cache(), user("u", 1), "w".repeat(words));
    let question = Question::of(&asker, &words);
    let mut all = Needs::new();
    (1..needs).for_each(|other| all.collection(CollectionId(other)));
    cache.keep(Cache::place(&question, A, all), Seq(1), Some(&found(bytes)), None);
    cache.find(&question).is_some()
}

#[test]
fn what_is_over_a_bound_is_not_kept() {
    // The method and who asks are a part of the key.
    let words = limits::CACHE_QUESTION_BYTES_MAX - "GET ".len() - 2;
    let needs = limits::CACHE_NEEDS_MAX as u32;
    assert!(is_kept(limits::CACHE_ANSWER_BYTES_MAX, words, needs));
    assert!(!is_kept(limits::CACHE_ANSWER_BYTES_MAX + 1, 9, 1));
    assert!(!is_kept(9, words + 1, 1));
    assert!(!is_kept(9, 9, needs + 1));
}

#[test]
fn a_tier_takes_no_more_than_its_room_and_keeps_what_is_asked_for() {
    struct Text(usize);
    impl Weigh for Arc<Text> {
        fn bytes(&self) -> usize {
            self.0
        }
    }
    let tier: Tier<Arc<Text>> = Tier::new(1 << 20);
    let key = |n: u32| Box::<[u8]>::from(n.to_be_bytes().as_slice());
    for n in 0..20_000 {
        tier.put(key(n), Arc::new(Text(1_000)));
        assert!(n < 10 || tier.get(&key(7)).is_some(), "{n}: it is asked for all the time");
    }
    let figures = tier.figures();
    assert!(figures.bytes <= 1 << 20 && figures.bytes > 1 << 19, "{figures:?}");
    assert!((500..1_050).contains(&figures.entries), "{figures:?}");
    tier.put(key(1), Arc::new(Text(2 << 20)));
    assert!(tier.figures().bytes <= 1 << 20, "what is larger than all of it is not taken in");
    let entries = tier.figures().entries;
    assert_eq!(tier.drop_where(|_, _| true), entries);
    assert_eq!(tier.figures().entries, 0);
}

#[test]
fn a_key_is_of_one_caller_or_of_all_of_a_kind() {
    let words = "/api/collections/a/records/1";
    let anonymous =
        Asker { caller: Caller::Anonymous, request: Arc::new(Request { method: "GET", ..Request::at(Millis(0)) }) };
    let one = user("u", 1);
    let others = [user("v", 1), user("u", 2), anonymous];
    let key = |asker: &Asker, sharing| Question::of(asker, words).key(sharing).unwrap();
    for other in &others {
        assert_eq!(key(&one, Sharing::Kin), key(other, Sharing::Kin));
        assert_ne!(key(&one, Sharing::Own), key(other, Sharing::Own));
    }
    let all_powerful = Asker { caller: Caller::Superuser, ..one.clone() };
    assert_ne!(key(&one, Sharing::Kin), key(&all_powerful, Sharing::Kin));
    let of = |method, words| Question::new(&Caller::Anonymous, method, words).key(Sharing::Kin).unwrap();
    assert_ne!(of("GET", "/a"), of("HEAD", "/a"));
    assert_ne!(of("GET", "/a"), of("GET", "/a?"));
}

#[test]
fn a_rule_decides_who_shares_an_answer() {
    let table = [
        ("", [true, true, true]),
        ("t != null", [true, true, true]),
        ("owner = @request.auth.id", [true, false, false]),
        ("@request.method = 'GET'", [true, false, false]),
        ("t < @now", [false, false, false]),
    ];
    for (rule, hits) in table {
        let (service, threads) = start(limits::CACHE_BYTES);
        define(
            &service,
            &format!(
                r#"{{"name":"a","fields":[{{"name":"owner","type":"text"}},{{"name":"t","type":"date"}}],
                "listRule":"{rule}","viewRule":"{rule}"}}"#
            ),
        );
        put(&service, "a", "1", r#"{"owner":"u","t":"2001-01-01 00:00:00.000Z"}"#);
        let (one, other) = (user("u", 1), user("v", 1));
        let at_first = get(&service, &one, "a", "1");
        assert!(!at_first.is_hit());
        // The same caller again, another, the other again where it has to be read for itself.
        let again = [get(&service, &one, "a", "1"), get(&service, &other, "a", "1")];
        assert_eq!(again[0].found, at_first.found);
        assert_eq!([again[0].is_hit(), again[1].is_hit()], hits[..2], "{rule:?}");
        let owned = rule.contains("auth");
        assert_eq!(again[1].found.is_none(), owned, "{rule:?}");
        let lists = [&one, &one, &other].map(|asker| list(&service, asker, "a", ""));
        assert_eq!(lists.each_ref().map(|list| list.is_hit()), [false, hits[0], hits[1]], "{rule:?}");
        let superuser = superuser(&service);
        assert!(!get(&service, &superuser, "a", "1").is_hit(), "a superuser sees more");
        assert!(get(&service, &superuser, "a", "1").is_hit());
        drop(service);
        threads.stop().unwrap();
    }
}

#[test]
fn absence_is_kept_until_it_ends() {
    let (service, threads) = start(limits::CACHE_BYTES);
    define(&service, r#"{"name":"a","fields":[{"name":"shown","type":"bool"}],"viewRule":"shown = true"}"#);
    let asker = nobody(&service);
    let see = || {
        let answer = get(&service, &asker, "a", "1");
        (answer.found.is_some(), answer.is_hit())
    };
    assert_eq!([see(), see()], [(false, false), (false, true)]);
    put(&service, "a", "1", r#"{"shown":false}"#);
    assert_eq!([see(), see()], [(false, false), (false, true)], "hidden is as absent");
    put(&service, "a", "1", r#"{"shown":true}"#);
    assert_eq!([see(), see()], [(true, false), (true, true)]);
    put(&service, "a", "2", r#"{"shown":true}"#);
    assert_eq!(see(), (true, true), "another record's write costs nothing");
    drop(service);
    threads.stop().unwrap();
}

#[test]
fn a_stampede_of_equal_long_lists_is_one_read() {
    const ROWS: usize = 2 * limits::INLINE_ROWS_MAX;
    const CALLERS: usize = 32;
    let (service, threads) = start(limits::CACHE_BYTES);
    define(&service, r#"{"name":"a","fields":[{"name":"t","type":"text"}],"listRule":""}"#);
    (0..ROWS).for_each(|at| put(&service, "a", &format!("r{at}"), r#"{"t":"x"}"#));
    let filter = |at: usize| if at < CALLERS { "t = 'y'" } else { "t = 'z'" };
    block_on(async {
        let mut all = tokio::task::JoinSet::new();
        for at in 0..CALLERS + 2 {
            let (service, asker) = (service.clone(), nobody(&service));
            all.spawn(
                async move { crate::service::fixture::list_of(&service, &asker, "a", filter(at)).await.is_hit() },
            );
        }
        let hits = all.join_all().await.into_iter().filter(|hit| *hit).count();
        assert_eq!(hits, CALLERS, "of each of the two questions one was read");
    });
    let figures = service.0.cache.as_ref().unwrap().answers.figures();
    assert_eq!((figures.hits, figures.misses), (CALLERS as u64, 2));
    drop(service);
    threads.stop().unwrap();
}

#[test]
fn who_waits_goes_on_however_the_flight_ends() {
    let flights = Flights::default();
    let join = |key: &str| flights.join(key.as_bytes().into());
    let Joined::Leader(first) = join("a") else { panic!("nobody was there") };
    let Joined::Waiting(waiting) = join("a") else { panic!("it is on its way") };
    assert!(matches!(join("b"), Joined::Leader(_)), "another question waits for nothing");
    first.done();
    assert_eq!(block_on(Flights::ended(waiting)), Ended::Done);
    let Joined::Leader(second) = join("a") else { panic!("the first is over") };
    let Joined::Waiting(waiting) = join("a") else { panic!("it is on its way") };
    drop(second);
    assert_eq!(block_on(Flights::ended(waiting)), Ended::Left);
    let leaders: Vec<_> = (0..limits::CACHE_FLIGHTS_MAX).map(|at| join(&at.to_string())).collect();
    assert!(matches!(join("a"), Joined::Alone), "{} are on their way", leaders.len());
    drop(leaders);
    assert!(matches!(join("a"), Joined::Leader(_)));
}

#[test]
fn what_is_named_is_dropped_and_no_more() {
    let (service, threads) = start(limits::CACHE_BYTES);
    define(&service, r#"{"name":"a","fields":[],"listRule":"","viewRule":""}"#);
    let relation = r#"{"name":"to","type":"relation","collection":"a"}"#;
    define(&service, &format!(r#"{{"name":"b","fields":[{relation}],"listRule":"","viewRule":""}}"#));
    put(&service, "a", "1", "{}");
    put(&service, "a", "2", "{}");
    put(&service, "b", "1", r#"{"to":"1"}"#);
    let asker = nobody(&service);
    let table = [
        (r#"{"keys":["a/1"]}"#, [false, true, false, true, true]),
        (r#"{"keys":["a/none","none/1"],"patterns":[]}"#, [true, true, false, true, true]),
        (r#"{"patterns":["none/*"]}"#, [true; 5]),
        (r#"{"patterns":["a/*"]}"#, [false, false, false, true, true]),
        (r#"{"patterns":["b/*"]}"#, [true, true, true, false, false]),
        (r#"{"patterns":["*"]}"#, [false; 5]),
    ];
    for (body, hits) in table {
        let see = || {
            let records = [("a", "1"), ("a", "2")].map(|(of, id)| get(&service, &asker, of, id).is_hit());
            let lists = [("a", ""), ("b", "")].map(|(of, filter)| list(&service, &asker, of, filter).is_hit());
            [records[0], records[1], lists[0], lists[1], get(&service, &asker, "b", "1").is_hit()]
        };
        see();
        assert_eq!(see(), [true; 5], "{body}");
        block_on(service.invalidate_cache(Caller::Superuser, body.as_bytes())).unwrap();
        assert_eq!(see(), hits, "{body}");
    }
    let finished = || service.0.cache.as_ref().unwrap().finished.figures().entries;
    for (body, left) in [(r#"{"keys":["none/1"]}"#, 3), (r#"{"keys":["a/1"]}"#, 2), (r#"{"patterns":["a/*"]}"#, 1)] {
        block_on(service.invalidate_cache(Caller::Superuser, body.as_bytes())).unwrap();
        assert_eq!(finished(), left, "{body}");
    }
    let many = format!(r#"{{"keys":[{}]}}"#, vec!["\"a/1\""; limits::INVALIDATE_MAX + 1].join(","));
    let faulty = [
        ("{}", "keys:required"),
        (r#"{"keys":["a"],"patterns":["a*","a/x*"]}"#, "keys.0:bad_key patterns.0:bad_key patterns.1:bad_key"),
        (r#"{"keys":"a/1","pattern":[]}"#, "keys:wrong_type pattern:unknown_field"),
        (r#"{"keys":[1],"keys":[]}"#, "keys.0:bad_key keys:duplicate_key"),
        (&many, "keys:too_many"),
    ];
    for (body, expected) in faulty {
        let error = block_on(service.invalidate_cache(Caller::Superuser, body.as_bytes())).unwrap_err();
        let faults: Vec<String> =
            error.field_faults().iter().map(|fault| format!("{}:{}", fault.field, fault.code)).collect();
        assert_eq!(faults.join(" "), expected);
    }
    drop(service);
    threads.stop().unwrap();
}
