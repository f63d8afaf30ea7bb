//! What the server can do by now.

pub(crate) struct Known {
    /// Filters of the whole language.
    pub(crate) language: bool,
    /// `cursor`.
    pub(crate) cursor: bool,
    /// Rules that are expressions.
    pub(crate) rules: bool,
}

pub(crate) const KNOWN: Known = Known { language: true, cursor: true, rules: true };
