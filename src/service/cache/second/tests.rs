//! That a key names all that an answer follows from: over random states of several histories, callers and questions, equal
//! keys have equal answers.

use std::collections::HashMap;

use super::key::Keys;
use crate::disk::sim::Rng;
use crate::id::DatabaseId;
use crate::limits;
use crate::service::cache::Question;
use crate::service::cache::fresh::{Asked, DEFINITIONS, asker, random_question, redefine, told, truncate, write};
use crate::service::fixture::{define, over, start_core};
use crate::service::{Asker, Service};

/// The key of an answer in the newest view.
fn key_of(service: &Service, keys: &Keys, asker: &Asker, asked: &Asked) -> Option<Box<[u8]>> {
    let words = format!("{asked:?}");
    let (of, needs, record) = match asked.id {
        Some(id) => service.needs_of_record(asker, asked.collection, &id.to_string(), asked.wanted)?,
        None => service.needs_of_list(asker, asked.collection, asked.request(None))?,
    };
    let identity = Question::of(asker, &words).identity(needs.sharing()?)?;
    let own = record.as_ref().map(|record| (of, record));
    keys.of(&identity, &needs, &service.core().view(), own).map(|(key, _)| key)
}

#[test]
fn equal_keys_have_equal_answers_whatever_the_history() {
    // Of one secret and one database, as a copy of a folder has them: nothing but what is in the state tells them apart.
    let keys = Keys::new(DatabaseId(1), b"secret");
    let mut answers: HashMap<Box<[u8]>, (String, u64, usize)> = HashMap::new();
    let (mut again, mut of_another) = (0, 0);
    for seed in 0..4 {
        eprintln!("second tier: seed {seed}");
        let mut rng = Rng::new(seed);
        let (core, threads) = start_core();
        let (service, bare) = (over(&core, limits::CACHE_BYTES), over(&core, 0));
        DEFINITIONS.iter().for_each(|definition| define(&service, definition));
        // The same are asked of every history.
        let mut same = Rng::new(99);
        let questions: Vec<Asked> = (0..30).map(|_| random_question(&mut same)).collect();
        for step in 0..200 {
            match rng.below(60) {
                0 => drop(redefine(&service)),
                1 => drop(truncate(&core, &mut rng)),
                _ => drop(write(&service, &mut rng)),
            }
            for _ in 0..8 {
                let asked = &questions[rng.below(questions.len() as u64) as usize];
                let asker = asker(&service, &mut rng, asked.query);
                let Some(key) = key_of(&service, &keys, &asker, asked) else { continue };
                let (answer, _) = told(&bare, &asker, asked, None);
                if let Some((before, history, at)) = answers.get(&key) {
                    assert_eq!(*before, answer, "{asked:?} by {asker:?}: seed {seed}, step {step} and {history}, {at}");
                    again += 1;
                    of_another += u32::from(*history != seed);
                }
                answers.insert(key, (answer, seed, step));
            }
        }
        drop((service, bare, core));
        threads.stop().unwrap();
    }
    assert!(answers.len() > 500 && again > 500 && of_another > 20, "{} {again} {of_another}", answers.len());
}
