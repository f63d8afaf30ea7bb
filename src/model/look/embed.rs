//! `embed=user(id,name,team(name)),items`: relations with the parts of their targets that stand in the ids' place;
//! without parentheses all of them.

use crate::error::{Error, Result};
use crate::id::FieldId;
use crate::limits;
use crate::model::schema::Collection;

use super::{Form, Link, Scope, check_length, shown};

const CODE: &str = "bad_embed";

/// The relations to embed, each once; the last word on one counts.
pub(super) fn parse(scope: &mut Scope<'_>, collection: &Collection, text: &str) -> Result<Vec<(FieldId, Box<Link>)>> {
    check_length(text, "embed", CODE)?;
    let mut reader = Reader { scope, text, at: 0 };
    let mut links: Vec<(FieldId, Box<Link>)> = Vec::new();
    while !reader.is_at_end() {
        if let Some(name) = reader.name() {
            let (field, link) = reader.link(collection, name, 1)?;
            links.retain(|(other, _)| *other != field);
            links.push((field, link));
        }
        if !reader.is_at_end() && !reader.take(',') {
            return Err(reader.expected("a comma"));
        }
    }
    Ok(links)
}

struct Reader<'r, 's, 't> {
    scope: &'r mut Scope<'s>,
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'_, '_, 't> {
    /// What stands behind a relation's name.
    fn link(&mut self, from: &Collection, name: &str, level: usize) -> Result<(FieldId, Box<Link>)> {
        if level > limits::EXPAND_LEVELS_MAX {
            return Err(bad(format!("at most {} levels", limits::EXPAND_LEVELS_MAX)));
        }
        self.scope.follow(CODE)?;
        let field = self.scope.field(from, name).cloned();
        let link = field.as_ref().and_then(|field| self.scope.forward(field));
        let (Some(field), Some(mut link)) = (field, link) else {
            return Err(bad(format!("{} has no relation {:?}", from.name, shown(name))));
        };
        if self.take('(') {
            let target = self.scope.target(&link, CODE)?;
            self.parts(target, &mut link, level)?;
        }
        Ok((field.id, Box::new(link)))
    }

    /// The parts up to the closing parenthesis.
    fn parts(&mut self, target: &Collection, link: &mut Link, level: usize) -> Result<()> {
        let (mut parts, mut all) = (Vec::new(), false);
        loop {
            if self.take('*') {
                all = true;
            } else if let Some(name) = self.name() {
                let unknown = || bad(format!("{} has no {:?}", target.name, shown(name)));
                let part = self.scope.part(target, name).ok_or_else(unknown)?;
                if self.peek() == Some('(') {
                    let (field, inner) = self.link(target, name, level + 1)?;
                    link.look.set_form(field, Form::Embedded(inner));
                }
                if !parts.contains(&part) {
                    parts.push(part);
                }
            }
            if self.take(')') {
                break;
            }
            if !self.take(',') {
                return Err(self.expected("a comma or )"));
            }
        }
        if !all && parts.is_empty() {
            return Err(bad(format!("name the parts of {:?}", shown(&link.name))));
        }
        link.look.mask.fields = (!all).then_some(parts);
        Ok(())
    }

    fn skip_space(&mut self) {
        self.at = self.text.len() - self.text[self.at..].trim_start().len();
    }

    fn peek(&mut self) -> Option<char> {
        self.skip_space();
        self.text[self.at..].chars().next()
    }

    fn is_at_end(&mut self) -> bool {
        self.peek().is_none()
    }

    fn take(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        if found {
            self.at += c.len_utf8();
        }
        found
    }

    fn name(&mut self) -> Option<&'t str> {
        self.skip_space();
        let rest = &self.text[self.at..];
        let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        self.at += length;
        (length > 0).then(|| &rest[..length])
    }

    fn expected(&self, what: &str) -> Error {
        bad(format!("column {}: expected {what}", self.text[..self.at].chars().count() + 1))
    }
}

fn bad(message: String) -> Error {
    Error::invalid(format!("embed: {message}")).code(CODE)
}
