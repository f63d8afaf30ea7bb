//! Inputs from other inputs: bytes flipped, cut, doubled and spliced, words put in.

use crate::support::rng::Rng;

/// Inputs to begin with and words of their language.
pub(crate) struct Corpus {
    pub(crate) inputs: Vec<Vec<u8>>,
    pub(crate) words: &'static [&'static str],
}

/// An input may grow no longer than this, bytes.
const BYTES_MAX: usize = 16 << 10;
/// Inputs kept because they were accepted.
const KEPT_MAX: usize = 512;

const NUMBERS: [&str; 12] = [
    "0",
    "-1",
    "65536",
    "2147483648",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "18446744073709551616",
    "1e308",
    "1e999",
    "-0.0",
    "0.1",
];
const BYTES: [&[u8]; 8] =
    [b"\0", b"\xff", b"\xc3\xa4", b"\xf0\x9f\x98\x80", b"\xed\xa0\x80", b"\r\n", b"\xe2\x80\xae", b"%00"];

impl Corpus {
    pub(crate) fn new(inputs: &[&str], words: &'static [&'static str]) -> Corpus {
        Corpus { inputs: inputs.iter().map(|text| text.as_bytes().to_vec()).collect(), words }
    }

    /// Keeps an input that was accepted, in the place of another where there are many.
    pub(crate) fn keep(&mut self, rng: &mut Rng, input: Vec<u8>) {
        if self.inputs.len() < KEPT_MAX {
            self.inputs.push(input);
        } else {
            let at = rng.below(KEPT_MAX as u64) as usize;
            self.inputs[at] = input;
        }
    }

    pub(crate) fn next(&self, rng: &mut Rng) -> Vec<u8> {
        let mut input = self.one(rng).clone();
        let most = 1 << rng.below(4);
        for _ in 0..1 + rng.below(most) {
            self.change(rng, &mut input);
            input.truncate(BYTES_MAX);
        }
        input
    }

    fn one(&self, rng: &mut Rng) -> &Vec<u8> {
        &self.inputs[rng.below(self.inputs.len() as u64) as usize]
    }

    fn change(&self, rng: &mut Rng, input: &mut Vec<u8>) {
        let place = |rng: &mut Rng, length: usize| rng.below(length as u64 + 1) as usize;
        let at = place(rng, input.len());
        let to = at + place(rng, (input.len() - at).min(64));
        match rng.below(12) {
            0 if at < input.len() => input[at] ^= 1 << rng.below(8),
            1 if at < input.len() => input[at] = rng.next() as u8,
            2 => drop(input.drain(at..to)),
            3 => input.truncate(at),
            4 => {
                let part = input[at..to].to_vec();
                for _ in 0..1 + rng.below(4) {
                    insert(input, at, &part);
                }
            }
            // Again and again: twice as long each time.
            5 => {
                let part = input[at..to].to_vec();
                let times = 1 << rng.below(11);
                insert(input, at, &part.repeat(times.min(BYTES_MAX / part.len().max(1))));
            }
            6 => {
                let other = self.one(rng);
                let from = place(rng, other.len());
                let part = other[from..from + place(rng, other.len() - from)].to_vec();
                drop(input.splice(at..to, part));
            }
            7 => insert(input, at, NUMBERS[rng.below(12) as usize].as_bytes()),
            8 => insert(input, at, BYTES[rng.below(8) as usize]),
            _ if !self.words.is_empty() => {
                let word = self.words[rng.below(self.words.len() as u64) as usize];
                insert(input, at, word.as_bytes());
            }
            _ => insert(input, at, &rng.next().to_le_bytes()[..place(rng, 8)]),
        }
    }
}

fn insert(input: &mut Vec<u8>, at: usize, part: &[u8]) {
    drop(input.splice(at..at, part.iter().copied()));
}
