//! Handlers of kind `cache`: for each change that they want, what is kept of answers is dropped by their patterns.
//!
//! What is kept is never stale, and a restart begins without any: so a change may be dealt with twice, and the cursor is
//! logged seldom.

use super::derive::wants;
use super::feeder::{Feeder, Over, Refused, Standing};
use super::passed::Passed;
use crate::core::{Consumer, What, changes};
use crate::id::Mark;

/// Until something ends it.
pub(super) fn follow(
    feeder: &Feeder,
    patterns: &[Box<str>],
    mut standing: Standing,
    mut consumer: Consumer,
) -> Result<(), Over> {
    let mut passed = Passed::default();
    loop {
        let (view, batch) = feeder.next(&standing, &mut consumer)?;
        let Some(end) = batch.last() else { continue };
        let mut wanted = 0;
        for logged in &batch {
            let mut seen = false;
            for changed in changes(logged).filter(|changed| changed.mark > standing.cursor) {
                seen = true;
                let What::Record(change) = &changed.what else { continue };
                match wants(&standing.handler, &view, &changed, change) {
                    Ok(None) => {}
                    Ok(Some(_)) => wanted += 1,
                    Err(error) => feeder.status.failed(&error),
                }
            }
            passed.add(logged, seen);
        }
        if wanted > 0 {
            (feeder.means.invalidate.0)(patterns);
            feeder.status.sent(wanted);
            feeder.status.answered(true);
        }
        let to = Mark::from(end.position);
        if passed.is_due() {
            feeder.submit(standing.version, standing.cursor, to, Vec::new()).map_err(Refused::over)?;
            standing.cursor = to;
            passed = Passed::default();
        }
        feeder.status.reached(to, end.time);
    }
}
