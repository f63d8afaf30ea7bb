//! How many edges of a pattern's graph a step over one byte may go along: a bound that is cheap to have, so that making
//! a state is paid for before it is made.

use regex_automata::nfa::thompson::{NFA, State};

use super::graph::{Marks, each_empty, edges_of};

/// A bound of the work that finding it takes, in times that of going along each edge.
const LOOKS: usize = 8;

#[derive(Clone, Copy, Debug)]
pub(super) struct Width {
    /// All there are.
    pub(super) edges: usize,
    /// From one position over a byte, and on to all that follow without another.
    from_one: usize,
}

impl Width {
    pub(super) fn of(nfa: &NFA) -> Width {
        let edges: usize = nfa.states().iter().map(edges_of).sum();
        Width { edges, from_one: widest(nfa, LOOKS * edges).unwrap_or(edges) }
    }

    /// From so many positions at once: an edge is gone along once.
    pub(super) fn edges_from(&self, positions: usize) -> usize {
        self.edges.min(positions.saturating_mul(self.from_one))
    }
}

/// `None` where finding it takes more work than it may.
fn widest(nfa: &NFA, mut work: usize) -> Option<usize> {
    let (mut asked, mut marks, mut stack) = (Marks::new(nfa), Marks::new(nfa), Vec::new());
    let (mut bytes, mut empties) = (0, 0);
    for state in nfa.states().iter().filter(|state| !state.is_epsilon()) {
        let targets = match state {
            State::ByteRange { trans } => std::slice::from_ref(trans),
            State::Sparse(sparse) => &sparse.transitions,
            State::Dense(_) => return None,
            _ => continue,
        };
        bytes = bytes.max(edges_of(state));
        for target in targets {
            if !asked.add(target.next) {
                continue;
            }
            let mut edges = 1;
            marks.clear();
            stack.push(target.next);
            while let Some(id) = stack.pop() {
                if marks.add(id) && nfa.state(id).is_epsilon() {
                    edges += edges_of(nfa.state(id));
                    each_empty(nfa.state(id), |next| stack.push(next));
                }
            }
            work = work.checked_sub(edges)?;
            empties = empties.max(edges);
        }
    }
    Some(bytes + empties)
}
