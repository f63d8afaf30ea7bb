//! A pattern's graph as a search sees it: positions, some of which a byte leads on from and some nothing.

use regex_automata::nfa::thompson::{NFA, State};
use regex_automata::util::primitives::StateID;

/// Ways on from a position: the work of trying them. Trying eight bytes' ranges is no more than going along an edge.
pub(super) fn edges_of(state: &State) -> usize {
    match state {
        State::Sparse(sparse) => 1 + sparse.transitions.len() / 8,
        State::Union { alternates } => alternates.len(),
        State::BinaryUnion { .. } => 2,
        _ => 1,
    }
}

/// The positions that follow without a byte; past a condition on the place in the text, whether it holds or not.
pub(super) fn each_empty(state: &State, mut each: impl FnMut(StateID)) {
    match state {
        // From the last to the first: the first comes off a stack first.
        State::Union { alternates } => alternates.iter().rev().for_each(|next| each(*next)),
        State::BinaryUnion { alt1, alt2 } => [*alt2, *alt1].into_iter().for_each(each),
        State::Look { next, .. } | State::Capture { next, .. } => each(*next),
        _ => {}
    }
}

/// A set of positions that is emptied in no time.
#[derive(Debug)]
pub(super) struct Marks {
    rounds: Vec<u32>,
    round: u32,
}

impl Marks {
    pub(super) fn new(nfa: &NFA) -> Marks {
        Marks { rounds: vec![0; nfa.states().len()], round: 1 }
    }

    pub(super) fn clear(&mut self) {
        match self.round.checked_add(1) {
            Some(round) => self.round = round,
            None => {
                self.rounds.fill(0);
                self.round = 1;
            }
        }
    }

    /// Whether it is new.
    pub(super) fn add(&mut self, id: StateID) -> bool {
        let round = &mut self.rounds[id.as_usize()];
        let new = *round != self.round;
        *round = self.round;
        new
    }
}
