//! How much a word in a field counts: BM25's share of its number against the field's length, with all that the formula
//! takes from other records held fixed.
//!
//! A score follows from the query, the definition and the record alone. So it can tell nobody of rows that he may not see,
//! is the same on every server and after every rebuild, and a cursor's place stands while others write. What is given up
//! is that a rare word counts more than a common one; every word of a search must be there anyway, so that would only
//! weigh repetitions of one against those of the other.
//!
//! Invariant: every share is a whole number of 1/512, and a sum of all that one search can have is below 2^24 of those:
//! so it is exact in any order of adding.

use tantivy::Score;
use tantivy::fieldnorm::FieldNormReader;

/// How fast repetitions stop counting.
const K1: Score = 1.2;
/// How much a long field counts against a word in it.
const B: Score = 0.75;
/// Words of a field that is neither long nor short.
const WORDS: Score = 32.0;

/// Of a word as it was typed.
const EXACT: Score = 4.0;
/// Of another form of it.
const STEM: Score = 2.0;
/// Of one that it begins, or that it is a mistyping of.
const LOOSE: Score = 1.0;
/// Of words that stand together, each.
const TOGETHER: Score = 4.0;

/// A way in which a word is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// As it was typed.
    Exact,
    /// In another form.
    Stem,
}

/// What a word counts by how often it is there and how long the field is.
#[derive(Clone, Debug)]
pub(super) struct Shares {
    weight: Score,
    /// By the length as the index keeps it.
    lengths: Box<[Score; 256]>,
}

impl Shares {
    pub(super) fn new(way: Way, boost: Score) -> Shares {
        let weight = match way {
            Way::Exact => EXACT,
            Way::Stem => STEM,
        };
        let length = |code: usize| {
            // There are 256 codes.
            let words = FieldNormReader::id_to_fieldnorm(code as u8) as Score;
            K1 * (1.0 - B + B * words / WORDS)
        };
        let lengths = Box::new(std::array::from_fn(length));
        Shares { weight: weight * boost, lengths }
    }

    /// The share of a word that is there `times`, in a field of this length as the index keeps it.
    pub(super) fn share(&self, times: u32, length: u8) -> Score {
        let times = times as Score;
        whole(self.weight * times * (K1 + 1.0) / (times + self.lengths[usize::from(length)]))
    }
}

/// The length of a field as the index keeps it.
pub(super) fn length(words: usize) -> u8 {
    FieldNormReader::fieldnorm_to_id(u32::try_from(words).unwrap_or(u32::MAX))
}

/// The share of a word that is only about there.
pub(super) fn loose(boost: Score) -> Score {
    whole(LOOSE * boost)
}

/// The share of a phrase.
pub(super) fn phrase(words: usize, boost: Score) -> Score {
    whole(TOGETHER * words as Score * boost)
}

fn whole(share: Score) -> Score {
    (share * 512.0).round() / 512.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;

    #[test]
    fn repetitions_count_less_each_and_long_fields_less() {
        let shares = Shares::new(Way::Exact, 1.0);
        let of = |times, words| shares.share(times, length(words));
        assert!(of(1, 10) < of(2, 10) && of(2, 10) < of(3, 10));
        assert!(of(2, 10) - of(1, 10) > of(3, 10) - of(2, 10));
        assert!(of(1, 10) > of(1, 100) && of(1, 100) > of(1, 1_000));
        assert!(of(1, 40) > loose(1.0));
        assert!(Shares::new(Way::Stem, 1.0).share(1, length(10)) < of(1, 10));
    }

    #[test]
    fn a_sum_of_all_shares_is_exact() {
        let most = Shares::new(Way::Exact, 1.0).share(u32::MAX, 0)
            + Shares::new(Way::Stem, 1.0).share(u32::MAX, 0)
            + loose(1.0);
        let all = (limits::SEARCH_PARTS_MAX * limits::SEARCH_FIELDS_MAX) as Score * most.max(TOGETHER);
        assert!(all * 512.0 < (1 << 24) as Score, "{all}");
    }
}
