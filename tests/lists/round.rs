//! A round: the collections are defined anew, filled, and asked, while writes go on.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::ask::{self, Check, Reading};
use crate::definitions::{Definition, HIDDEN, NAMES};
use crate::filters::{self, Filter};
use crate::model::{Model, Question, Write, pick};
use crate::storm;
use crate::support::http::Client;
use crate::support::rng::Rng;
use crate::totals::{self, Asked};

/// Questions between two writes.
const QUIET: u64 = 12;
/// Filters that are asked again and again, so that what the server keeps of them is asked for.
const STANDING: usize = 5;
/// Last writes that a failure shows.
const SHOWN: usize = 30;

pub(crate) struct Round<'a> {
    client: &'a mut Client,
    address: SocketAddr,
    model: Model,
    rng: Rng,
    standing: Vec<Question>,
    writes: VecDeque<Write>,
}

impl<'a> Round<'a> {
    /// Defines the collections and fills them.
    pub(crate) fn new(client: &'a mut Client, address: SocketAddr, mut rng: Rng) -> Result<Round<'a>, String> {
        let mut definitions: Vec<Definition> = NAMES.map(|name| Definition::random(&mut rng, name)).into();
        definitions.iter_mut().for_each(|one| one.make_rules(&mut rng));
        for name in NAMES.iter().rev() {
            let answer = client.request("DELETE", &format!("/api/collections/{name}"), &[], None);
            let status = answer.map_err(|error| error.to_string())?.status;
            assert!(matches!(status, 204 | 404), "{name} is dropped: {status}");
        }
        for definition in &definitions {
            define(client, &definition.json())?;
        }
        let mut round = Round {
            client,
            address,
            model: Model::new(definitions),
            rng,
            standing: Vec::new(),
            writes: VecDeque::new(),
        };
        let size = 20 + round.rng.below(80);
        for (name, records) in NAMES.iter().zip([size / 4, size / 2, size]) {
            for _ in 0..records {
                let write = round.model.random_create(&mut round.rng, name);
                round.write(&write)?;
            }
        }
        for _ in 0..STANDING {
            let (question, _) = round.question();
            round.standing.push(question);
        }
        Ok(round)
    }

    /// Asks so many questions; each is a case.
    pub(crate) fn run(&mut self, cases: u64) -> Check {
        for case in 0..cases {
            if case % QUIET == 0 {
                for _ in 0..1 + self.rng.below(3) {
                    self.random_write()?;
                    self.ask_standing()?;
                }
            }
            self.case()?;
        }
        self.storm()
    }

    /// Asks so many aggregates; each is a case.
    pub(crate) fn aggregate(&mut self, cases: u64) -> Check {
        for case in 0..cases {
            if case % QUIET == 0 {
                self.random_write()?;
            }
            let asked = [self.asked(), self.asked()];
            let two = self.rng.once_in(4);
            let (client, model, rng) = (&mut *self.client, &mut self.model, &mut self.rng);
            let done = match &asked {
                [one, other] if two && one.question.collection == other.question.collection => {
                    totals::two(client, model, [one, other], rng)
                }
                [one, _] => totals::one(client, model, one, rng),
            };
            done.map_err(|error| format!("{asked:?}\n{error}\n{}", self.shown()))?;
        }
        Ok(())
    }

    fn asked(&mut self) -> Asked {
        let (question, _) = self.question();
        Asked::random(&mut self.rng, question)
    }

    /// Much at once, and then all that is asked for again and again, once more.
    fn storm(&mut self) -> Check {
        let questions: Vec<Question> = self.standing.iter().filter(|one| one.collection == "orders").cloned().collect();
        if questions.is_empty() {
            return Ok(());
        }
        storm::storm(self.address, &mut self.model, &questions, &mut self.rng)
            .map_err(|error| format!("{error}\n{}", self.shown()))?;
        self.ask_standing().map_err(|error| format!("after writers at once: {error}"))
    }

    fn write(&mut self, write: &Write) -> Check {
        self.writes.push_back(write.clone());
        if self.writes.len() > SHOWN {
            self.writes.pop_front();
        }
        ask::write(self.client, &mut self.model, write).map_err(|error| format!("{error}\n{}", self.shown()))
    }

    fn random_write(&mut self) -> Check {
        let collection = *pick(&mut self.rng, &["teams", "users", "users", "orders", "orders", "orders"]);
        let write = self.model.random_write(&mut self.rng, collection);
        self.write(&write)
    }

    fn question(&mut self) -> (Question, Option<Filter>) {
        let rng = &mut self.rng;
        let collection = *pick(rng, &["teams", "users", "users", "orders", "orders", "orders"]);
        let anonymous = rng.once_in(3);
        let filter = (!rng.once_in(12)).then(|| filters::filter(rng, &self.model, collection, anonymous));
        let sort = filters::sort(rng, &self.model, collection, anonymous);
        let text = filter.as_ref().map_or(String::new(), Filter::text);
        (Question { collection, filter: text, sort, anonymous }, filter)
    }

    fn reading(&mut self, matches: usize) -> Reading {
        // Many pages are asked for only now and then: they are as many requests.
        let least = if self.rng.once_in(20) { 1 } else { matches.div_ceil(4).max(1) };
        let per_page = least.max(*pick(&mut self.rng, &[1, 2, 3, 7, 10, 30, 200, 1_000]));
        Reading { per_page, whole: self.rng.once_in(5), count: !self.rng.once_in(3) }
    }

    fn case(&mut self) -> Check {
        let (question, filter) = self.question();
        let matches = self.model.answer(&question).map_or(0, |found| found.len());
        let reading = self.reading(matches);
        if let Err(error) = self.compare(&question, reading) {
            return Err(self.smallest(question, filter, reading, error));
        }
        if question.anonymous && question.collection == "users" && self.rng.once_in(10) {
            ask::hidden_is_unknown(self.client, &question, HIDDEN)
                .map_err(|error| format!("{error}\n{}", self.shown()))?;
        }
        if self.rng.once_in(10) {
            self.walk_among_writes(&question)?;
        }
        Ok(())
    }

    fn compare(&mut self, question: &Question, reading: Reading) -> Check {
        ask::by_pages(self.client, &mut self.model, question, reading)?;
        ask::by_cursor(self.client, &mut self.model, question, reading, |_, _| Ok(()))
    }

    /// By cursor, with writes between the pages.
    fn walk_among_writes(&mut self, question: &Question) -> Check {
        let reading = Reading { per_page: 1 + self.rng.below(12) as usize, whole: true, count: self.rng.once_in(2) };
        let mut rng = Rng::new(self.rng.next());
        let mut writes = Vec::new();
        let walked = ask::by_cursor(self.client, &mut self.model, question, reading, |client, model| {
            for _ in 0..rng.below(3) {
                let collection = if rng.once_in(3) { *pick(&mut rng, &NAMES) } else { question.collection };
                let write = model.random_write(&mut rng, collection);
                writes.push(write.clone());
                ask::write(client, model, &write)?;
            }
            Ok(())
        });
        walked.map_err(|error| format!("by cursor, {question:?}, among {writes:#?}\n{error}\n{}", self.shown()))
    }

    fn ask_standing(&mut self) -> Check {
        for question in &self.standing {
            ask::total(self.client, &mut self.model, question).map_err(|error| {
                format!("{question:?} after {:#?}\n{error}\n{}", self.writes.back(), shown(&self.model))
            })?;
        }
        Ok(())
    }

    /// The failure with as little of its filter and sort as it still has.
    fn smallest(&mut self, mut question: Question, filter: Option<Filter>, reading: Reading, first: String) -> String {
        let mut error = first;
        let mut filter = filter;
        'smaller: while let Some(whole) = &filter {
            for one in whole.smaller() {
                let smaller = Question { filter: one.text(), ..question.clone() };
                if let Err(another) = self.compare(&smaller, reading) {
                    (question, filter, error) = (smaller, Some(one), another);
                    continue 'smaller;
                }
            }
            break;
        }
        while !question.sort.is_empty() {
            let mut smaller = question.clone();
            smaller.sort.pop();
            let Err(another) = self.compare(&smaller, reading) else { break };
            (question, error) = (smaller, another);
        }
        let path = ask::path(&question, reading, "&explain=1");
        let plan = ask::get(self.client, &Question { anonymous: false, ..question.clone() }, &path);
        let plan = plan.map_or_else(|error| error, |answer| answer.json()["explain"].to_string());
        format!("{question:?}, {reading:?}\n{error}\nexplain: {plan}\n{}", self.shown())
    }

    fn shown(&self) -> String {
        shown(&self.model)
    }
}

fn shown(model: &Model) -> String {
    let mut text = String::new();
    for definition in &model.definitions {
        text += &format!("{}\n", definition.json());
    }
    text
}

fn define(client: &mut Client, body: &serde_json::Value) -> Check {
    let answer = client.json("POST", "/api/collections", &body.to_string()).map_err(|error| error.to_string())?;
    if answer.status != 201 {
        return Err(format!("{body}\nis answered by {} {}", answer.status, answer.text()));
    }
    Ok(())
}
