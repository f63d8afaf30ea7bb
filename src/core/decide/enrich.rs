//! What is evaluated when a record is written: defaults, computed fields, checks, in the state as the transaction has
//! it so far. A definition's own expressions see every record.

use super::Draft;
use crate::error::Result;
use crate::id::RecordId;
use crate::model::expr::Input;
use crate::model::guard::Guard;
use crate::model::pipeline::{self, Writing};
use crate::model::predicate::Sight;
use crate::model::schema::Collection;
use crate::model::value::Fields;
use crate::state::Related;

/// Makes a new record whole. What refuses it comes as a value of its own: the caller is told only if it may create.
///
/// # Errors
/// The state's own faults.
pub(super) fn complete(
    draft: &mut Draft<'_>,
    collection: &Collection,
    guard: &Guard,
    id: &RecordId,
    after: &mut Fields,
) -> Result<Result<()>> {
    with(draft, collection, Some(guard), id, None, |writing| {
        let filled = writing.fill_in(after);
        let computed = writing.compute(after);
        filled.and(computed).and_then(|()| check(writing, after))
    })
}

/// Fills in what a record that replaces `before` leaves out.
///
/// # Errors
/// By its expressions; the state's own faults.
pub(super) fn fill_in(
    draft: &mut Draft<'_>,
    collection: &Collection,
    guard: &Guard,
    id: &RecordId,
    before: &Fields,
    after: &mut Fields,
) -> Result<()> {
    with(draft, collection, Some(guard), id, Some(before), |writing| writing.fill_in(after))?
}

/// What follows from a change: dates, computed fields, checks.
///
/// # Errors
/// By its expressions and checks; what is missing or too large; the state's own faults.
pub(super) fn follow(
    draft: &mut Draft<'_>,
    collection: &Collection,
    guard: &Guard,
    id: &RecordId,
    before: &Fields,
    after: &mut Fields,
) -> Result<()> {
    unlinked(draft, collection, Some(guard), id, before, after, |_| ())
}

/// As [`follow`], of a record whose relation lost an id: `forget` takes it out of what is computed, too. No guard: what
/// takes it is no write to a record.
///
/// # Errors
/// As there.
pub(super) fn unlinked(
    draft: &mut Draft<'_>,
    collection: &Collection,
    guard: Option<&Guard>,
    id: &RecordId,
    before: &Fields,
    after: &mut Fields,
    forget: impl FnOnce(&mut Fields),
) -> Result<()> {
    with(draft, collection, guard, id, Some(before), |writing| {
        writing.date(after);
        writing.compute(after)?;
        forget(after);
        check(writing, after)
    })?
}

/// A plain collection's record was seen to before it came here.
fn check(writing: &Writing<'_>, after: &Fields) -> Result<()> {
    if writing.compiled.is_plain() {
        return Ok(());
    }
    pipeline::check(writing.collection, after)?;
    writing.check(after)
}

/// The outcome of an evaluation; outside of it, what went wrong below.
fn with(
    draft: &mut Draft<'_>,
    collection: &Collection,
    guard: Option<&Guard>,
    id: &RecordId,
    before: Option<&Fields>,
    evaluate: impl FnOnce(&Writing<'_>) -> Result<()>,
) -> Result<Result<()>> {
    let (schema, now) = (draft.schema, draft.now);
    let compiled = schema.compiled(collection)?;
    let mut input = guard.and_then(Guard::request).map_or(Input::at(now), |request| request.input(now, &[]));
    input.old = before;
    let steps = draft.steps;
    let related = Related::new(draft.state()?, schema, &Sight::All).at_most(steps);
    let writing = Writing { collection, compiled: &compiled, id: id.as_str(), input, relations: &related };
    let outcome = evaluate(&writing);
    let (outcome, steps) = (related.outcome(Ok(outcome)), related.steps_taken());
    draft.spend(steps)?;
    outcome
}
