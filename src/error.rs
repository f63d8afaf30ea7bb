//! The one error type. Its kinds say what the *caller* can do; which engine failed is in the message and the source.
//!
//! Names no type of an upper floor. The only translation to HTTP is the match in `http::problem`, to exit codes the
//! one in `cli`.

use std::borrow::Cow;
use std::fmt;

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller can do about an error. One variant is one meaning, never one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request is malformed: correct it. Nothing was looked up or changed.
    Invalid,
    /// Who are you? No token, or a bad one.
    Unauthenticated,
    /// A valid caller that may not.
    Forbidden,
    /// Absent, or hidden from this caller: the two look the same.
    NotFound,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// Nothing in `Accept` can be served.
    NotAcceptable,
    /// The state of other records forbids it (unique, relation).
    Conflict,
    /// It was here, and is no longer kept.
    Gone,
    /// `If-Match`, `If-None-Match` or `Millpond-Min-Seq` does not hold.
    Precondition,
    /// A body or a transaction over its bound.
    TooLarge,
    /// The body's media type is not understood.
    UnsupportedMedia,
    /// Understood and refused: a check failed, or the data refuse a schema change.
    Unprocessable,
    /// Too many requests from this caller.
    RateLimited,
    /// Not now: queue full, shutting down, position not reached. Nothing was changed; try again.
    Unavailable,
    /// A write may or may not be on disk. Ask again with its Idempotency-Key.
    OutcomeUnknown,
    /// A write came to a server that takes none: a follower that does not reach its primary. Nothing was changed.
    Misdirected,
    /// No room on disk. Nothing was changed; reads and deletes go on.
    NoSpace,
    /// A source did not answer in time.
    Timeout,
    /// The caller's request was cut short or too slow.
    RequestTimeout,
    /// Stored bytes are not what was written. Says the place and the remedy.
    Damaged,
    /// Ours: a fault of this program or of the machine.
    Internal,
}

/// One fault of one field of an input. `field` is a path as the client wrote it (`items.0`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldFault {
    /// Path of the field in the input, in the client's own words.
    pub field: String,
    /// Stable word for programs, such as `required` or `unique`; of a check that does not hold, its name.
    pub code: Cow<'static, str>,
    /// Sentence for people.
    pub message: String,
}

/// An error: kind, stable code, sentence, faults by field, the parts of the request that failed, and the cause below it.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    /// Which write of a transaction it is about.
    write: Option<u32>,
    code: &'static str,
    message: String,
    faults: Vec<FieldFault>,
    parts: Vec<(usize, Error)>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` with the kind's own code.
    pub fn new(kind: Kind, message: impl Into<String>) -> Error {
        let (faults, parts) = (Vec::new(), Vec::new());
        Error { kind, write: None, code: kind.code(), message: message.into(), faults, parts, source: None }
    }

    /// The error of a whole whose parts failed, by their numbers, at least one: kind, code and sentence are the first's.
    pub fn of_parts(what: &str, parts: Vec<(usize, Error)>) -> Error {
        match parts.first() {
            None => Error::internal("something failed, but no part of it"),
            Some((at, first)) => {
                let whole = Error::new(first.kind, format!("{what} {at}: {}", first.message)).code(first.code);
                Error { parts, ..whole }
            }
        }
    }

    /// Says which write of a transaction it is about, from 0.
    #[must_use]
    pub fn at_write(mut self, write: usize) -> Error {
        self.write = u32::try_from(write).ok();
        self
    }

    /// Replaces the stable code.
    #[must_use]
    pub fn code(mut self, code: &'static str) -> Error {
        self.code = code;
        self
    }

    /// Adds the faults found, field by field.
    #[must_use]
    pub fn faults(mut self, faults: Vec<FieldFault>) -> Error {
        self.faults = faults;
        self
    }

    /// Adds one field's fault.
    #[must_use]
    pub fn fault(
        mut self,
        field: impl Into<String>,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Error {
        self.faults.push(FieldFault { field: field.into(), code: code.into(), message: message.into() });
        self
    }

    /// Leaves out the faults of some fields, by their names.
    #[must_use]
    pub fn without_faults(mut self, left_out: impl Fn(&str) -> bool) -> Error {
        self.faults.retain(|fault| !left_out(&fault.field));
        self
    }

    /// Keeps the cause; logged, never answered.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        self.source = Some(source.into());
        self
    }

    /// What the caller can do.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The stable word for programs.
    pub fn code_str(&self) -> &'static str {
        self.code
    }

    /// The sentence for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The faults by field; empty where no field is to blame.
    pub fn field_faults(&self) -> &[FieldFault] {
        &self.faults
    }

    /// Which write of a transaction it is about, from 0; `None` where it is about none of them or all.
    pub fn write(&self) -> Option<usize> {
        self.write.map(|write| write as usize)
    }

    /// The parts of the request that failed, by their numbers; empty where it has no parts.
    pub fn parts(&self) -> &[(usize, Error)] {
        &self.parts
    }

    /// The input is wrong.
    pub fn invalid(message: impl Into<String>) -> Error {
        Error::new(Kind::Invalid, message)
    }

    /// Stored bytes are not what was written: say where, and the remedy.
    pub fn damaged(message: impl Into<String>) -> Error {
        Error::new(Kind::Damaged, message)
    }

    /// A fault of this program or of the machine.
    pub fn internal(message: impl Into<String>) -> Error {
        Error::new(Kind::Internal, message)
    }

    /// An I/O error on `what`: `StorageFull` becomes [`Kind::NoSpace`], `InvalidData` becomes [`Kind::Damaged`], the
    /// rest [`Kind::Internal`]. One of ours inside it keeps its kind and its code.
    pub fn io(what: impl fmt::Display, source: std::io::Error) -> Error {
        if let Some(own) = source.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            return Error::new(own.kind, format!("{what}: {}", own.message)).code(own.code).source(source);
        }
        let kind = match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Kind::NoSpace,
            std::io::ErrorKind::InvalidData => Kind::Damaged,
            _ => Kind::Internal,
        };
        Error::new(kind, format!("{what}: {source}")).source(source)
    }
}

impl Kind {
    /// The stable code an error of this kind has unless it names its own.
    pub fn code(self) -> &'static str {
        match self {
            Kind::Invalid => "invalid",
            Kind::Unauthenticated => "unauthenticated",
            Kind::Forbidden => "forbidden",
            Kind::NotFound => "not_found",
            Kind::MethodNotAllowed => "method_not_allowed",
            Kind::NotAcceptable => "not_acceptable",
            Kind::Conflict => "conflict",
            Kind::Gone => "gone",
            Kind::Precondition => "precondition_failed",
            Kind::TooLarge => "too_large",
            Kind::UnsupportedMedia => "unsupported_media_type",
            Kind::Unprocessable => "unprocessable",
            Kind::RateLimited => "rate_limited",
            Kind::Unavailable => "unavailable",
            Kind::OutcomeUnknown => "outcome_unknown",
            Kind::Misdirected => "misdirected",
            Kind::NoSpace => "no_space",
            Kind::Timeout => "timeout",
            Kind::RequestTimeout => "request_timeout",
            Kind::Damaged => "damaged",
            Kind::Internal => "internal",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for fault in &self.faults {
            write!(f, "; {}: {}", fault.field, fault.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let part = self.parts.first().map(|(_, part)| part as &(dyn std::error::Error + 'static));
        part.or_else(|| self.source.as_ref().map(|source| &**source as &(dyn std::error::Error + 'static)))
    }
}
