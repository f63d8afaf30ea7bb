//! Writers and readers at once. What is read meanwhile is one moment's; what is left when the writers are done is what
//! they were told they wrote, by every list and every total that was asked for in between.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Map;

use crate::ask::{self, Check, Reading, Written};
use crate::definitions::Holds;
use crate::model::{Model, Question, Write, random_value};
use crate::support::ends::Ends;
use crate::support::http::Client;
use crate::support::rng::Rng;

const WRITERS: u64 = 3;
const READERS: usize = 2;
const WRITES_OF_EACH: u64 = 15;
const COLLECTION: &str = "orders";

/// Lets them loose on the orders; the questions are the readers'. The model is carried on by what was accepted.
pub(crate) fn storm(address: SocketAddr, model: &mut Model, questions: &[Question], rng: &mut Rng) -> Check {
    let seeds: Vec<u64> = (0..WRITERS).map(|_| rng.next()).collect();
    let done = AtomicBool::new(false);
    let plain = |holds: Holds| !matches!(holds, Holds::One(_) | Holds::Many(_) | Holds::Made | Holds::Json);
    let fields = model.definition(COLLECTION).fields.iter().map(|field| (field.name, field.holds));
    let fields: Vec<(&'static str, Holds)> = fields.filter(|(_, holds)| plain(*holds)).collect();
    let known: Vec<String> = model.rows(COLLECTION).keys().cloned().collect();
    let (written, read) = std::thread::scope(|scope| {
        let ends = Ends(&done);
        let writers: Vec<_> = seeds
            .iter()
            .enumerate()
            .map(|(at, seed)| {
                // Each has records of its own, so that what is left does not depend on who was first.
                let own: Vec<String> = known.iter().skip(at).step_by(seeds.len()).cloned().collect();
                let (fields, seed) = (&fields, *seed);
                scope.spawn(move || write_on(address, at, own, fields, Rng::new(seed)))
            })
            .collect();
        let readers: Vec<_> = (0..READERS)
            .map(|at| {
                let done = &done;
                scope.spawn(move || read_on(address, questions, at, done))
            })
            .collect();
        let written: Vec<_> = writers.into_iter().map(|one| one.join().expect("a writer does not panic")).collect();
        drop(ends);
        let read: Vec<Check> = readers.into_iter().map(|one| one.join().expect("a reader does not panic")).collect();
        (written, read)
    });
    read.into_iter().collect::<Check>()?;
    for writes in written {
        for (write, made) in writes? {
            model.apply(&write, made);
        }
    }
    Ok(())
}

/// Creates, changes and deletes records of its own; those writes that were accepted, in order.
fn write_on(
    address: SocketAddr,
    which: usize,
    mut own: Vec<String>,
    fields: &[(&'static str, Holds)],
    mut rng: Rng,
) -> Result<Vec<Written>, String> {
    let mut client = Client::new(address);
    let mut accepted = Vec::new();
    for number in 0..WRITES_OF_EACH {
        let at = rng.below(own.len() as u64 + 1) as usize;
        let (method, id) = match (own.get(at), rng.below(4)) {
            (None, _) | (_, 0) => ("POST", format!("{which}storm{number}-{}", rng.below(1 << 30))),
            (Some(id), 1) => ("DELETE", id.clone()),
            (Some(id), _) => ("PATCH", id.clone()),
        };
        let mut write = Write { method, collection: COLLECTION, id, body: Map::new() };
        if method != "DELETE" {
            for (name, holds) in fields {
                if rng.once_in(2) {
                    write.body.insert((*name).into(), random_value(&mut rng, *holds, |_, _| None));
                }
            }
        }
        if method == "POST" {
            write.body.insert("id".into(), write.id.clone().into());
        }
        let answer = ask::send(&mut client, &write)?;
        match answer.status {
            201 => own.push(write.id.clone()),
            204 => drop(own.swap_remove(at)),
            200 => {}
            // Another record has the values that must be one's alone.
            409 => continue,
            other => return Err(format!("{write:?}\nis answered by {other} {}", answer.text())),
        }
        accepted.push((write, ask::made(&answer)));
    }
    Ok(accepted)
}

fn read_on(address: SocketAddr, questions: &[Question], from: usize, done: &AtomicBool) -> Check {
    let mut client = Client::new(address);
    let reading = Reading { per_page: 1_000, whole: false, count: true };
    for question in questions.iter().cycle().skip(from) {
        if done.load(Ordering::Relaxed) {
            break;
        }
        let path = ask::path(question, reading, "");
        let answer = ask::get(&mut client, question, &path)?;
        if question.anonymous && answer.status == 401 {
            continue;
        }
        let page = ask::page_of(&path, &answer)?;
        let items = page.items.len();
        if page.total != items as i64 {
            return Err(format!("GET {path}\nholds {items} items and says {} while others write", page.total));
        }
    }
    Ok(())
}
