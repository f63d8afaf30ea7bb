//! A text field's regular expression: its text is what is stored and compared, its compiled form is made once.
//!
//! The engine has no backtracking, so a match takes time linear in the text; its size is bounded.

use std::sync::OnceLock;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use crate::limits;

/// A regular expression that a text must match somewhere in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Box<str>", into = "Box<str>")]
pub struct Pattern {
    text: Box<str>,
    compiled: OnceLock<Option<Regex>>,
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
        match build(text, compiled_max) {
            Ok(regex) => Ok(Pattern { text: text.into(), compiled: OnceLock::from(Some(regex)) }),
            Err(error) => Err(reason(&error)),
        }
    }

    /// As the definition has it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it matches somewhere in `text`. A stored pattern that this engine doesn't take matches nothing, so that
    /// a rule that can't be checked lets nothing pass.
    pub fn matches(&self, text: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| build(&self.text, limits::PATTERN_COMPILED_BYTES_MAX).ok());
        compiled.as_ref().is_some_and(|regex| regex.is_match(text))
    }
}

fn build(text: &str, compiled_max: usize) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text).size_limit(compiled_max).dfa_size_limit(compiled_max).build()
}

/// The engine's message without the drawing of the pattern above it.
fn reason(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => "the pattern is too large when compiled".into(),
        other => {
            let text = other.to_string();
            let line = text.lines().last().unwrap_or_default();
            format!("not a regular expression: {}", line.trim_start_matches("error: "))
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_bounded_in_text_and_in_size() {
        assert!(Pattern::new(&"a".repeat(limits::PATTERN_BYTES_MAX + 1)).is_err());
        assert!(Pattern::new(r"\w{1000}{1000}").is_err_and(|reason| reason.contains("too large")));
        assert!(Pattern::new("(").is_err_and(|reason| reason.contains("unclosed group")));
        assert!(Pattern::new(r"(a)\1").is_err(), "back references need backtracking");
    }

    #[test]
    fn a_stored_pattern_is_its_text() {
        let pattern = Pattern::new("^[A-Z]{2}-[0-9]+$").expect("valid");
        let text = serde_json::to_string(&pattern).expect("text");
        assert_eq!(text, r#""^[A-Z]{2}-[0-9]+$""#);
        let back: Pattern = serde_json::from_str(&text).expect("own text");
        assert_eq!(back, pattern);
        assert!(back.matches("AB-12") && !back.matches("ab-12"));
        assert!(!Pattern::from(Box::from("(")).matches("("), "what can't be checked lets nothing pass");
    }
}
