//! A search made ready: for the index as a tantivy query, for [`super::judge`] as conditions on a record's own words.
//!
//! A word is there as it was typed, or as another form of the same stem, or, where it may be mistyped or be the beginning
//! of one, loosely. A word that says nothing in the language of a field ("the") need not be there, as long as another one
//! has to be.
//!
//! Invariant: both sides are made from the same [`Wanted`], so they hold of the same records with the same score.

use tantivy::query::{AllQuery, BooleanQuery, ConstScoreQuery, EmptyQuery, FuzzyTermQuery, Occur, PhraseQuery, Query};
use tantivy::{Score, Term};

use super::index::Indexed;
use super::leaf::{Absent, Leaf};
use super::parse::{Part, What, parse};
use super::score::{self, Shares, Way};
use super::text::Analyzer;
use crate::error::Result;
use crate::model::schema::Collection;
use crate::model::search::Language;

/// A field that is searched in.
#[derive(Clone, Debug)]
pub(super) struct Into {
    pub(super) indexed: Indexed,
    /// Against the greatest of those that are searched in.
    pub(super) boost: Score,
}

/// A search over an index, as one caller may ask it.
#[derive(Clone, Debug)]
pub struct Sought {
    pub(super) fields: Vec<Into>,
    pub(super) wanted: Vec<Wanted>,
}

/// A condition, with all that it takes to ask it.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) not: bool,
    /// Whether a record without it is no hit.
    pub(super) required: bool,
    /// Places of the fields.
    pub(super) fields: Vec<usize>,
    pub(super) what: What,
    /// By the fields' places: the stem of the word there.
    pub(super) stems: Vec<Option<String>>,
}

impl Sought {
    /// Reads a search of whoever sees hidden fields or not, over what an index holds of a collection; `None` where that is
    /// nothing this caller may search in.
    ///
    /// # Errors
    /// As [`parse`].
    pub(super) fn new(
        collection: &Collection,
        indexed: &[Indexed],
        text: &str,
        sees_hidden: bool,
    ) -> Result<Option<Sought>> {
        let settings = collection.search.iter().flat_map(|search| &search.fields);
        let mut names = Vec::new();
        let mut fields = Vec::new();
        for one in settings {
            let Some(field) = collection.field_by_id(one.field).filter(|field| field.is_seen(sees_hidden)) else {
                continue;
            };
            // An older index may not have it yet: it is known by its name all the same.
            names.push((&*field.name, indexed.iter().find(|there| there.field == one.field), one.boost));
        }
        if names.is_empty() {
            return Ok(None);
        }
        let asked = parse(text, &names.iter().map(|(name, ..)| *name).collect::<Vec<_>>())?;
        let most = names.iter().map(|(.., boost)| *boost).fold(0.0, f64::max);
        let mut places = Vec::new();
        for (_, there, boost) in &names {
            places.push(there.is_some().then_some(fields.len()));
            fields.extend(there.map(|indexed| Into { indexed: indexed.clone(), boost: (boost / most) as Score }));
        }
        let scope = |part: &Part| match part.field {
            Some(at) => places[at].into_iter().collect(),
            None => (0..fields.len()).collect::<Vec<usize>>(),
        };
        let mut wanted: Vec<Wanted> = asked.parts.iter().map(|part| Wanted::new(part, scope(part), &fields)).collect();
        let says = |one: &Wanted| !one.not && one.required;
        if !wanted.iter().any(says) {
            wanted.iter_mut().for_each(|one| one.required = true);
        }
        Ok(Some(Sought { fields, wanted }))
    }

    /// Whether it says nothing at all: then there are no hits.
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// For the index.
    pub(super) fn query(&self) -> Box<dyn Query> {
        if self.is_empty() {
            return Box::new(EmptyQuery);
        }
        let mut clauses: Vec<(Occur, Box<dyn Query>)> = Vec::new();
        for one in &self.wanted {
            let occur = match (one.not, one.required) {
                (true, _) => Occur::MustNot,
                (false, true) => Occur::Must,
                (false, false) => Occur::Should,
            };
            let query = self.query_of(one);
            clauses.push((occur, if one.not { Box::new(Absent(query)) } else { query }));
        }
        if clauses.iter().all(|(occur, _)| *occur == Occur::MustNot) {
            clauses.push((Occur::Must, Box::new(ConstScoreQuery::new(Box::new(AllQuery), 0.0))));
        }
        Box::new(BooleanQuery::new(clauses))
    }

    fn query_of(&self, wanted: &Wanted) -> Box<dyn Query> {
        let mut ways: Vec<Box<dyn Query>> = Vec::new();
        for at in &wanted.fields {
            let Into { indexed, boost } = &self.fields[*at];
            match &wanted.what {
                What::Word { text, begins, typos, .. } => {
                    let plain = Term::from_field_text(indexed.plain, text);
                    ways.push(Box::new(Leaf { term: plain.clone(), shares: Shares::new(Way::Exact, *boost) }));
                    if let (Some((_, slot)), Some(stem)) = (indexed.stems, &wanted.stems[*at]) {
                        let term = Term::from_field_text(slot, stem);
                        ways.push(Box::new(Leaf { term, shares: Shares::new(Way::Stem, *boost) }));
                    }
                    if *begins || *typos > 0 {
                        let near = match begins {
                            true => FuzzyTermQuery::new_prefix(plain, *typos, true),
                            false => FuzzyTermQuery::new(plain, *typos, true),
                        };
                        ways.push(Box::new(ConstScoreQuery::new(Box::new(near), score::loose(*boost))));
                    }
                }
                What::Phrase(words) => {
                    let share = score::phrase(words.len(), *boost);
                    let mut terms: Vec<Term> =
                        words.iter().map(|word| Term::from_field_text(indexed.plain, word)).collect();
                    let inner: Box<dyn Query> = match terms.len() {
                        1 => Box::new(Leaf { term: terms.remove(0), shares: Shares::new(Way::Exact, *boost) }),
                        _ => Box::new(PhraseQuery::new(terms)),
                    };
                    ways.push(Box::new(ConstScoreQuery::new(inner, share)));
                }
            }
        }
        Box::new(BooleanQuery::union(ways))
    }
}

impl Wanted {
    fn new(part: &Part, fields: Vec<usize>, all: &[Into]) -> Wanted {
        let mut stems = vec![None; all.len()];
        let mut silent = false;
        if let What::Word { typed, begins, .. } = &part.what {
            for at in &fields {
                let Some((language, _)) = all[*at].indexed.stems else { continue };
                stems[*at] = stem(language, typed);
                // The last one may be the beginning of another.
                silent |= stems[*at].is_none() && !begins;
            }
        }
        Wanted { not: part.not, required: !silent, fields, what: part.what.clone(), stems }
    }
}

fn stem(language: Language, word: &str) -> Option<String> {
    Analyzer::stems(language).words(word).into_iter().next().map(|word| word.text)
}
