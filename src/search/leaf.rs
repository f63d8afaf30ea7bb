//! A word in a field, as a tantivy query that scores by [`super::score`] and by nothing that other records have a part in;
//! and what is to be absent, as a set that may be asked of documents in any order.

use tantivy::postings::{Postings, SegmentPostings};
use tantivy::query::{BitSetDocSet, ConstScorer, EmptyScorer, EnableScoring, Explanation, Query, Scorer, Weight};
use tantivy::schema::IndexRecordOption;
use tantivy::{BitSet, DocId, DocSet, Score, SegmentReader, Term};

use super::score::Shares;

/// The query.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    pub(super) term: Term,
    pub(super) shares: Shares,
}

impl Query for Leaf {
    fn weight(&self, _: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(self.clone()))
    }

    fn query_terms<'a>(&'a self, visitor: &mut dyn FnMut(&'a Term, bool)) {
        visitor(&self.term, false);
    }
}

impl Weight for Leaf {
    fn scorer(&self, reader: &SegmentReader, _: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let field = self.term.field();
        match reader.inverted_index(field)?.read_postings(&self.term, IndexRecordOption::WithFreqs)? {
            None => Ok(Box::new(EmptyScorer)),
            Some(postings) => {
                let lengths = reader.get_fieldnorms_reader(field)?;
                Ok(Box::new(Found { postings, lengths, shares: self.shares.clone() }))
            }
        }
    }

    fn explain(&self, reader: &SegmentReader, doc: DocId) -> tantivy::Result<Explanation> {
        let mut scorer = self.scorer(reader, 1.0)?;
        let found = scorer.doc() <= doc && scorer.seek(doc) == doc;
        Ok(Explanation::new("word", if found { scorer.score() } else { 0.0 }))
    }
}

/// Where it is there.
struct Found {
    postings: SegmentPostings,
    lengths: tantivy::fieldnorm::FieldNormReader,
    shares: Shares,
}

impl DocSet for Found {
    fn advance(&mut self) -> DocId {
        self.postings.advance()
    }

    fn seek(&mut self, target: DocId) -> DocId {
        self.postings.seek(target)
    }

    fn doc(&self) -> DocId {
        self.postings.doc()
    }

    fn size_hint(&self) -> u32 {
        self.postings.size_hint()
    }
}

impl Scorer for Found {
    fn score(&mut self) -> Score {
        self.shares.share(self.postings.term_freq(), self.lengths.fieldnorm_id(self.postings.doc()))
    }
}

/// The documents of another query, gathered first. tantivy 0.27 asks an excluded phrase of documents that lie behind it,
/// which that does not bear.
#[derive(Debug)]
pub(super) struct Absent(pub(super) Box<dyn Query>);

impl Clone for Absent {
    fn clone(&self) -> Absent {
        Absent(self.0.box_clone())
    }
}

impl Query for Absent {
    fn weight(&self, scoring: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(Gathered(self.0.weight(scoring)?)))
    }
}

struct Gathered(Box<dyn Weight>);

impl Weight for Gathered {
    fn scorer(&self, reader: &SegmentReader, _: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let mut found = BitSet::with_max_value(reader.max_doc());
        self.0.for_each_no_score(reader, &mut |docs| {
            for doc in docs {
                found.insert(*doc);
            }
        })?;
        Ok(Box::new(ConstScorer::new(BitSetDocSet::from(found), 0.0)))
    }

    fn explain(&self, reader: &SegmentReader, doc: DocId) -> tantivy::Result<Explanation> {
        self.0.explain(reader, doc)
    }
}
