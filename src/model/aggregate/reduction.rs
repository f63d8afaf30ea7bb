//! What a value makes of all records of a group: the calls that are measures, and what each takes and gives.
//!
//! - `count()` is the number of records; `count(x)` that of the values of `x`.
//! - Every other measure passes null by. Of a list each element is a value, but for `any`, `first` and `last`, which take
//!   it whole.
//! - `sum` of whole numbers is whole, and exact as far as 64 bits hold it; else it is the float next to the exact sum, and
//!   null past the floats. Of nothing it is 0. `avg` is the exact sum as a float by the number of values.
//! - `min` and `max` are by the order of lists (`Value::order`); `any` is the least, so that it is the same each time.
//! - `first` and `last` are those of the records with the least and the greatest id: ids that the server makes order by time.
//! - `percentile(x, p)` is by nearest rank: the least value that at least `p` percent of the values are not above.
//! - `stddev` is that of a sample (n - 1), from exact sums; of fewer than two values there is none.

use crate::model::expr::{Fault, Many, Program, Scalar, Type};
use crate::model::value::Value;

/// A measure's kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reduction {
    /// Records, or values.
    Count,
    /// Of numbers.
    Sum,
    /// Of numbers.
    Avg,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// One of them.
    Any,
    /// Of the record with the least id.
    First,
    /// Of the record with the greatest id.
    Last,
    /// Different values.
    CountDistinct,
    /// By nearest rank: percent, 0 to 100.
    Percentile(f64),
    /// Of numbers, as a sample.
    Stddev,
}

impl Reduction {
    /// The one of that name with so many arguments. What the expression language calls the same, with as many arguments,
    /// is meant only within a measure.
    pub(super) fn named(name: &str, arguments: usize) -> Option<Reduction> {
        Some(match (name, arguments) {
            ("count", 0 | 1) => Reduction::Count,
            ("sum", 1) => Reduction::Sum,
            ("avg", 1) => Reduction::Avg,
            ("min", 1) => Reduction::Min,
            ("max", 1) => Reduction::Max,
            ("any", 1) => Reduction::Any,
            ("first", 1) => Reduction::First,
            ("last", 1) => Reduction::Last,
            ("countDistinct", 1) => Reduction::CountDistinct,
            ("percentile", 2) => Reduction::Percentile(0.0),
            ("stddev", 1) => Reduction::Stddev,
            _ => return None,
        })
    }

    /// Whether it is of the elements of a list, and not of the list.
    pub fn takes_elements(self) -> bool {
        !matches!(self, Reduction::Any | Reduction::First | Reduction::Last)
    }

    /// What it gives of what its argument is.
    ///
    /// # Errors
    /// What it can't take.
    pub(super) fn gives(self, at: usize, of: Option<Type>) -> Result<Type, Fault> {
        let one = |of| Type { of, many: Many::One };
        let of = of.unwrap_or(one(Scalar::Null));
        match self {
            Reduction::Count | Reduction::CountDistinct => Ok(one(Scalar::Number)),
            Reduction::Sum | Reduction::Avg | Reduction::Stddev if of.of.fits(Scalar::Number) => {
                Ok(one(Scalar::Number))
            }
            Reduction::Sum | Reduction::Avg | Reduction::Stddev => {
                Err(Fault::new(at, format!("numbers are wanted here, not {of}")))
            }
            Reduction::Min | Reduction::Max | Reduction::Percentile(_) => Ok(one(of.of)),
            Reduction::Any | Reduction::First | Reduction::Last => Ok(of),
        }
    }
}

/// The `p` of a percentile.
///
/// # Errors
/// Where it is not the same number, 0 to 100, for all records.
pub(super) fn percent(at: usize, program: &Program) -> Result<f64, Fault> {
    let given = match program.constant() {
        Some(Value::Int(whole)) => Some(*whole as f64),
        Some(Value::Number(number)) => Some(*number),
        _ => None,
    };
    given
        .filter(|percent| (0.0..=100.0).contains(percent))
        .ok_or_else(|| Fault::new(at, "a percentile is of a number from 0 to 100, such as percentile(total, 95)"))
}
