//! Sums of floats without rounding: the same whatever the order of the addends, and however they were split.
//!
//! A sum is a fixed-point number, its digits of 32 bits each in 64, so that carries wait: Kulisch's accumulator, but for
//! the digits that nothing was added to, which are not held. A digit takes 2^29 additions before carries are brought up.

/// Additions, each of less than 2^33 to a digit, before carries are brought up.
const CARRY_AFTER: u32 = 1 << 29;
const BITS: i32 = 32;

/// An exact sum.
#[derive(Clone, Debug, Default)]
pub(super) struct ExactSum {
    /// What the first digit counts, as a power of 2^32.
    first: i32,
    digits: Vec<i64>,
    waiting: u32,
}

impl ExactSum {
    /// Bytes that it holds beside itself.
    pub(super) fn bytes(&self) -> usize {
        self.digits.capacity() * size_of::<i64>()
    }

    /// Adds a finite float.
    pub(super) fn add(&mut self, number: f64) {
        let (mantissa, exponent, negative) = parts(number);
        self.add_scaled(mantissa.into(), exponent, negative);
    }

    /// Adds the square of a finite float.
    pub(super) fn add_square(&mut self, number: f64) {
        let (mantissa, exponent, _) = parts(number);
        self.add_scaled(u128::from(mantissa) * u128::from(mantissa), 2 * exponent, false);
    }

    /// Adds a whole number.
    pub(super) fn add_whole(&mut self, number: i128) {
        self.add_scaled(number.unsigned_abs(), 0, number < 0);
    }

    /// Adds, or takes away, `magnitude` times 2^`exponent`.
    pub(super) fn add_scaled(&mut self, magnitude: u128, exponent: i32, negative: bool) {
        let (digit, shift) = (exponent.div_euclid(BITS), exponent.rem_euclid(BITS));
        let (mut rest, mut at) = (magnitude, digit);
        while rest != 0 {
            let piece = u64::from(rest as u32) << shift;
            let (low, high) = (i64::from(piece as u32), (piece >> BITS) as i64);
            let place = self.reach(at);
            if negative {
                self.digits[place] -= low;
                self.digits[place + 1] -= high;
            } else {
                self.digits[place] += low;
                self.digits[place + 1] += high;
            }
            rest >>= BITS;
            at += 1;
        }
        self.waiting += 1;
        if self.waiting >= CARRY_AFTER {
            self.carry();
        }
    }

    /// Adds another sum.
    pub(super) fn merge(&mut self, mut other: ExactSum) {
        other.carry();
        self.carry();
        for (at, digit) in (other.first..).zip(other.digits) {
            self.add_scaled(digit.unsigned_abs().into(), at * BITS, digit < 0);
        }
    }

    /// The place of a digit; that digit and the next are held from here on.
    fn reach(&mut self, digit: i32) -> usize {
        if self.digits.is_empty() {
            self.first = digit;
        }
        if digit < self.first {
            let more = (self.first - digit) as usize;
            self.digits.splice(0..0, std::iter::repeat_n(0, more));
            self.first = digit;
        }
        let place = (digit - self.first) as usize;
        if self.digits.len() < place + 2 {
            self.digits.resize(place + 2, 0);
        }
        place
    }

    /// Brings carries up: every digit but the last is then from 0 to 2^32 - 1.
    fn carry(&mut self) {
        self.waiting = 0;
        let mut carry = 0;
        for digit in &mut self.digits {
            let whole = *digit + carry;
            carry = whole >> BITS;
            *digit = whole & i64::from(u32::MAX);
        }
        if carry != 0 {
            self.digits.push(carry);
        }
    }

    /// Sign and digits, the least first, without zeros at the end.
    fn magnitude(&self) -> (bool, Vec<u32>) {
        let mut sum = self.clone();
        sum.carry();
        let negative = sum.digits.last().is_some_and(|last| *last < 0);
        if negative {
            sum.digits.iter_mut().for_each(|digit| *digit = -*digit);
            sum.carry();
        }
        // A carry that was pushed is within 32 bits: digits were within 63.
        let mut digits: Vec<u32> = sum.digits.iter().map(|digit| *digit as u32).collect();
        while digits.last() == Some(&0) {
            digits.pop();
        }
        (negative, digits)
    }

    /// It as a float of 2^63 or more and a power of two, rounded once to the nearest; 0 of nothing.
    fn scaled(&self) -> (f64, i32) {
        let (negative, digits) = self.magnitude();
        let Some(last) = digits.last() else { return (0.0, 0) };
        let top = digits.len() - 1;
        let digit = |at: usize| u128::from(top.checked_sub(at).map_or(0, |at| digits[at]));
        let spare = last.leading_zeros();
        let wide = (digit(0) << 64 | digit(1) << 32 | digit(2)) << spare;
        let below = (wide as u32) != 0 || digits[..top.saturating_sub(2)].iter().any(|digit| *digit != 0);
        // 64 bits, the last of which tells that something lies below: enough to round 53 by.
        let bits = (wide >> 32) as u64 | u64::from(below);
        let exponent = (self.first + top as i32 - 1) * BITS - spare as i32;
        (if negative { -(bits as f64) } else { bits as f64 }, exponent)
    }

    /// The float next to it, ties to the even one; infinite past the floats.
    pub(super) fn to_f64(&self) -> f64 {
        let (number, exponent) = self.scaled();
        scale(number, exponent)
    }

    /// The standard deviation of a sample of `count` numbers of this sum, and of this sum of squares.
    pub(super) fn deviation(&self, squares: &ExactSum, count: u64) -> f64 {
        // count * squares - sum^2, exactly.
        let mut spread = ExactSum::default();
        let (_, digits) = squares.magnitude();
        for (at, digit) in (squares.first..).zip(&digits) {
            spread.add_scaled(u128::from(*digit) * u128::from(count), at * BITS, false);
        }
        let (_, digits) = self.magnitude();
        for (i, a) in (2 * self.first..).zip(&digits) {
            for (j, b) in (0..).zip(&digits) {
                spread.add_scaled(u128::from(*a) * u128::from(*b), (i + j) * BITS, true);
            }
        }
        let (number, exponent) = spread.scaled();
        let pairs = count as f64 * count.saturating_sub(1) as f64;
        let odd = exponent.rem_euclid(2);
        scale((number * f64::from(1 + odd) / pairs).sqrt(), (exponent - odd) / 2)
    }
}

/// A finite float as a whole number times a power of two, and its sign.
fn parts(number: f64) -> (u64, i32, bool) {
    let bits = number.to_bits();
    let (fraction, exponent) = (bits & ((1 << 52) - 1), (bits >> 52 & 0x7FF) as i32);
    let (mantissa, exponent) = if exponent == 0 { (fraction, -1_074) } else { (fraction | 1 << 52, exponent - 1_075) };
    (mantissa, exponent, bits >> 63 == 1)
}

/// `number` times 2^`exponent`, in steps that each are a float.
fn scale(number: f64, exponent: i32) -> f64 {
    let (mut number, mut left) = (number, exponent);
    while left != 0 && number != 0.0 && number.is_finite() {
        let step = left.clamp(-512, 512);
        number *= 2f64.powi(step);
        left -= step;
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::Rng;

    fn sum(numbers: &[f64]) -> ExactSum {
        let mut sum = ExactSum::default();
        numbers.iter().for_each(|number| sum.add(*number));
        sum
    }

    #[test]
    fn a_sum_is_the_float_next_to_the_exact_one() {
        let tiny = f64::from_bits(1);
        let table: [(&[f64], f64); 12] = [
            (&[], 0.0),
            (&[0.0, -0.0], 0.0),
            (&[1.5], 1.5),
            (&[-1.5, 0.25], -1.25),
            (&[0.1; 10], 1.0),
            (&[1e16, 1.0, 1.0, -1e16], 2.0),
            (&[1e308, 1e308, -1e308], 1e308),
            (&[1e308, 1e308], f64::INFINITY),
            (&[1.0, 1e100, 1.0, -1e100], 2.0),
            (&[tiny, tiny, -tiny], tiny),
            (&[1.0, f64::EPSILON / 2.0], 1.0),
            (&[1.0, f64::EPSILON / 2.0, 1e-300], 1.0 + f64::EPSILON),
        ];
        for (numbers, expected) in table {
            assert_eq!(sum(numbers).to_f64(), expected, "{numbers:?}");
        }
    }

    #[test]
    fn a_sum_is_the_same_in_any_order_and_however_it_is_split() {
        let mut rng = Rng::new(7);
        for _ in 0..300 {
            let mut number = || {
                let exponent = rng.below(400) as i32 - 200;
                let sign = if rng.below(2) == 0 { 1.0 } else { -1.0 };
                sign * (rng.below(1 << 53) as f64) * 2f64.powi(exponent)
            };
            let mut numbers: Vec<f64> = (0..50).map(|_| number()).collect();
            let whole = sum(&numbers).to_f64();
            let cut = rng.below(51) as usize;
            let mut halves = sum(&numbers[..cut]);
            halves.merge(sum(&numbers[cut..]));
            assert_eq!(halves.to_f64(), whole);
            numbers.sort_by(f64::total_cmp);
            assert_eq!(sum(&numbers).to_f64(), whole);
        }
    }

    #[test]
    fn carries_are_brought_up_in_time() {
        let mut sum = ExactSum::default();
        sum.add(f64::from(u32::MAX));
        sum.waiting = CARRY_AFTER - 2;
        for _ in 0..4 {
            sum.add(f64::from(u32::MAX));
        }
        assert_eq!(sum.to_f64(), 5.0 * f64::from(u32::MAX));
        assert!(sum.waiting < 4);
    }

    #[test]
    fn a_deviation_is_exact_where_sums_of_floats_would_cancel() {
        let deviation = |numbers: &[f64]| {
            let mut squares = ExactSum::default();
            numbers.iter().for_each(|number| squares.add_square(*number));
            sum(numbers).deviation(&squares, numbers.len() as u64)
        };
        let table: [(&[f64], f64); 6] = [
            (&[1.0, 1.0, 1.0], 0.0),
            (&[1.0, 3.0], 2f64.sqrt()),
            (&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0], (32f64 / 7.0).sqrt()),
            (&[1e15 + 1.0, 1e15 + 3.0], 2f64.sqrt()),
            (&[1e300, -1e300], 2f64.sqrt() * 1e300),
            (&[0.1, 0.1, 0.1], 0.0),
        ];
        for (numbers, expected) in table {
            assert_eq!(deviation(numbers), expected, "{numbers:?}");
        }
    }
}
