//! Floor 1, the model: values, schema, changes, commands, guards, queries and the input pipeline. Pure: no I/O, no
//! clock, no random source; what happens is decided by what is passed in.

pub mod aggregate;
pub mod change;
pub mod command;
pub mod compiled;
mod convert;
pub mod cursor;
pub mod definition;
pub mod expr;
pub(crate) mod faults;
pub mod field;
pub mod guard;
pub mod handler;
pub mod html;
pub mod index;
pub mod job;
pub mod json;
pub mod lines;
pub mod look;
pub mod mask;
pub mod once;
pub mod pattern;
pub mod pipeline;
pub mod predicate;
pub mod query;
pub mod record;
pub mod schema;
pub mod search;
pub mod sort;
pub mod value;
