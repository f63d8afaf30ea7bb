//! A text field's regular expression, or one in an expression: its text is what is stored and compared, its compiled
//! form is made once.
//!
//! The dialect is the `regex` crate's, and so are its parser and its automata. What a search takes is counted while it
//! runs: it may be linear in the text, but times the pattern, and then a text of a megabyte takes many seconds.

mod automaton;
mod graph;
mod simulation;
mod steps;
#[cfg(test)]
mod tests;
mod width;

use std::sync::{Arc, OnceLock};

use regex_automata::MatchKind;
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};
use regex_automata::util::prefilter::Prefilter;
use regex_automata::util::syntax;
use serde::{Deserialize, Serialize};

use crate::limits;

use automaton::{Automaton, Walk};
pub use steps::TooCostly;

/// A regular expression that a text must match somewhere in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Box<str>", into = "Box<str>")]
pub struct Pattern {
    text: Box<str>,
    compiled: OnceLock<Option<Arc<Automaton>>>,
}

impl Pattern {
    /// Compiles at once, so that what is wrong is found when a definition is read.
    ///
    /// # Errors
    /// The reason, for people, where the engine doesn't take it or it is over its bounds.
    pub fn new(text: &str) -> Result<Pattern, String> {
        Pattern::within(text, limits::PATTERN_COMPILED_BYTES_MAX)
    }

    /// As [`Pattern::new`], with a bound of its own for the compiled size in bytes.
    ///
    /// # Errors
    /// As there.
    pub fn within(text: &str, compiled_max: usize) -> Result<Pattern, String> {
        if text.len() > limits::PATTERN_BYTES_MAX {
            return Err(format!("a pattern has at most {} bytes", limits::PATTERN_BYTES_MAX));
        }
        let automaton = build(text, compiled_max)?;
        Ok(Pattern { text: text.into(), compiled: OnceLock::from(Some(Arc::new(automaton))) })
    }

    /// As the definition has it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it matches somewhere in `text`. A stored pattern that this engine doesn't take matches nothing, so that
    /// a rule that can't be checked lets nothing pass. `left` is what it may take, and then what is left of that: a step
    /// is some nanoseconds.
    ///
    /// # Errors
    /// [`TooCostly`] where that is not enough; then nothing is left.
    pub fn matches(&self, text: &str, left: &mut usize) -> Result<bool, TooCostly> {
        let build = || build(&self.text, limits::PATTERN_COMPILED_BYTES_MAX).ok().map(Arc::new);
        let Some(automaton) = self.compiled.get_or_init(build) else { return Ok(false) };
        let Some(from) = automaton.beginning(text, left)? else { return Ok(false) };
        match automaton.walk(text, from, left)? {
            Walk::Ended(matches) => Ok(matches),
            Walk::Stuck => simulation::matches(automaton.nfa(), text, from, left),
        }
    }
}

/// Or the reason, for people, why not.
fn build(text: &str, compiled_max: usize) -> Result<Automaton, String> {
    let too_large = || "the pattern is too large when compiled".to_owned();
    let parsed = syntax::parse(text).map_err(|error| {
        // Without the drawing of the pattern above it.
        let text = error.to_string();
        let line = text.lines().last().unwrap_or_default();
        format!("not a regular expression: {}", line.trim_start_matches("error: "))
    })?;
    let config = thompson::Config::new().which_captures(WhichCaptures::None).nfa_size_limit(Some(compiled_max));
    let graph =
        NFA::compiler().configure(config).build_from_hir(&parsed).map_err(|error| match error.size_limit() {
            Some(_) => too_large(),
            None => format!("not a regular expression: {error}"),
        })?;
    let beginnings = Prefilter::from_hir_prefix(MatchKind::LeftmostFirst, &parsed).filter(Prefilter::is_fast);
    Automaton::new(graph, beginnings).ok_or_else(too_large)
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.text == other.text
    }
}

impl From<Box<str>> for Pattern {
    fn from(text: Box<str>) -> Pattern {
        Pattern { text, compiled: OnceLock::new() }
    }
}

impl From<Pattern> for Box<str> {
    fn from(pattern: Pattern) -> Box<str> {
        pattern.text
    }
}
