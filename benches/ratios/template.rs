//! Requests prepared once and patched for each number: what differs has a fixed width, so lengths never change.

use std::rc::Rc;

/// A request, or its body, with places that depend on the request's number.
#[derive(Clone, Default)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    slots: Vec<Slot>,
}

#[derive(Clone)]
struct Slot {
    at: usize,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    /// The request's own number, in decimal.
    Number { width: usize },
    /// A random number from `from` up to, not including, `to`, in decimal.
    Random { from: u64, to: u64, width: usize },
    /// A random one of words of equal length.
    Word(&'static [&'static str]),
}

impl Template {
    pub(crate) fn text(mut self, text: &str) -> Template {
        self.bytes.extend_from_slice(text.as_bytes());
        self
    }

    pub(crate) fn number(self, width: usize) -> Template {
        self.slot(width, Kind::Number { width })
    }

    pub(crate) fn random(self, from: u64, to: u64, width: usize) -> Template {
        self.slot(width, Kind::Random { from, to, width })
    }

    pub(crate) fn word(self, words: &'static [&'static str]) -> Template {
        self.slot(words[0].len(), Kind::Word(words))
    }

    pub(crate) fn join(mut self, other: Template) -> Template {
        let shift = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.slots.extend(other.slots.into_iter().map(|slot| Slot { at: slot.at + shift, ..slot }));
        self
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn shared(self) -> Rc<Template> {
        Rc::new(self)
    }

    fn slot(mut self, width: usize, kind: Kind) -> Template {
        self.slots.push(Slot { at: self.bytes.len(), kind });
        self.bytes.resize(self.bytes.len() + width, b'0');
        self
    }

    /// Replaces `out` by the request of number `n`: the same `n`, the same bytes.
    pub(crate) fn write(&self, n: u64, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.bytes);
        let mut state = n;
        for Slot { at, kind } in &self.slots {
            match *kind {
                Kind::Number { width } => decimal(n, &mut out[*at..at + width]),
                Kind::Random { from, to, width } => {
                    decimal(from + splitmix(&mut state) % (to - from), &mut out[*at..at + width]);
                }
                Kind::Word(words) => {
                    let word = words[(splitmix(&mut state) % words.len() as u64) as usize];
                    out[*at..at + word.len()].copy_from_slice(word.as_bytes());
                }
            }
        }
    }
}

fn decimal(mut n: u64, out: &mut [u8]) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (n % 10) as u8;
        n /= 10;
    }
}

/// The next of a seeded sequence (splitmix64, Steele et al. 2014).
fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
