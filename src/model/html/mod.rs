//! HTML from strangers: taken away ([`strip`]) or made harmless ([`safe`]).
//!
//! Nothing of the input is copied but text with its markup escaped; each tag and attribute of the output is written anew
//! from a short list. The list has no element that changes how a browser reads on (`script`, `style`, `svg`, `textarea`,
//! …), so the output means to any parser what it means here, and a tag that a browser sees otherwise than
//! `tokens` is escaped or gone. Both functions are linear in the text, however hostile, and leave their own output as it is.

mod entities;
mod safe;
mod strip;
mod tokens;

#[cfg(test)]
mod tests;

pub use safe::safe;
pub use strip::strip;
