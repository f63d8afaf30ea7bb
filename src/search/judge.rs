//! A search asked of one record's own words, without the index: of what has changed since the index was committed, and
//! where the words stand, for highlights.

use std::ops::Range;

use tantivy::Score;

use super::index::Indexed;
use super::parse::What;
use super::query::{Into, Sought, Wanted};
use super::score::{self, Shares, Way};
use super::text::{Analyzer, Word};
use crate::id::FieldId;
use crate::model::value::Fields;

/// The words of a field.
struct Cut {
    plain: Vec<Word>,
    stems: Vec<Word>,
}

impl Cut {
    fn of(indexed: &Indexed, fields: &Fields) -> Option<Cut> {
        let text = indexed.text(fields)?;
        Some(Cut::of_text(indexed, &text))
    }

    fn of_text(indexed: &Indexed, text: &str) -> Cut {
        let stems = indexed.stems.map(|(language, _)| Analyzer::stems(language).words(text));
        Cut { plain: Analyzer::plain().words(text), stems: stems.unwrap_or_default() }
    }
}

impl Sought {
    /// The record's score, if it is a hit.
    pub fn judge(&self, fields: &Fields) -> Option<Score> {
        let cuts: Vec<Option<Cut>> = self.fields.iter().map(|one| Cut::of(&one.indexed, fields)).collect();
        let mut score = 0.0;
        for one in &self.wanted {
            let share = self.share(one, &cuts);
            match (share, one.not, one.required) {
                (Some(_), true, _) | (None, false, true) => return None,
                (Some(share), false, _) => score += share,
                (None, true, _) | (None, false, false) => {}
            }
        }
        (!self.is_empty()).then_some(score)
    }

    /// What a condition adds to the score of a record with these words; `None` where it does not hold.
    fn share(&self, wanted: &Wanted, cuts: &[Option<Cut>]) -> Option<Score> {
        let mut sum: Option<Score> = None;
        let mut add = |share: Score| sum = Some(sum.unwrap_or(0.0) + share);
        for at in &wanted.fields {
            let (Into { boost, .. }, Some(cut)) = (&self.fields[*at], &cuts[*at]) else { continue };
            match &wanted.what {
                What::Word { text, begins, typos, .. } => {
                    let mut of = |words: &[Word], is: &str, way: Way| {
                        let times = words.iter().filter(|word| word.text == is).count();
                        if times > 0 {
                            let times = u32::try_from(times).unwrap_or(u32::MAX);
                            add(Shares::new(way, *boost).share(times, score::length(words.len())));
                        }
                    };
                    of(&cut.plain, text, Way::Exact);
                    if let Some(stem) = &wanted.stems[*at] {
                        of(&cut.stems, stem, Way::Stem);
                    }
                    if (*begins || *typos > 0)
                        && cut.plain.iter().any(|word| is_near(&word.text, text, *begins, *typos))
                    {
                        add(score::loose(*boost));
                    }
                }
                What::Phrase(words) => {
                    if !together(&cut.plain, words).is_empty() {
                        add(score::phrase(words.len(), *boost));
                    }
                }
            }
        }
        sum
    }

    /// Where in a text of a field stands what is searched for, in order, none over another.
    pub(super) fn marks(&self, field: FieldId, text: &str) -> Vec<Range<usize>> {
        let Some(at) = self.fields.iter().position(|one| one.indexed.field == field) else { return Vec::new() };
        let cut = Cut::of_text(&self.fields[at].indexed, text);
        let mut marks: Vec<Range<usize>> = Vec::new();
        for one in self.wanted.iter().filter(|one| !one.not && one.fields.contains(&at)) {
            match &one.what {
                What::Word { text, begins, typos, .. } => {
                    let hits = cut.plain.iter().filter(|word| is_near(&word.text, text, *begins, *typos));
                    marks.extend(hits.map(|word| word.bytes.clone()));
                    if let Some(stem) = &one.stems[at] {
                        marks.extend(cut.stems.iter().filter(|word| word.text == *stem).map(|word| word.bytes.clone()));
                    }
                }
                What::Phrase(words) => marks.extend(together(&cut.plain, words)),
            }
        }
        marks.sort_by_key(|mark| (mark.start, std::cmp::Reverse(mark.end)));
        marks.dedup_by(|later, earlier| later.start < earlier.end);
        marks
    }
}

/// Where words stand one after the other.
fn together(words: &[Word], phrase: &[String]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (from, first) in words.iter().enumerate() {
        let stands = |(offset, wanted): (usize, &String)| {
            // A word that is none for its length has a place all the same.
            words.get(from + offset).is_some_and(|word| word.at == first.at + offset && word.text == *wanted)
        };
        if phrase.iter().enumerate().all(stands) {
            found.push(first.bytes.start..words[from + phrase.len() - 1].bytes.end);
        }
    }
    found
}

/// Whether a word, or with `begins` some beginning of it, is another with at most so many letters wrong: one in the place
/// of another, too many, missing, or two that changed places.
fn is_near(word: &str, typed: &str, begins: bool, typos: u8) -> bool {
    if typos == 0 {
        return if begins { word.starts_with(typed) } else { word == typed };
    }
    let typed: Vec<char> = typed.chars().collect();
    let most = usize::from(typos);
    // Rows of the table of distances: of the beginning of `word` so far to each beginning of `typed`.
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=typed.len()).collect();
    let mut last = '\0';
    for (at, letter) in word.chars().enumerate() {
        if begins && row[typed.len()] <= most {
            return true;
        }
        let mut next = vec![at + 1; typed.len() + 1];
        for to in 1..=typed.len() {
            let same = usize::from(typed[to - 1] != letter);
            let mut least = (row[to - 1] + same).min(row[to] + 1).min(next[to - 1] + 1);
            if at > 0 && to > 1 && typed[to - 1] == last && typed[to - 2] == letter {
                least = least.min(before[to - 2] + 1);
            }
            next[to] = least;
        }
        before = std::mem::replace(&mut row, next);
        last = letter;
    }
    row[typed.len()] <= most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_near_another_by_its_wrong_letters() {
        let table = [
            ("house", "house", false, 1, true),
            ("house", "hause", false, 1, true),
            ("house", "huose", false, 1, true),
            ("house", "houe", false, 1, true),
            ("house", "housse", false, 1, true),
            ("house", "hauxe", false, 1, false),
            ("house", "hauxe", false, 2, true),
            ("houses", "house", false, 0, false),
            ("houses", "house", true, 0, true),
            ("housekeeper", "hause", true, 1, true),
            ("hous", "house", true, 1, true),
            ("hou", "house", true, 1, false),
            ("\u{e4}\u{f6}", "\u{e4}o", false, 1, true),
            ("", "a", false, 1, true),
        ];
        for (word, typed, begins, typos, expected) in table {
            assert_eq!(is_near(word, typed, begins, typos), expected, "{word} {typed} {begins} {typos}");
        }
    }
}
