//! Circles among handlers that write into collections: what one writes would come back to it for ever.

use std::collections::{BTreeMap, VecDeque};

/// A handler of kind `collection`, by names: those stay what they are when collections come and go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Whose changes it takes.
    pub from: Vec<Box<str>>,
    /// Into which it writes.
    pub to: Box<str>,
}

/// The collections over which what `new` writes comes back to it, from its target to one of its sources: the shortest
/// such way. `None` where there is none. Disabled handlers count: they may be enabled.
pub fn circle(new: &Edge, others: &[Edge]) -> Option<Vec<Box<str>>> {
    // Each collection that is reached, with the one that it was reached from.
    let mut from: BTreeMap<&str, Option<&str>> = BTreeMap::from([(&*new.to, None)]);
    let mut queue = VecDeque::from([&*new.to]);
    while let Some(at) = queue.pop_front() {
        if new.from.iter().any(|source| **source == *at) {
            let way = std::iter::successors(Some(at), |at| from.get(at).copied().flatten());
            let mut way: Vec<Box<str>> = way.map(Box::from).collect();
            way.reverse();
            return Some(way);
        }
        for edge in others.iter().filter(|edge| edge.from.iter().any(|source| **source == *at)) {
            from.entry(&edge.to).or_insert_with(|| {
                queue.push_back(&edge.to);
                Some(at)
            });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(text: &str) -> Edge {
        let (from, to) = text.split_once('>').expect("an edge");
        Edge { from: from.split(',').map(Box::from).collect(), to: to.into() }
    }

    #[test]
    fn what_is_written_never_comes_back() {
        let table = [
            ("a>b", "", "none"),
            ("a>a", "", "a"),
            ("a,b>c", "", "none"),
            ("a>b", "b>c,c>d", "none"),
            ("a>b", "b>c c>a", "b c a"),
            ("a>b", "b>c c>d b>d d>a", "b d a"),
            ("a,d>b", "b>c c>d d>a", "b c d"),
            ("a>b", "c>d d>c b>c", "none"),
            ("x>y", "y>y", "none"),
        ];
        for (new, others, expected) in table {
            let others: Vec<Edge> = others.split(' ').filter(|text| !text.is_empty()).map(edge).collect();
            let found = circle(&edge(new), &others).map_or("none".to_owned(), |way| way.join(" "));
            assert_eq!(found, expected, "{new} among {others:?}");
        }
    }
}
