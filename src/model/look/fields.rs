//! `fields=id,user.name,expand.items.*,note:excerpt(80)`: which parts are shown, at every level.
//!
//! `*` is all of its level, what else is named there says more of one part. With `fields`, nothing stands under `expand`
//! that isn't named.

use crate::error::{Error, Result};
use crate::limits;
use crate::model::mask::Part;
use crate::model::schema::{Collection, Field, FieldKind};

use super::excerpt::Excerpt;
use super::paths::Branch;
use super::{Form, Link, Look, Scope, check_length, shown};

const CODE: &str = "bad_fields";
const EXPAND: &str = "expand";

/// Narrows a look to what a text names.
pub(super) fn narrow(look: &mut Look, scope: &Scope<'_>, collection: &Collection, text: &str) -> Result<()> {
    check_length(text, "fields", CODE)?;
    if text.trim().is_empty() {
        return Ok(());
    }
    let names = read(text)?;
    narrow_level(look, scope, collection, &names)
}

/// A name of a level.
struct Name<'t> {
    name: &'t str,
    /// Named by itself: all that is behind it is shown.
    whole: bool,
    excerpt: Option<Excerpt>,
    behind: Vec<Name<'t>>,
}

/// The names of a text as a tree.
fn read(text: &str) -> Result<Vec<Name<'_>>> {
    let mut names = Vec::new();
    for item in items(text) {
        let (path, excerpt) = match item.split_once(':') {
            None => (item, None),
            Some((path, modifier)) => {
                let excerpt = Excerpt::parse(modifier).ok_or_else(|| {
                    bad(format!("{:?} is not a modifier: there is excerpt(max) and excerpt(max,true)", shown(modifier)))
                })?;
                (path.trim_end(), Some(excerpt))
            }
        };
        let mut level = &mut names;
        let mut parts = path.split('.').peekable();
        let mut depth = 0;
        while let Some(part) = parts.next() {
            depth += 1;
            if depth > limits::FIELDS_LEVELS_MAX {
                return Err(bad(format!("a path has at most {} levels", limits::FIELDS_LEVELS_MAX)));
            }
            let at = level.iter().position(|name: &Name<'_>| name.name == part).unwrap_or_else(|| {
                level.push(Name { name: part, whole: false, excerpt: None, behind: Vec::new() });
                level.len() - 1
            });
            if parts.peek().is_none() {
                level[at].whole = true;
                level[at].excerpt = excerpt;
            }
            level = &mut level[at].behind;
        }
    }
    Ok(names)
}

/// The texts between the commas, but for commas in parentheses; none is empty.
fn items(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0usize;
    let split = text.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    });
    split.map(str::trim).filter(|item| !item.is_empty())
}

fn narrow_level(look: &mut Look, scope: &Scope<'_>, collection: &Collection, names: &[Name<'_>]) -> Result<()> {
    let (mut parts, mut all) = (Vec::new(), false);
    let mut expand = None;
    for name in names {
        match name.name {
            "*" if name.behind.is_empty() && name.excerpt.is_none() => all = true,
            EXPAND if name.excerpt.is_none() => expand = Some(name),
            _ => {
                let part = scope.part(collection, name.name).ok_or_else(|| unknown(collection, name.name))?;
                match part {
                    Part::Field(id) => {
                        let field = collection.field_by_id(id).ok_or_else(|| unknown(collection, name.name))?;
                        narrow_field(look, scope, field, name)?;
                    }
                    _ if !name.behind.is_empty() || name.excerpt.is_some() => return Err(no_parts(name.name)),
                    _ => {}
                }
                parts.push(part);
            }
        }
    }
    match expand {
        Some(name) => narrow_expand(&mut look.expand, scope, name)?,
        None if !all => look.expand.clear(),
        None => {}
    }
    look.mask.fields = (!all).then_some(parts);
    look.forget_unseen();
    Ok(())
}

fn narrow_field(look: &mut Look, scope: &Scope<'_>, field: &Field, name: &Name<'_>) -> Result<()> {
    if let Some(excerpt) = name.excerpt {
        if !matches!(field.kind, FieldKind::Text { .. } | FieldKind::Editor { .. }) {
            return Err(bad(format!("{} is no text to make an excerpt of", field.name)));
        }
        look.set_form(field.id, Form::Excerpt(excerpt));
    }
    if name.behind.is_empty() {
        return Ok(());
    }
    match &field.kind {
        FieldKind::Json { .. } | FieldKind::GeoPoint {} => {
            if !name.whole {
                look.set_form(field.id, Form::Parts(branches(&name.behind)?));
            }
            Ok(())
        }
        FieldKind::Relation { .. } => match look.embedded(field) {
            Some(link) => narrow_link(link, scope, name),
            None => Err(bad(format!("{0} is not embedded: ask for embed={0}(…), or for expand.{0}", field.name))),
        },
        _ => Err(no_parts(&field.name)),
    }
}

/// What is behind a relation's name.
fn narrow_link(link: &mut Link, scope: &Scope<'_>, name: &Name<'_>) -> Result<()> {
    if name.excerpt.is_some() {
        return Err(no_parts(name.name));
    }
    let target = scope.target(link, CODE)?;
    if name.whole {
        // All of it is shown, and yet a name behind it that does not exist is a mistake.
        return narrow_level(&mut link.look.clone(), scope, target, &name.behind);
    }
    let embedded = link.look.mask.fields.clone();
    narrow_level(&mut link.look, scope, target, &name.behind)?;
    if let Some(embedded) = embedded {
        link.look.keep(&embedded);
    }
    Ok(())
}

/// What is behind `expand`: of each relation what is named, by its name before `*`.
fn narrow_expand(links: &mut Vec<Link>, scope: &Scope<'_>, expand: &Name<'_>) -> Result<()> {
    let star = expand.behind.iter().find(|name| name.name == "*");
    if let Some(unknown) =
        expand.behind.iter().find(|name| name.name != "*" && !links.iter().any(|link| &*link.name == name.name))
    {
        return Err(bad(format!("{:?} is not expanded", shown(unknown.name))));
    }
    let mut kept = Vec::with_capacity(links.len());
    for mut link in links.drain(..) {
        let own = expand.behind.iter().find(|name| name.name == &*link.name);
        match own.or(star) {
            Some(name) if !name.behind.is_empty() => narrow_link(&mut link, scope, name)?,
            Some(name) if name.excerpt.is_some() => return Err(no_parts(name.name)),
            None if !expand.whole => continue,
            _ => {}
        }
        kept.push(link);
    }
    *links = kept;
    Ok(())
}

fn branches(names: &[Name<'_>]) -> Result<Vec<Branch>> {
    let branch = |name: &Name<'_>| {
        if name.excerpt.is_some() {
            return Err(bad(format!("{:?} is no text to make an excerpt of", shown(name.name))));
        }
        let behind = if name.whole { Vec::new() } else { branches(&name.behind)? };
        Ok(Branch { name: name.name.into(), behind })
    };
    names.iter().map(branch).collect()
}

impl Look {
    fn embedded(&mut self, field: &Field) -> Option<&mut Link> {
        self.forms.iter_mut().find(|(of, _)| *of == field.id).and_then(|(_, form)| match form {
            Form::Embedded(link) => Some(&mut **link),
            _ => None,
        })
    }

    /// Leaves of it what is among `parts`: `fields` shows no more of an embedded record than is embedded.
    fn keep(&mut self, parts: &[Part]) {
        match &mut self.mask.fields {
            Some(fields) => fields.retain(|part| parts.contains(part)),
            all => *all = Some(parts.to_vec()),
        }
        self.forget_unseen();
    }
}

fn unknown(collection: &Collection, name: &str) -> Error {
    bad(format!("{} has no {:?}", collection.name, shown(name)))
}

fn no_parts(name: &str) -> Error {
    bad(format!("{:?} has no parts", shown(name)))
}

fn bad(message: String) -> Error {
    Error::invalid(format!("fields: {message}")).code(CODE)
}
