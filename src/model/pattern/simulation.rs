//! The slow search: all ways at once along the pattern's graph, byte by byte. It knows every condition on a place in the
//! text, and counts each edge that it goes along; a pattern has many of them, and so it is for what the automaton can't.

use regex_automata::nfa::thompson::{NFA, State};
use regex_automata::util::primitives::StateID;

use super::graph::{Marks, each_empty, edges_of};
use super::steps::{TooCostly, take_edges};

/// Edges that are paid for at once.
const PIECE: usize = 256;

struct Simulation<'s> {
    nfa: &'s NFA,
    text: &'s str,
    marks: Marks,
    stack: Vec<StateID>,
    /// The positions that wait for a byte.
    waiting: Vec<StateID>,
    edges: usize,
}

/// Whether the pattern matches in `text`, no earlier than at `from`.
pub(super) fn matches(nfa: &NFA, text: &str, from: usize, left: &mut usize) -> Result<bool, TooCostly> {
    // What is set up is as large as the graph.
    take_edges(left, nfa.states().len() / 8)?;
    let (marks, stack, waiting) = (Marks::new(nfa), Vec::new(), Vec::new());
    let mut simulation = Simulation { nfa, text, marks, stack, waiting, edges: 0 };
    let found = simulation.run(from, left);
    take_edges(left, simulation.edges)?;
    found
}

impl Simulation<'_> {
    fn run(&mut self, from: usize, left: &mut usize) -> Result<bool, TooCostly> {
        // The graph's own start leads on from each byte of the text.
        if self.follow(self.nfa.start_unanchored(), from) {
            return Ok(true);
        }
        let mut before = Vec::new();
        for (at, byte) in self.text.bytes().enumerate().skip(from) {
            std::mem::swap(&mut before, &mut self.waiting);
            self.marks.clear();
            self.edges += 1;
            for id in before.drain(..) {
                let state = self.nfa.state(id);
                self.edges += edges_of(state);
                let next = match state {
                    State::ByteRange { trans } => trans.matches_byte(byte).then_some(trans.next),
                    State::Sparse(sparse) => sparse.matches_byte(byte),
                    State::Dense(dense) => dense.matches_byte(byte),
                    _ => None,
                };
                if next.is_some_and(|next| self.follow(next, at + 1)) {
                    return Ok(true);
                }
            }
            if self.waiting.is_empty() {
                return Ok(false);
            }
            if self.edges > PIECE {
                take_edges(left, std::mem::take(&mut self.edges))?;
            }
        }
        Ok(false)
    }

    /// Whether the pattern's end follows there without another byte; if not, what waits for one does so.
    fn follow(&mut self, first: StateID, at: usize) -> bool {
        self.stack.push(first);
        while let Some(id) = self.stack.pop() {
            if !self.marks.add(id) {
                continue;
            }
            let state = self.nfa.state(id);
            self.edges += edges_of(state);
            match state {
                State::Look { look, .. } if !self.nfa.look_matcher().matches(*look, self.text.as_bytes(), at) => {}
                // An empty match within a character is none.
                State::Match { .. } if self.text.is_char_boundary(at) => return true,
                state if state.is_epsilon() => each_empty(state, |next| self.stack.push(next)),
                State::Match { .. } | State::Fail => {}
                _ => self.waiting.push(id),
            }
        }
        false
    }
}
