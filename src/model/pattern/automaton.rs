//! The fast search: a deterministic automaton whose states are made as a text needs them. A byte takes a nanosecond or
//! two where the state after it is known; making one takes as long as the pattern is wide, and a hostile pattern needs
//! one for nearly every byte. So each that is made is paid for.
//!
//! Invariant: what is kept between searches is at most `limits::PATTERN_KEPT_BYTES`, or one automaton's states.

use parking_lot::Mutex;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::hybrid::{CacheError, LazyStateID};
use regex_automata::nfa::thompson::NFA;
use regex_automata::util::prefilter::Prefilter;
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind, Span};

use crate::limits;

use super::steps::{STEP_BYTES, STEP_BYTES_FAST, TooCostly, take, take_miss};
use super::width::Width;

/// Bytes that are paid for at once.
const PIECE: usize = 64 * STEP_BYTES;

/// What a state without positions takes besides its row in the table: its head, a number, and two pointers to it.
const STATE_BYTES: usize = 45;

/// How a walk over a text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Walk {
    Ended(bool),
    /// At a character that the automaton has no states for: one beyond ASCII, where the pattern asks for words' ends.
    Stuck,
}

#[derive(Debug)]
pub(super) struct Automaton {
    dfa: DFA,
    /// What any match begins with, where it is one of few texts: found at many bytes a nanosecond.
    beginnings: Option<Prefilter>,
    width: Width,
    /// Of a state without positions, bytes.
    row_bytes: usize,
    kept: Mutex<Vec<States>>,
}

/// The states made so far.
#[derive(Debug)]
struct States {
    cache: Cache,
    /// Of the widest, positions of the pattern; on the high side.
    widest: usize,
}

impl Automaton {
    /// `None` where the pattern has more than the automaton has numbers for.
    pub(super) fn new(nfa: NFA, beginnings: Option<Prefilter>) -> Option<Automaton> {
        let width = Width::of(&nfa);
        // All ways are followed to the first end of any: which of them the pattern prefers doesn't matter.
        let config = DFA::config()
            .match_kind(MatchKind::All)
            .unicode_word_boundary(true)
            .cache_capacity(limits::PATTERN_STATES_BYTES)
            .skip_cache_capacity_check(true);
        let dfa = DFA::builder().configure(config).build_from_nfa(nfa).ok()?;
        let row_bytes = (size_of::<LazyStateID>() << dfa.byte_classes().stride2()) + STATE_BYTES;
        Some(Automaton { dfa, beginnings, width, row_bytes, kept: Mutex::default() })
    }

    pub(super) fn nfa(&self) -> &NFA {
        self.dfa.get_nfa()
    }

    /// Where the first match may begin.
    pub(super) fn beginning(&self, text: &str, left: &mut usize) -> Result<Option<usize>, TooCostly> {
        let Some(beginnings) = &self.beginnings else { return Ok(Some(0)) };
        let found = beginnings.find(text.as_bytes(), Span::from(0..text.len())).map(|span| span.start);
        take(left, found.unwrap_or(text.len()) / STEP_BYTES_FAST)?;
        Ok(found)
    }

    /// Whether it matches in `text`, no earlier than at `from`.
    pub(super) fn walk(&self, text: &str, from: usize, left: &mut usize) -> Result<Walk, TooCostly> {
        let kept = self.kept.lock().pop();
        let mut states = match kept {
            Some(states) => states,
            None => {
                take_miss(left, self.width.edges)?;
                States { cache: self.dfa.create_cache(), widest: 1 }
            }
        };
        let walk = self.walk_with(&mut states, text, from, left);
        self.keep(states);
        walk
    }

    #[cfg(test)]
    pub(super) fn kept_bytes(&self) -> usize {
        self.kept.lock().iter().map(|states| states.cache.memory_usage()).sum()
    }

    fn keep(&self, states: States) {
        let mut kept = self.kept.lock();
        let bytes: usize = kept.iter().map(|states| states.cache.memory_usage()).sum();
        if kept.is_empty() || bytes + states.cache.memory_usage() <= limits::PATTERN_KEPT_BYTES {
            kept.push(states);
        }
    }

    fn walk_with(&self, states: &mut States, text: &str, from: usize, left: &mut usize) -> Result<Walk, TooCostly> {
        let (before, rest) = (text.as_bytes()[..from].last().copied(), &text.as_bytes()[from..]);
        let start = start::Config::new().anchored(Anchored::No).look_behind(before);
        let Ok(mut state) = self.dfa.start_state(&mut states.cache, &start) else { return Ok(Walk::Stuck) };
        for (piece_at, piece) in rest.chunks(PIECE).enumerate() {
            for (byte_at, &byte) in piece.iter().enumerate() {
                // What the state after a tagged one is can't be looked up; there are few of them.
                let mut next = match state.is_tagged() {
                    false => self.dfa.next_state_untagged(&states.cache, state, byte),
                    true => self.made(states, left, |dfa, cache| dfa.next_state(cache, state, byte))?,
                };
                if next.is_tagged() {
                    if next.is_unknown() {
                        next = self.made(states, left, |dfa, cache| dfa.next_state(cache, state, byte))?;
                    }
                    // A match is told one byte late. One within a character is none: an empty one may seem to be there.
                    if next.is_match() && text.is_char_boundary(from + piece_at * PIECE + byte_at) {
                        take(left, byte_at / STEP_BYTES)?;
                        return Ok(Walk::Ended(true));
                    }
                    if next.is_dead() {
                        return Ok(Walk::Ended(false));
                    }
                    if next.is_quit() {
                        return Ok(Walk::Stuck);
                    }
                }
                state = next;
            }
            take(left, piece.len() / STEP_BYTES)?;
        }
        let end = self.made(states, left, |dfa, cache| dfa.next_eoi_state(cache, state))?;
        Ok(Walk::Ended(end.is_match()))
    }

    /// The state after another, made now. It is paid for before.
    fn made(
        &self,
        states: &mut States,
        left: &mut usize,
        make: impl FnOnce(&DFA, &mut Cache) -> Result<LazyStateID, CacheError>,
    ) -> Result<LazyStateID, TooCostly> {
        take_miss(left, self.width.edges_from(states.widest))?;
        let before = states.cache.memory_usage();
        // The cache is emptied when it is full, and goes on: giving up was not asked for.
        let made = make(&self.dfa, &mut states.cache).map_err(|_| TooCostly)?;
        // And each position in the pattern takes a byte or more.
        let grown = states.cache.memory_usage().saturating_sub(before);
        states.widest = states.widest.max(grown.saturating_sub(self.row_bytes));
        Ok(made)
    }
}
