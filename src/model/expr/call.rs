//! What the functions do. Of a value that is not what they take (null, or json of another kind) they give null; those
//! that count give what there is to count.

use std::cmp::Ordering;

use super::dates;
use super::eval::Machine;
use super::functions::Function;
use super::input::Exhausted;
use super::node::Node;
use super::operand::{Operand, Standing};
use crate::model::query::Comparator;
use crate::time::Millis;

/// Kilometres.
const EARTH_RADIUS: f64 = 6_371.0;

impl<'v> Machine<'v> {
    pub(super) fn call(&self, function: Function, arguments: &'v [Node]) -> Result<Operand<'v>, Exhausted> {
        let first = match function {
            Function::If => {
                let taken = if self.truth(&arguments[0])? { &arguments[1] } else { &arguments[2] };
                return self.value(taken);
            }
            Function::Coalesce => {
                for argument in arguments {
                    let value = self.value(argument)?;
                    if !value.is_null() {
                        return Ok(value);
                    }
                }
                return Ok(Operand::Null);
            }
            Function::Min | Function::Max => return self.extreme(function, arguments),
            _ => self.value(&arguments[0])?,
        };
        match function {
            Function::Lower | Function::Upper | Function::Trim => self.text(function, &first),
            Function::Len => self.length(&first),
            Function::Round => {
                let digits = match arguments.get(1) {
                    Some(digits) => self.value(digits)?,
                    None => Operand::Int(0),
                };
                Ok(rounded(&first, &digits))
            }
            Function::Abs => Ok(match first {
                Operand::Int(int) => int.checked_abs().map_or(Operand::Number((int as f64).abs()), Operand::Int),
                Operand::Number(number) => Operand::Number(number.abs()),
                _ => Operand::Null,
            }),
            Function::Sum | Function::Avg | Function::Count => self.total(function, first),
            Function::Contains => self.contains(first, &arguments[1]),
            Function::StartsWith | Function::EndsWith => {
                Ok(Operand::Bool(match (&first, &self.value(&arguments[1])?) {
                    (Operand::Text(text), Operand::Text(part)) if function == Function::StartsWith => {
                        text.starts_with(&**part)
                    }
                    (Operand::Text(text), Operand::Text(part)) => text.ends_with(&**part),
                    _ => false,
                }))
            }
            Function::Date | Function::Year | Function::Month | Function::Day | Function::Hour => {
                Ok(first.as_date().map_or(Operand::Null, |at| part_of(function, at)))
            }
            Function::AddDays => Ok(match (first.as_date(), self.value(&arguments[1])?.as_f64()) {
                (Some(at), Some(count)) => dates::add_days(at, count).map_or(Operand::Null, Operand::Date),
                _ => Operand::Null,
            }),
            Function::GeoDistance => {
                let mut degrees = [0.0; 4];
                for (number, argument) in degrees.iter_mut().zip(arguments) {
                    match self.value(argument)?.as_f64() {
                        Some(found) => *number = found,
                        None => return Ok(Operand::Null),
                    }
                }
                Ok(distance(degrees))
            }
            Function::If | Function::Coalesce | Function::Min | Function::Max => Ok(Operand::Null),
        }
    }

    fn text(&self, function: Function, of: &Operand<'v>) -> Result<Operand<'v>, Exhausted> {
        let Operand::Text(text) = of else { return Ok(Operand::Null) };
        self.spend_bytes(text.len())?;
        Ok(Operand::text(match function {
            Function::Lower => text.to_lowercase(),
            Function::Upper => text.to_uppercase(),
            _ => text.trim().to_owned(),
        }))
    }

    /// Characters of a text, elements of a list; of null there are none.
    fn length(&self, of: &Operand<'v>) -> Result<Operand<'v>, Exhausted> {
        Ok(match of {
            Operand::Text(text) => {
                self.spend_bytes(text.len())?;
                Operand::Int(text.chars().count() as i64)
            }
            Operand::Null => Operand::Int(0),
            list if list.is_list() => Operand::Int(list.count() as i64),
            _ => Operand::Null,
        })
    }

    fn items(&self, of: Operand<'v>) -> Result<Vec<Operand<'v>>, Exhausted> {
        let mut items = of.each();
        self.spend(items.len())?;
        items.retain(|item| !item.is_null());
        Ok(items)
    }

    fn total(&self, function: Function, of: Operand<'v>) -> Result<Operand<'v>, Exhausted> {
        let items = self.items(of)?;
        if function == Function::Count {
            return Ok(Operand::Int(items.len() as i64));
        }
        let whole = items.iter().try_fold(0i64, |sum, item| match item {
            Operand::Int(int) => sum.checked_add(*int),
            _ => None,
        });
        let numbers: Vec<f64> = items.iter().filter_map(Operand::as_f64).collect();
        let sum = || numbers.iter().sum::<f64>();
        Ok(match (function, whole) {
            (Function::Sum, Some(whole)) => Operand::Int(whole),
            (Function::Sum, None) => Operand::number(sum()),
            _ if numbers.is_empty() => Operand::Null,
            _ => Operand::number(sum() / numbers.len() as f64),
        })
    }

    /// The least or greatest of all elements of all arguments; those of unlike kinds leave the one that came first.
    fn extreme(&self, function: Function, arguments: &'v [Node]) -> Result<Operand<'v>, Exhausted> {
        let wanted = if function == Function::Min { Ordering::Less } else { Ordering::Greater };
        let mut best: Option<Operand<'v>> = None;
        for argument in arguments {
            for item in self.items(self.value(argument)?)? {
                if best.as_ref().is_none_or(|best| item.stands(best) == Standing::Ordered(wanted)) {
                    best = Some(item);
                }
            }
        }
        Ok(best.unwrap_or(Operand::Null))
    }

    /// Of a text a part, exactly; of a list an element.
    fn contains(&self, of: Operand<'v>, part: &'v Node) -> Result<Operand<'v>, Exhausted> {
        let part = self.value(part)?;
        if let (Operand::Text(text), Operand::Text(part)) = (&of, &part) {
            self.spend_bytes(text.len())?;
            return Ok(Operand::Bool(text.contains(&**part)));
        }
        if !of.is_list() {
            return Ok(Operand::Bool(false));
        }
        Ok(Operand::Bool(self.items(of)?.iter().any(|item| item.stands(&part).holds(Comparator::Equal))))
    }
}

fn part_of<'v>(function: Function, at: Millis) -> Operand<'v> {
    let (year, month, day) = at.civil();
    match function {
        Function::Year => Operand::Int(year),
        Function::Month => Operand::Int(month),
        Function::Day => Operand::Int(day),
        Function::Hour => Operand::Int(dates::hour(at)),
        _ => Operand::text(dates::day_text(at)),
    }
}

/// Half away from zero, to some digits behind the point, or before it where they are negative.
fn rounded<'v>(number: &Operand<'_>, digits: &Operand<'_>) -> Operand<'v> {
    let Some(digits) = digits.as_f64() else { return Operand::Null };
    let digits = digits.clamp(-18.0, 18.0) as i32;
    match number {
        Operand::Int(int) if digits >= 0 => Operand::Int(*int),
        Operand::Int(int) => {
            let unit = 10i128.pow(digits.unsigned_abs());
            let (int, half) = (i128::from(*int), unit / 2);
            let rounded = (int + if int < 0 { -half } else { half }) / unit * unit;
            i64::try_from(rounded).map_or(Operand::number(rounded as f64), Operand::Int)
        }
        Operand::Number(number) => {
            let unit = 10f64.powi(digits.abs());
            let rounded = if digits >= 0 { (number * unit).round() / unit } else { (number / unit).round() * unit };
            // Too large to have digits there.
            if rounded.is_finite() { Operand::number(rounded) } else { Operand::Number(*number) }
        }
        _ => Operand::Null,
    }
}

/// Kilometres between two points given as longitude and latitude in degrees, by the haversine formula.
fn distance<'v>(degrees: [f64; 4]) -> Operand<'v> {
    let [lon_a, lat_a, lon_b, lat_b] = degrees.map(f64::to_radians);
    let half = |angle: f64| (angle / 2.0).sin().powi(2);
    let a = half(lat_b - lat_a) + lat_a.cos() * lat_b.cos() * half(lon_b - lon_a);
    Operand::number(2.0 * EARTH_RADIUS * a.clamp(0.0, 1.0).sqrt().asin())
}
