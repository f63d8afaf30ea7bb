//! Words: how the text of a field is cut into them, for the index, for a query and for highlights alike.
//!
//! A word is a run of letters and digits, in lower case and without accents; one over `limits::SEARCH_WORD_BYTES_MAX` is
//! none. A field with a language has its words a second time, as stems and without those that say nothing ("the").
//!
//! Invariant: what a record's words are follows from its fields and the definition alone, so the index and
//! [`super::judge`] agree about every record. A change of anything here is another [`VERSION`].

use std::borrow::Cow;
use std::ops::Range;
use std::sync::OnceLock;

use tantivy::tokenizer::{
    self, AsciiFoldingFilter, LowerCaser, RemoveLongFilter, SimpleTokenizer, Stemmer, StopWordFilter, TextAnalyzer,
};
use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::limits;
use crate::model::field::FieldKind;
use crate::model::html;
use crate::model::search::Language;
use crate::model::value::Value;

/// Of the rules here: an index that was made by others is made anew.
pub(super) const VERSION: u32 = 1;

/// A word of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// As it is compared.
    pub(super) text: String,
    /// Which of the text's words it is.
    pub(super) at: usize,
    /// Its bytes in the text.
    pub(super) bytes: Range<usize>,
}

/// The text of a field's value; `None` where there is none.
pub(super) fn text_of<'v>(kind: &FieldKind, value: &'v Value) -> Option<Cow<'v, str>> {
    let text = match (value, kind) {
        (Value::Text(text), FieldKind::Editor { .. }) => Cow::Owned(html::excerpt(text, usize::MAX, false)),
        (Value::Text(text), _) => Cow::Borrowed(&**text),
        (Value::List(items), _) => {
            let texts: Vec<&str> = items.iter().filter_map(Value::as_text).collect();
            Cow::Owned(texts.join("\n"))
        }
        _ => return None,
    };
    Some(composed(text))
}

/// A text in which a letter and its accent are one.
pub(super) fn composed(text: Cow<'_, str>) -> Cow<'_, str> {
    if is_nfc(&text) { text } else { Cow::Owned(text.nfc().collect()) }
}

/// Cuts texts into words.
#[derive(Clone)]
pub(super) struct Analyzer(TextAnalyzer);

impl Analyzer {
    /// Words as they stand.
    pub(super) fn plain() -> Analyzer {
        static PLAIN: OnceLock<TextAnalyzer> = OnceLock::new();
        let made = || TextAnalyzer::builder(long(SimpleTokenizer::default())).filter(AsciiFoldingFilter).build();
        Analyzer(PLAIN.get_or_init(made).clone())
    }

    /// Stems of a language, without words that say nothing.
    pub(super) fn stems(language: Language) -> Analyzer {
        static STEMS: [OnceLock<TextAnalyzer>; Language::ALL.len()] = [const { OnceLock::new() }; Language::ALL.len()];
        let made = || {
            let spoken = of(language);
            let builder = TextAnalyzer::builder(long(SimpleTokenizer::default())).dynamic();
            let builder = match StopWordFilter::new(spoken) {
                Some(silent) => builder.filter_dynamic(silent),
                None => builder,
            };
            builder.filter_dynamic(Stemmer::new(spoken)).filter_dynamic(AsciiFoldingFilter).build()
        };
        Analyzer(STEMS[language as usize].get_or_init(made).clone())
    }

    /// As tantivy has it.
    pub(super) fn into_inner(self) -> TextAnalyzer {
        self.0
    }

    /// The words of a text, in order.
    pub(super) fn words(&mut self, text: &str) -> Vec<Word> {
        let mut words = Vec::new();
        self.0.token_stream(text).process(&mut |token| {
            let bytes = token.offset_from..token.offset_to;
            words.push(Word { text: token.text.clone(), at: token.position, bytes });
        });
        words
    }
}

/// Words up to the longest, in lower case.
fn long<T: tokenizer::Tokenizer>(words: T) -> impl tokenizer::Tokenizer {
    use tokenizer::TokenFilter;
    LowerCaser.transform(RemoveLongFilter::limit(limits::SEARCH_WORD_BYTES_MAX + 1).transform(words))
}

fn of(language: Language) -> tokenizer::Language {
    match language {
        Language::Ar => tokenizer::Language::Arabic,
        Language::Da => tokenizer::Language::Danish,
        Language::De => tokenizer::Language::German,
        Language::El => tokenizer::Language::Greek,
        Language::En => tokenizer::Language::English,
        Language::Es => tokenizer::Language::Spanish,
        Language::Fi => tokenizer::Language::Finnish,
        Language::Fr => tokenizer::Language::French,
        Language::Hu => tokenizer::Language::Hungarian,
        Language::It => tokenizer::Language::Italian,
        Language::Nl => tokenizer::Language::Dutch,
        Language::No => tokenizer::Language::Norwegian,
        Language::Pt => tokenizer::Language::Portuguese,
        Language::Ro => tokenizer::Language::Romanian,
        Language::Ru => tokenizer::Language::Russian,
        Language::Sv => tokenizer::Language::Swedish,
        Language::Ta => tokenizer::Language::Tamil,
        Language::Tr => tokenizer::Language::Turkish,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Vec<String> {
        Analyzer::plain().words(text).into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn words_are_runs_of_letters_in_lower_case_without_accents() {
        assert_eq!(plain("The Quick-brown fox, №7: Ünïcode!"), ["the", "quick", "brown", "fox", "7", "unicode"]);
        let long = "x".repeat(limits::SEARCH_WORD_BYTES_MAX);
        assert_eq!(plain(&format!("a {long} b {long}x c")), ["a", &*long, "b", "c"]);
    }

    #[test]
    fn stems_are_of_their_language_and_silent_words_have_none() {
        let stems = |language, text: &str| {
            let words = Analyzer::stems(language).words(text);
            words.into_iter().map(|word| (word.text, word.at)).collect::<Vec<_>>()
        };
        let english = stems(Language::En, "The runners are running");
        assert_eq!(english, [("runner".to_owned(), 1), ("run".to_owned(), 3)]);
        assert_eq!(stems(Language::De, "die Häuser"), [("haus".to_owned(), 1)]);
        for (_, language) in Language::ALL {
            stems(language, "a b c");
        }
    }

    #[test]
    fn the_text_of_a_value_is_what_it_says() {
        let editor = FieldKind::Editor { max: None };
        let html = Value::text("<p>a &amp; b</p><p>c</p>");
        assert_eq!(text_of(&editor, &html).as_deref(), Some("a & b c"));
        let list = Value::List(vec![Value::text("a"), Value::text("b")]);
        assert_eq!(text_of(&FieldKind::Url {}, &list).as_deref(), Some("a\nb"));
        assert_eq!(text_of(&FieldKind::Url {}, &Value::text("e\u{301}")).as_deref(), Some("\u{e9}"));
        assert_eq!(text_of(&FieldKind::Url {}, &Value::Null), None);
    }
}
