//! Deletions with all that they take along: whatever refers to what, and by whichever relations, what is left refers to
//! nothing that is gone, and indexes, counts and digests agree with the rows.

use millpond::disk::sim::{Rng, SimDisk};
use millpond::error::Kind;
use millpond::id::FieldId;
use millpond::model::command::{Command, Op, Write};
use millpond::model::definition;
use millpond::model::guard::Guard;
use millpond::model::schema::Collection;
use millpond::model::value::{Fields, Value};
use millpond::state;
use millpond::time::Millis;

use super::model::{IDS, name, record_id};
use super::rig::{self, Parts};
use super::{cores, results};

const NOW: Millis = Millis(1_000_000_000_000);

/// Every kind of relation, all to the collection itself.
const DEFINITION: &str = r#"{"name":"r","type":"base","fields":[
    {"name":"cascade","type":"relation","collection":"r","onDelete":"cascade"},
    {"name":"loose","type":"relation","collection":"r","onDelete":"setNull"},
    {"name":"list","type":"relation","collection":"r","onDelete":"setNull","maxSelect":3},
    {"name":"other","type":"relation","collection":"r","onDelete":"cascade"},
    {"name":"restrict","type":"relation","collection":"r","onDelete":"restrict"}],
    "indexes":[{"name":"two","fields":["loose","-cascade"]}]}"#;
const FIELDS: u32 = 5;
const LIST: u32 = 3;
const RESTRICT: u32 = 5;

#[test]
fn a_deletion_leaves_nothing_that_contradicts_the_rows() {
    let seed = results::seed();
    let disk = SimDisk::new(1);
    let mut parts = rig::open(&disk).expect("an empty disk");
    let collection = define(&mut parts);
    close(parts);
    cores::on_all_cores(results::size(200, 1_000, 10_000), |life| {
        let seed = seed.wrapping_add(life);
        live(&disk.fork(seed), &collection, seed).map_err(|error| format!("MILLPOND_SEED={seed}: {error}"))
    });
}

fn define(parts: &mut Parts) -> Collection {
    let view = parts.writer.published().load_full();
    let wanted = definition::parse(&view.schema, DEFINITION.as_bytes(), NOW).expect("a good definition");
    let outcomes = parts.writer.commit(&[Command::Define(Box::new(wanted))], NOW).expect("a healthy disk");
    let outcome = outcomes.into_iter().next().expect("one").expect("accepted");
    *outcome.collection.expect("the definition")
}

fn close(parts: Parts) {
    parts.applier.close(true).expect("a healthy disk");
    parts.writer.close().expect("a healthy disk");
}

fn live(disk: &SimDisk, collection: &Collection, seed: u64) -> Result<(), String> {
    let mut rng = Rng::new(seed);
    let mut parts = rig::open(disk).map_err(|error| error.to_string())?;
    // All ids taken, so that most relations point at something.
    let blank = |id| Op::Put { id: record_id(id), fields: Fields::new(), if_match: None, create_only: false };
    let writes = (0..IDS).map(|id| write_of(collection, blank(id))).collect();
    parts.writer.commit(&[Command::Write(writes)], NOW).map_err(|error| error.to_string())?;
    for _ in 0..60 {
        let writes = (0..1 + rng.below(2)).map(|_| write(collection, &mut rng)).collect();
        let outcomes = parts.writer.commit(&[Command::Write(writes)], NOW).map_err(|error| error.to_string())?;
        for outcome in outcomes {
            match outcome.map_err(|error| error.kind()) {
                Ok(_) | Err(Kind::NotFound | Kind::Conflict) => {}
                Err(kind) => return Err(format!("refused as {kind:?}")),
            }
        }
        verify(&parts, collection)?;
        if rng.chance(20) {
            rig::flush(&mut parts).map_err(|kind| format!("{kind:?}"))?;
        }
    }
    drop(parts);
    // Once more as replayed.
    verify(&rig::open(disk).map_err(|error| error.to_string())?, collection)
}

fn write(collection: &Collection, rng: &mut Rng) -> Write {
    let id = record_id(rng.below(u64::from(IDS)) as u8);
    let op = if rng.chance(85) {
        Op::Put { id, fields: fields(rng), if_match: None, create_only: false }
    } else {
        Op::Delete { id, if_match: None }
    };
    write_of(collection, op)
}

fn write_of(collection: &Collection, op: Op) -> Write {
    Write { collection: collection.id, schema: collection.version, guard: Guard::for_server(), op }
}

fn fields(rng: &mut Rng) -> Fields {
    let target = |rng: &mut Rng| Value::text(name(rng.below(u64::from(IDS)) as u8));
    let mut fields = Fields::new();
    for field in 1..=FIELDS {
        if rng.chance(if field == RESTRICT { 97 } else { 60 }) {
            continue;
        }
        let first = target(rng);
        let second = target(rng);
        let list = if first == second { vec![first.clone()] } else { vec![first.clone(), second] };
        fields.set(FieldId(field), if field == LIST { Value::List(list) } else { first });
    }
    fields
}

fn verify(parts: &Parts, collection: &Collection) -> Result<(), String> {
    let view = parts.writer.published().load_full();
    let report = state::check(&view.stack, &view.schema).map_err(|error| error.to_string())?;
    if let Some(problem) = report.problems.first() {
        return Err(format!("at {}: {problem}", view.position));
    }
    for id in (0..IDS).map(record_id) {
        let record = state::record(&view.stack, collection, &id).map_err(|error| error.to_string())?;
        for (field, value) in record.iter().flat_map(|record| record.fields.iter()) {
            for target in value.each().iter().filter_map(Value::as_text) {
                let target = millpond::id::RecordId::new(target).map_err(|error| error.to_string())?;
                if !state::exists(&view.stack, collection, &target).map_err(|error| error.to_string())? {
                    return Err(format!(
                        "at {}: field {field} of {id} refers to {target}, which is gone",
                        view.position
                    ));
                }
            }
        }
    }
    Ok(())
}
