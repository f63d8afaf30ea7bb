//! A stored record under the definition that takes its own one's place: its new fields are worked out, then all of it
//! must hold. Deterministic as the stage before: it runs inside the order of writes.
//!
//! Invariant: of a record's fields only those are set that are shadows, so that it is still what the definition before
//! says it is.

use crate::error::{Error, Kind, Result};
use crate::id::FieldId;
use crate::model::convert::convert;
use crate::model::expr::Program;
use crate::model::faults::Faults;
use crate::model::schema::{Collection, Refused, Shadow, Source};
use crate::model::value::{Fields, Value};

use super::bounds::fits;
use super::check::{check, is_missing};
use super::enrich::{Writing, plain_default};

/// What the shadows that come from stored fields are, as far as those convert: for `@old`, of a record that no longer is.
pub fn converted(collection: &Collection, shadows: &[Shadow], fields: &mut Fields) {
    for shadow in shadows {
        let (Source::Field(from), Some(field)) = (shadow.source, collection.field_by_id(shadow.field)) else {
            continue;
        };
        let value = convert(collection, field, fields.get(from)).unwrap_or(Value::Null);
        fields.set(shadow.field, value);
    }
}

impl Writing<'_> {
    /// Works out the shadows of a whole record, and sees whether it is one that this definition allows.
    ///
    /// # Errors
    /// `Unprocessable` with the fields to blame: code `converted` where a value has no form in its new type or leaves
    /// its bounds, else as [`Writing::fill_in`], [`Writing::compute`] and [`Writing::check`] have it.
    pub fn reshape(&self, shadows: &[Shadow], record: &mut Fields) -> Result<()> {
        let mut faults = Faults::default();
        for shadow in shadows {
            self.derive(*shadow, record, &mut faults);
        }
        refuse(faults)?;
        let is_shadow = |id: FieldId| shadows.iter().any(|shadow| shadow.field == id);
        let absent = |id: FieldId, record: &Fields| {
            is_shadow(id)
                && self.collection.field_by_id(id).is_some_and(|field| lacks(shadows, field.required, id, record))
        };
        let defaults: Vec<&(FieldId, Program)> =
            self.compiled.defaults.iter().filter(|(id, _)| absent(*id, record)).collect();
        self.evaluate(&defaults, record)?;
        let computed: Vec<&(FieldId, Program)> =
            self.compiled.computed.iter().filter(|(id, _)| is_shadow(*id)).collect();
        self.evaluate(&computed, record)?;
        self.holds_whole(record)
    }

    /// The value of one shadow, but for what is evaluated.
    fn derive(&self, shadow: Shadow, record: &mut Fields, faults: &mut Faults) {
        let Some(field) = self.collection.field_by_id(shadow.field) else { return };
        let value = match shadow.source {
            Source::Computed => return,
            Source::Default => record.get(field.id).clone(),
            Source::Field(from) => match convert(self.collection, field, record.get(from)) {
                Ok(value) => value,
                Err(flaw) => return faults.add(&*field.name, flaw.code, flaw.message),
            },
        };
        let default = field.default.as_ref().filter(|_| shadow.source == Source::Default || field.required);
        let filled = default.filter(|_| is_missing(field, &value) || value.is_null());
        let filled = filled.and_then(|default| plain_default(field, default, self.input.now));
        record.set(field.id, filled.unwrap_or(value));
    }

    /// Whether a record fits the definition in every part. What it holds of other definitions does not count.
    fn holds_whole(&self, record: &Fields) -> Result<()> {
        let mut faults = Faults::default();
        for field in &self.collection.fields {
            let value = record.get(field.id);
            if is_missing(field, value) {
                faults.add(&*field.name, "required", "is required");
            } else if let Err(flaw) = fits(self.collection, field, value) {
                faults.add(&*field.name, flaw.code, flaw.message);
            }
        }
        refuse(faults)?;
        let own = |id: FieldId| self.collection.field_by_id(id).is_some();
        let own: Fields = record.iter().filter(|(id, _)| own(*id)).map(|(id, value)| (id, value.clone())).collect();
        check(self.collection, &own)?;
        self.check(&own)
    }
}

/// Whether a default is to be evaluated for a shadow: a new field's is, another's only where it can't be without.
fn lacks(shadows: &[Shadow], required: bool, id: FieldId, record: &Fields) -> bool {
    let is_new = shadows.iter().any(|shadow| shadow.field == id && shadow.source == Source::Default);
    let value = record.get(id);
    (is_new && value.is_null()) || (required && super::is_empty(value))
}

fn refuse(faults: Faults) -> Result<()> {
    if faults.is_empty() {
        return Ok(());
    }
    Err(Error::new(Kind::Unprocessable, "a record does not fit the definition")
        .code("converted")
        .faults(faults.into_list()))
}

impl Refused {
    /// What stands against a definition that is no record.
    pub fn by(refusal: &Error) -> Refused {
        Refused {
            record: None,
            field: refusal.field_faults().first().map(|fault| fault.field.as_str().into()).unwrap_or_default(),
            code: refusal.code_str().into(),
            message: refusal.message().into(),
        }
    }

    /// As an answer: `Unprocessable` with code `refused`, and the field to blame.
    pub fn error(&self) -> Error {
        let Refused { record, field, code, message } = self;
        let Some(record) = record else {
            return Error::new(Kind::Unprocessable, message.to_string()).code("refused");
        };
        let told = if field.is_empty() { message.to_string() } else { format!("{field} {message}") };
        let error =
            Error::new(Kind::Unprocessable, format!("the record {record} is in the way: {told}")).code("refused");
        if field.is_empty() {
            return error;
        }
        error.fault(&**field, code.to_string(), format!("{message} (record {record})"))
    }

    /// What a refusal of [`Writing::reshape`] says of a record.
    pub fn of(record: &crate::id::RecordId, refusal: &Error) -> Refused {
        let record = Some(record.clone());
        match refusal.field_faults().first() {
            Some(fault) => Refused {
                record,
                field: fault.field.as_str().into(),
                code: fault.code.as_ref().into(),
                message: fault.message.as_str().into(),
            },
            None => Refused {
                record,
                field: Box::default(),
                code: refusal.code_str().into(),
                message: refusal.message().into(),
            },
        }
    }
}
