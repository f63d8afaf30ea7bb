//! Query parameters: each call names those it knows; any other is refused, as a typo in `filter` would otherwise show
//! more than was asked for.

use std::borrow::Cow;

use crate::error::{Error, Result};
use crate::http::request::decoded;
use crate::limits;

/// The parameters of one request.
#[derive(Debug, Default)]
pub(super) struct Params<'a>(Vec<(&'static str, Cow<'a, str>)>);

impl<'a> Params<'a> {
    /// Reads a query string, of which only `known` parameters may be given, each once.
    ///
    /// # Errors
    /// `Invalid` with one fault for each parameter that is unknown, given twice, or not decodable.
    pub(super) fn read(query: Option<&'a str>, known: &[&'static str]) -> Result<Params<'a>> {
        let mut params = Params::default();
        let mut faults = Vec::new();
        let mut first = None;
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            if let Err((name, code, message)) = params.take(pair, known) {
                first.get_or_insert(code);
                faults.push(crate::error::FieldFault { field: name, code: code.into(), message: message.to_owned() });
                if faults.len() == limits::FAULTS_MAX {
                    break;
                }
            }
        }
        match first {
            None => Ok(params),
            Some(code) => {
                let names: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
                let message = format!("this call can't take these parameters: {}", names.join(", "));
                Err(Error::invalid(message).code(code).faults(faults))
            }
        }
    }

    fn take(
        &mut self,
        pair: &'a str,
        known: &[&'static str],
    ) -> std::result::Result<(), (String, &'static str, &'static str)> {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let Some(name) = decoded(name, true) else {
            return Err((name.to_owned(), "bad_parameter", "holds a broken escape"));
        };
        let Some(known) = known.iter().find(|known| **known == name) else {
            return Err((name.into_owned(), "unknown_parameter", "this call does not know it"));
        };
        if self.get(known).is_some() {
            return Err((name.into_owned(), "duplicate_parameter", "is given twice"));
        }
        match decoded(value, true) {
            Some(value) => self.0.push((known, value)),
            None => return Err((name.into_owned(), "bad_parameter", "holds a broken escape")),
        }
        Ok(())
    }

    /// The value of a parameter, if it was given.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| &**value)
    }

    /// The value of a parameter, if one was given that is not empty.
    pub(super) fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// A whole number of at least 1; `default` if it was not given.
    ///
    /// # Errors
    /// `Invalid` for anything else.
    pub(super) fn number(&self, name: &'static str, default: usize) -> Result<usize> {
        let Some(text) = self.get(name) else { return Ok(default) };
        let digits = (1..=18).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(number) if digits && number > 0 => Ok(number),
            _ => Err(wrong(name, "must be a whole number from 1")),
        }
    }

    /// A switch: `1`, `true` or empty is on, `0` and `false` off.
    ///
    /// # Errors
    /// `Invalid` for anything else.
    pub(super) fn switch(&self, name: &'static str) -> Result<bool> {
        match self.get(name) {
            None | Some("0" | "false") => Ok(false),
            Some("" | "1" | "true") => Ok(true),
            Some(_) => Err(wrong(name, "must be 1 or 0")),
        }
    }
}

/// A parameter whose value is none that it takes.
pub(super) fn wrong(name: &'static str, message: &str) -> Error {
    Error::invalid(format!("{name} {message}")).code("bad_parameter").fault(name, "bad_parameter", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 4] = ["filter", "page", "skipTotal", "sort"];

    #[test]
    fn known_parameters_are_decoded() {
        let query = "filter=a%20%3D+'b%26c'&page=2&skipTotal=1&&sort";
        let params = Params::read(Some(query), &KNOWN).expect("known");
        assert_eq!(params.get("filter"), Some("a = 'b&c'"));
        assert_eq!(params.number("page", 1).expect("a number"), 2);
        assert!(params.switch("skipTotal").expect("a switch"));
        assert_eq!(params.get("sort"), Some(""));
        assert_eq!(params.filled("sort"), None);
        assert!(Params::read(None, &KNOWN).expect("none").get("filter").is_none());
    }

    #[test]
    fn every_other_parameter_is_named() {
        let error = Params::read(Some("fliter=a&facets=b&page=1&page=2&sort=%zz"), &KNOWN).expect_err("four faults");
        let faults: Vec<_> = error.field_faults().iter().map(|fault| (fault.field.as_str(), &*fault.code)).collect();
        let expected = [
            ("fliter", "unknown_parameter"),
            ("facets", "unknown_parameter"),
            ("page", "duplicate_parameter"),
            ("sort", "bad_parameter"),
        ];
        assert_eq!(faults, expected);
        assert_eq!(error.code_str(), "unknown_parameter");
    }

    #[test]
    fn numbers_and_switches_are_strict() {
        for bad in ["page=0", "page=-1", "page=+1", "page=1.0", "page=", "page=9999999999999999999", "page=x"] {
            let params = Params::read(Some(bad), &KNOWN).expect("known");
            assert!(params.number("page", 1).is_err(), "{bad}");
        }
        let params = Params::read(Some("skipTotal=yes"), &KNOWN).expect("known");
        assert!(params.switch("skipTotal").is_err());
    }
}
