//! When tokens, keys and the first link end, by a clock that is moved; and what a storm of logins meets.

use std::sync::atomic::Ordering;

use super::*;
use crate::core::Threads;
use crate::model::lines::Form;
use crate::model::look::Wanted;
use crate::service::Asker;
use crate::service::fixture::{begin, block_on, define, hold, list_of, nobody, put, start, superuser};
use crate::service::import::{Source, Terms};
use crate::time::Clock;

const PEOPLE: &str = r#"{"name":"people","type":"auth","authToken":{"duration":600},"listRule":""}"#;
const LOGIN: &[u8] = br#"{"identity":"ada@example.com","password":"correct horse"}"#;

/// With one account, `ada`.
fn with_ada() -> (Service, Threads) {
    let (service, threads) = start(0);
    block_on(service.define_own()).unwrap();
    define(&service, PEOPLE);
    put(&service, "people", "ada", r#"{"email":"ada@example.com","password":"correct horse"}"#);
    (service, threads)
}

fn wait(service: &Service, seconds: i64) {
    let Clock::Manual(time) = service.core().clock() else { panic!("a clock that stands") };
    time.fetch_add(seconds * 1_000, Ordering::Relaxed);
}

fn token_in(granted: &Granted) -> String {
    let body: serde_json::Value = serde_json::from_slice(&granted.body()).unwrap();
    body["token"].as_str().unwrap().to_owned()
}

fn login(service: &Service) -> String {
    let asker = nobody(service);
    token_in(&block_on(service.auth_with_password(&asker, "people", LOGIN, Wanted::default())).unwrap())
}

fn asker_of(service: &Service, token: &str) -> Asker {
    let caller = service.caller_of_token(token.as_bytes()).unwrap();
    service.asker(caller, "POST", Vec::new().into())
}

fn refresh(service: &Service, token: &str) -> String {
    let asker = asker_of(service, token);
    token_in(&block_on(service.auth_refresh(&asker, "people", Wanted::default())).unwrap())
}

fn is_good(service: &Service, token: &str) -> bool {
    match service.caller_of_token(token.as_bytes()) {
        Ok(_) => true,
        Err(error) => {
            assert_eq!((error.kind(), error.code_str()), (Kind::Unauthenticated, "bad_token"));
            false
        }
    }
}

#[test]
fn a_token_is_good_for_its_time_and_a_refreshed_one_for_as_long_again() {
    let (service, threads) = with_ada();
    let first = login(&service);
    wait(&service, 599);
    assert!(is_good(&service, &first));
    let second = refresh(&service, &first);
    wait(&service, 1);
    assert!(!is_good(&service, &first), "it ends to the second");
    assert!(is_good(&service, &second));
    wait(&service, 598);
    assert!(is_good(&service, &second));
    wait(&service, 2);
    assert!(!is_good(&service, &second));
    drop(service);
    threads.stop().unwrap();
}

#[test]
fn an_impersonation_is_never_good_for_longer_than_it_was_made_for() {
    let (service, threads) = with_ada();
    let body = br#"{"duration":60}"#;
    let asker = superuser(&service);
    let made = service.impersonate(&asker, "people", "ada", body, Wanted::default());
    let token = token_in(&block_on(made).unwrap());
    wait(&service, 59);
    let again = refresh(&service, &token);
    wait(&service, 1);
    assert!(!is_good(&service, &token) && !is_good(&service, &again));
    drop((service, asker));
    threads.stop().unwrap();
}

#[test]
fn an_impersonation_does_not_outlive_the_key_or_the_token_that_made_it() {
    let (service, threads) = with_ada();
    let root = r#"{"email":"root@example.com","password":"long enough"}"#;
    put(&service, "_superusers", "root", root);
    let key = key(&service, r#""expires":"1970-01-01 00:01:00.000Z""#);
    let made = |by: &str, id: &str| {
        let (asker, collection) = (asker_of(&service, by), if id == "root" { "_superusers" } else { "people" });
        let body = br#"{"duration":3600}"#;
        token_in(&block_on(service.impersonate(&asker, collection, id, body, Wanted::default())).unwrap())
    };
    let by_key = made(&key, "ada");
    let root = made(&key, "root");
    let by_token = made(&root, "ada");
    let lasting = {
        let login = br#"{"identity":"root@example.com","password":"long enough"}"#;
        let asker = nobody(&service);
        let granted = service.auth_with_password(&asker, "_superusers", login, Wanted::default());
        made(&token_in(&block_on(granted).unwrap()), "ada")
    };
    wait(&service, 58);
    assert!([&by_key, &root, &by_token].into_iter().all(|token| is_good(&service, token)));
    wait(&service, 2);
    assert!(![&by_key, &root, &by_token].into_iter().any(|token| is_good(&service, token)));
    assert!(is_good(&service, &lasting), "who may have a later token has no end");
    drop(service);
    threads.stop().unwrap();
}

/// A body in two parts. Something happens between them.
struct Parted<'a> {
    parts: usize,
    between: &'a dyn Fn(),
}

impl Source for Parted<'_> {
    fn next(&mut self) -> Result<Option<bytes::Bytes>> {
        self.parts += 1;
        if self.parts == 2 {
            (self.between)();
        }
        // More than one command's lines.
        Ok((self.parts <= 2).then(|| "{}\n".repeat(limits::ENTRY_CHANGES_PIECE * 3 / 2).into()))
    }
}

fn delete(service: &Service, collection: &str, id: &str) {
    block_on(service.delete_record(&superuser(service), collection, id, None, None)).unwrap();
}

#[test]
fn an_import_ends_with_the_token_or_the_key_that_it_was_begun_by() {
    type Way = (&'static str, fn(&Service) -> String, fn(&Service, &str), bool);
    let owned: fn(&Service) -> String = |service| key(service, r#""owner":"ada","ownerCollection":"people""#);
    let ways: [Way; 6] = [
        ("nothing", login, |_, _| {}, false),
        ("another address", login, |service, _| put(service, "people", "ada", r#"{"email":"a@example.com"}"#), false),
        (
            "a new password",
            login,
            |service, _| put(service, "people", "ada", r#"{"email":"ada@example.com","password":"battery staple"}"#),
            true,
        ),
        ("its time", login, |service, _| wait(service, 600), true),
        ("no account", owned, |service, _| delete(service, "people", "ada"), true),
        ("no key", owned, |service, key| delete(service, API_KEYS, key[3..].split('_').next().unwrap()), true),
    ];
    for (what, shown, between, ends) in ways {
        for atomic in [false, true] {
            let (service, threads) = with_ada();
            define(&service, r#"{"name":"things","createRule":"@request.auth.id != ''"}"#);
            let shown = shown(&service);
            let terms = Terms { form: Form::Ndjson, upsert: false, atomic };
            let import = service.import(&asker_of(&service, &shown), "things", terms, None).unwrap();
            let mut body = Parted { parts: 0, between: &|| between(&service, &shown) };
            match import.known_by(Some(shown.as_bytes())).run(&mut body) {
                Ok(report) => assert!(!ends && report.created == 3_000, "{what}: {report:?}"),
                Err(ended) => {
                    assert!(ends, "{what}: {ended:?}");
                    let error = (ended.error.kind(), ended.error.code_str());
                    assert_eq!(error, (Kind::Unauthenticated, "bad_token"), "{what}");
                    assert_eq!(ended.report.created, if atomic { 0 } else { 1_000 }, "{what}");
                }
            }
            drop(service);
            threads.stop().unwrap();
        }
    }
}

#[test]
fn a_new_password_and_a_deletion_end_every_token_and_key_of_an_account() {
    let (service, threads) = with_ada();
    let (first, second) = (login(&service), login(&service));
    put(&service, "people", "ada", r#"{"email":"ada@example.com","password":"battery staple"}"#);
    assert!(!is_good(&service, &first) && !is_good(&service, &second));
    put(&service, "people", "ada", r#"{"email":"ada@example.com","password":"correct horse"}"#);
    assert!(!is_good(&service, &first), "the old password again makes no old token good");
    let third = login(&service);
    let key = key(&service, r#""owner":"ada","ownerCollection":"people""#);
    assert!(is_good(&service, &third) && is_good(&service, &key));
    block_on(service.delete_record(&superuser(&service), "people", "ada", None, None)).unwrap();
    assert!(!is_good(&service, &third) && !is_good(&service, &key));
    put(&service, "people", "ada", r#"{"email":"ada@example.com","password":"correct horse"}"#);
    assert!(!is_good(&service, &third), "another account under the same id");
    drop(service);
    threads.stop().unwrap();
}

fn key(service: &Service, settings: &str) -> String {
    use crate::service::writes::{Ask, Deed};
    let body = format!(r#"{{"name":"k",{settings}}}"#);
    let (asker, deed) = (superuser(service), Deed::Create { body: body.as_bytes() });
    let ask = Ask { asker: &asker, collection: API_KEYS, wanted: Wanted::default(), deed };
    let stored = block_on(service.store_record(ask, None)).unwrap();
    let body: serde_json::Value = serde_json::from_slice(&stored.shown.body()).unwrap();
    body["key"].as_str().unwrap().to_owned()
}

#[test]
fn an_api_key_ends_when_it_says() {
    let (service, threads) = with_ada();
    let lasting = key(&service, r#""expires":null"#);
    let short = key(&service, r#""expires":"1970-01-01 00:01:00.000Z""#);
    assert!(is_good(&service, &short));
    wait(&service, 59);
    assert!(is_good(&service, &short));
    wait(&service, 1);
    assert!(!is_good(&service, &short) && is_good(&service, &lasting));
    drop(service);
    threads.stop().unwrap();
}

#[test]
fn the_link_for_the_first_superuser_ends_with_its_time() {
    let (service, threads) = start(0);
    block_on(service.define_own()).unwrap();
    let body = |token: &str| format!(r#"{{"token":"{token}","email":"a@example.com","password":"long enough"}}"#);
    let most = i64::try_from(limits::SETUP_TIME_MAX.as_secs()).unwrap();
    let token = service.open_setup().unwrap().unwrap();
    wait(&service, most);
    let late = block_on(service.set_up(body(&token).as_bytes())).unwrap_err();
    assert_eq!((late.kind(), late.code_str()), (Kind::Unauthenticated, "bad_token"));
    let token = service.open_setup().unwrap().unwrap();
    wait(&service, most - 1);
    block_on(service.set_up(body(&token).as_bytes())).unwrap();
    assert!(service.open_setup().unwrap().is_none());
    drop(service);
    threads.stop().unwrap();
}

#[test]
fn whoever_hangs_up_has_not_used_the_link() {
    let (service, threads) = start(0);
    block_on(service.define_own()).unwrap();
    let token = service.open_setup().unwrap().unwrap();
    let body = format!(r#"{{"token":"{token}","email":"a@example.com","password":"long enough"}}"#);
    {
        let _held = hold(&service.0.passwords, limits::PASSWORD_THREADS);
        let first = begin(service.set_up(body.as_bytes()));
        let second = block_on(service.set_up(body.as_bytes())).unwrap_err();
        assert_eq!(second.code_str(), "bad_token", "one at a time");
        drop(first);
    }
    block_on(service.set_up(body.as_bytes())).unwrap();
    assert_eq!(block_on(service.set_up(body.as_bytes())).unwrap_err().code_str(), "bad_token");
    drop(service);
    threads.stop().unwrap();
}

#[test]
fn a_storm_of_logins_is_turned_away_at_the_bound_while_reads_go_on() {
    const LOGINS: usize = 6 * limits::PASSWORD_QUEUE;
    let (service, threads) = with_ada();
    let asker = nobody(&service);
    let (good, busy) = block_on(async {
        let mut storm = tokio::task::JoinSet::new();
        for _ in 0..LOGINS {
            let (service, asker) = (service.clone(), asker.clone());
            storm.spawn(async move { service.auth_with_password(&asker, "people", LOGIN, Wanted::default()).await });
        }
        tokio::task::yield_now().await;
        // The hashing threads are at it and their queue is full: what needs none of them is answered.
        list_of(&service, &asker, "people", "").await;
        let (mut good, mut busy) = (0, 0);
        while let Some(done) = storm.join_next().await {
            match done.unwrap() {
                Ok(_) => good += 1,
                Err(error) => {
                    assert_eq!((error.kind(), error.code_str()), (Kind::Unavailable, "queue_full"));
                    busy += 1;
                }
            }
        }
        (good, busy)
    });
    assert!(busy > 0 && good > 0 && good + busy == LOGINS, "{good} {busy}");
    login(&service);
    drop((service, asker));
    threads.stop().unwrap();
}
