//! Searches of random words by callers of all kinds, against what their lists show: the same records, totals, counts, in
//! the same order by a `sort`, and page by page what one page has.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::accounts::{login, root, send};
use crate::support::http::Client;
use crate::support::results;
use crate::support::rng::Rng;
use crate::support::server::Running;

const PASSWORD: &str = "correct horse";
const WORDS: [&str; 12] = ["ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen", "ibis", "jay", "kite", "lynx"];
const DEFINITIONS: [&str; 2] = [
    r#"{"name":"people","type":"auth","fields":[],"listRule":"","viewRule":""}"#,
    r#"{"name":"notes","fields":[{"name":"text","type":"text"},{"name":"n","type":"number","integer":true},
        {"name":"kind","type":"select","values":["a","b","c"]},{"name":"open","type":"bool"},
        {"name":"user","type":"relation","collection":"people"}],
        "search":{"fields":{"text":{}},"facets":["kind","user"]},
        "listRule":"open = true || user = @request.auth.id","viewRule":""}"#,
];

struct World {
    /// Holds the server.
    _server: Running,
    client: Client,
    root: String,
    ada: String,
    last: String,
}

impl World {
    fn new() -> World {
        let superuser = Some(("root@example.com", "an open secret"));
        let server =
            Running::start_for(tempfile::tempdir().expect("a folder"), |settings| settings.dev = false, superuser);
        let mut client = Client::new(server.address);
        let root = root(&mut client);
        for body in DEFINITIONS {
            assert_eq!(send(&mut client, &root, "POST", "/api/collections", body).status, 201);
        }
        for id in ["ada", "bo"] {
            let body = format!(r#"{{"id":"{id}","email":"{id}@example.com","password":"{PASSWORD}"}}"#);
            assert_eq!(send(&mut client, &root, "POST", "/api/collections/people/records", &body).status, 201);
        }
        let ada = login(&mut client, "people", "ada@example.com", PASSWORD);
        World { _server: server, client, root, ada, last: String::new() }
    }

    /// Writes, as a superuser; what is asked from then on knows of it.
    fn write(&mut self, method: &str, target: &str, body: &str) {
        let answer = send(&mut self.client, &self.root.clone(), method, target, body);
        assert!(answer.status < 300, "{method} {target} {body}: {}", answer.text());
        self.last = answer.header("millpond-seq").expect("a write has a position").to_owned();
    }

    fn ask(&mut self, token: &str, query: &str) -> Json {
        let target = format!("/api/collections/notes/records?{query}");
        let mut headers = Vec::new();
        if !self.last.is_empty() {
            headers.push(("millpond-min-seq", self.last.as_str()));
        }
        if !token.is_empty() {
            headers.push(("authorization", token));
        }
        let answer = self.client.request("GET", &target, &headers, None).expect("an answer");
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        answer.json()
    }
}

fn ids(page: &Json) -> Vec<String> {
    let items = page["items"].as_array().expect("items");
    items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
}

fn scores(page: &Json) -> Vec<f64> {
    page["items"].as_array().expect("items").iter().map(|item| item["score"].as_f64().expect("a score")).collect()
}

fn text(rng: &mut Rng, most: u64) -> Vec<&'static str> {
    (0..1 + rng.below(most)).map(|_| WORDS[rng.below(WORDS.len() as u64) as usize]).collect()
}

#[test]
fn a_search_finds_of_what_its_caller_sees_all_that_has_the_words_and_nothing_else() {
    let seed = results::seed();
    println!("seed {seed}");
    let mut rng = Rng::new(seed);
    let mut world = World::new();
    let rounds = results::size(6, 30, 300);
    let mut found = 0;
    for round in 0..rounds {
        for n in 0..25 {
            let (words, kind, open) = (text(&mut rng, 9).join(" "), rng.below(3), rng.below(2) == 0);
            let (kind, user) = (["a", "b", "c"][kind as usize], ["ada", "bo"][rng.below(2) as usize]);
            let body =
                format!(r#"{{"text":"{words}","n":{},"kind":"{kind}","open":{open},"user":"{user}"}}"#, rng.below(9));
            let path = format!("/api/collections/notes/records/r{:03}", rng.below(40) + 10 * (round % 5));
            match rng.below(8) {
                0 => {
                    let gone = send(&mut world.client, &world.root.clone(), "DELETE", &path, "");
                    if let Some(position) = gone.header("millpond-seq") {
                        world.last = position.to_owned();
                    }
                }
                _ => world.write("PUT", &path, &body),
            }
            // Amid the writes: an index that is behind is asked too.
            if n % 5 == 0 {
                found += compare(&mut world, &mut rng);
            }
        }
        for _ in 0..5 {
            found += compare(&mut world, &mut rng);
        }
    }
    assert!(found > rounds as usize * 20, "{found}: too few to tell anything");
}

/// Asks one search in several ways; how many hits it had.
fn compare(world: &mut World, rng: &mut Rng) -> usize {
    let token = [String::new(), world.ada.clone(), world.root.clone()][rng.below(3) as usize].clone();
    let filter = ["", "&filter=n%3E3", "&filter=kind%3D%27a%27%26%26n%3C7"][rng.below(3) as usize];
    let wanted = text(rng, 2);
    let not = if rng.below(3) == 0 { text(rng, 1) } else { Vec::new() };
    let mut words: Vec<String> = wanted.iter().map(|word| format!("%22{word}%22")).collect();
    words.extend(not.iter().map(|word| format!("-{word}")));
    let query = format!("search={}{filter}", words.join("%20"));
    let listed = world.ask(&token, &format!("perPage=1000{filter}"));
    let is_hit = |item: &&Json| {
        let text: Vec<&str> = item["text"].as_str().unwrap_or_default().split(' ').collect();
        wanted.iter().all(|word| text.contains(word)) && !not.iter().any(|word| text.contains(word))
    };
    let expected: Vec<&Json> = listed["items"].as_array().expect("items").iter().filter(is_hit).collect();
    let mut expected_ids: Vec<&str> = expected.iter().map(|item| item["id"].as_str().expect("an id")).collect();
    expected_ids.sort_unstable();

    let whole = world.ask(&token, &format!("{query}&perPage=1000&facets=kind,user"));
    let mut hits = ids(&whole);
    let order: Vec<(f64, String)> = scores(&whole).into_iter().zip(hits.clone()).collect();
    assert!(order.is_sorted_by(|(a, x), (b, y)| a > b || (a == b && x < y)), "{query}: {order:?}");
    hits.sort_unstable();
    assert_eq!(hits, expected_ids, "{query}");
    assert_eq!(whole["totalItems"], expected_ids.len(), "{query}");
    for facet in ["kind", "user"] {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for item in &expected {
            *counts.entry(item[facet].as_str().expect("a text").to_owned()).or_default() += 1;
        }
        let shown: BTreeMap<String, usize> = serde_json::from_value(whole["facets"][facet].clone()).expect("counts");
        assert_eq!(shown, counts, "{query} {facet}");
    }

    let mut pages = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = world.ask(&token, &format!("{query}&perPage=3{cursor}"));
        assert_eq!(page["totalItems"], expected_ids.len(), "{query}");
        pages.extend(scores(&page).into_iter().zip(ids(&page)));
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(pages, order, "{query}: by cursor");
    let second = world.ask(&token, &format!("{query}&perPage=3&page=2&skipTotal=1"));
    assert_eq!(ids(&second), ids(&whole)[3.min(pages.len())..6.min(pages.len())], "{query}: by page");
    assert_eq!(second["totalItems"], -1);

    let sorted = world.ask(&token, &format!("{query}&perPage=1000&sort=-n"));
    let list = world.ask(&token, &format!("perPage=1000&sort=-n{filter}"));
    let in_order: Vec<String> = ids(&list).into_iter().filter(|id| expected_ids.contains(&id.as_str())).collect();
    assert_eq!(ids(&sorted), in_order, "{query}: sorted");
    let first = world.ask(&token, &format!("{query}&perPage=2&sort=-n"));
    if let Some(next) = first["nextCursor"].as_str() {
        let rest = world.ask(&token, &format!("{query}&perPage=1000&sort=-n&cursor={next}"));
        assert_eq!([ids(&first), ids(&rest)].concat(), in_order, "{query}: sorted, by cursor");
    }
    expected_ids.len()
}
