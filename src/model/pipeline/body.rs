//! What expressions give, as the body that a client would have sent: it is read as any other.

use crate::model::command::Way;
use crate::model::value::Value;

/// A JSON object in the making. Names of fields need no escape.
#[derive(Debug)]
pub struct Body(Vec<u8>);

impl Default for Body {
    fn default() -> Body {
        Body(b"{".to_vec())
    }
}

impl Body {
    /// A field; `behind` stands behind its name.
    pub fn put(&mut self, name: &str, behind: &str, value: &Value) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        self.0.push(b'"');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(behind.as_bytes());
        self.0.extend_from_slice(b"\":");
        super::write_value(value, &mut self.0);
    }

    /// A change of a field.
    pub fn put_way(&mut self, name: &str, way: Way, value: &Value) {
        match way {
            Way::Add => self.put(name, "+", value),
            Way::Prepend => self.put(&format!("+{name}"), "", value),
            Way::Take => self.put(name, "-", value),
        }
    }

    /// All of it.
    pub fn finish(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }
}
