//! `expand=user,items.maker,orders_via_user`: paths along relations, each way.

use crate::error::{Error, Result};
use crate::limits;
use crate::model::schema::Collection;

use super::{Link, Scope, check_length, shown};

const CODE: &str = "bad_expand";

/// The relations to follow; those that paths have in common are one.
pub(super) fn parse(scope: &mut Scope<'_>, collection: &Collection, text: &str) -> Result<Vec<Link>> {
    check_length(text, "expand", CODE)?;
    let mut links = Vec::new();
    for path in text.split(',').map(str::trim).filter(|path| !path.is_empty()) {
        let (mut level, mut from) = (&mut links, collection);
        for (depth, name) in path.split('.').enumerate() {
            if depth >= limits::EXPAND_LEVELS_MAX {
                let message = format!("expand: a path has at most {} levels", limits::EXPAND_LEVELS_MAX);
                return Err(Error::invalid(message).code(CODE));
            }
            let at = match level.iter().position(|link: &Link| &*link.name == name) {
                Some(at) => at,
                None => {
                    level.push(link(scope, from, name)?);
                    level.len() - 1
                }
            };
            from = scope.target(&level[at], CODE)?;
            level = &mut level[at].look.expand;
        }
    }
    Ok(links)
}

fn link(scope: &mut Scope<'_>, from: &Collection, name: &str) -> Result<Link> {
    scope.follow(CODE)?;
    let forward = scope.field(from, name).cloned().and_then(|field| scope.forward(&field));
    let link = forward.or_else(|| scope.backward(from, name));
    link.ok_or_else(|| Error::invalid(format!("expand: {} has no relation {:?}", from.name, shown(name))).code(CODE))
}
