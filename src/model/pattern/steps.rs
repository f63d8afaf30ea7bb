//! What a search takes: counted the same on every machine, and about as long as it really is.

/// A search would take more steps than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooCostly;

/// Bytes that an automaton goes over in a step, where the states that it comes to are known.
pub(super) const STEP_BYTES: usize = 16;
/// Bytes that are looked over in a step for a few texts.
pub(super) const STEP_BYTES_FAST: usize = 64;
/// Edges of a pattern's graph that are gone along in a step.
const STEP_EDGES: usize = 4;
/// What making a state takes besides, steps.
const MISS_STEPS: usize = 16;

/// Takes from what is left; nothing is left where that isn't enough.
pub(super) fn take(left: &mut usize, steps: usize) -> Result<(), TooCostly> {
    let rest = left.checked_sub(steps);
    *left = rest.unwrap_or(0);
    rest.map(|_| ()).ok_or(TooCostly)
}

/// The same for a state that is made by going along so many edges.
pub(super) fn take_miss(left: &mut usize, edges: usize) -> Result<(), TooCostly> {
    take(left, MISS_STEPS + edges / STEP_EDGES)
}

/// The same for edges alone.
pub(super) fn take_edges(left: &mut usize, edges: usize) -> Result<(), TooCostly> {
    take(left, edges.div_ceil(STEP_EDGES))
}
