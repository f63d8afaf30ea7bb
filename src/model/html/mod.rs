//! HTML from strangers: taken away ([`strip`]), made harmless ([`safe`]), or cut short ([`excerpt`]).
//!
//! Nothing of the input is copied but text with its markup escaped; each tag and attribute of the output is written anew
//! from a short list. The list has no element that changes how a browser reads on (`script`, `style`, `svg`, `textarea`,
//! …), so the output means to any parser what it means here, and a tag that a browser sees otherwise than
//! `tokens` is escaped or gone. All are linear in the text, however hostile; the
//! first two leave their own output as it is.

mod entities;
mod excerpt;
mod safe;
mod strip;
mod tokens;

#[cfg(test)]
mod tests;

pub use excerpt::excerpt;
pub use safe::safe;
pub use strip::strip;
