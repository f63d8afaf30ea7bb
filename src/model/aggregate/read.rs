//! The request as JSON: read with all its faults, each by its path (`sources.sales.group.day`).

use std::time::Duration;

use super::{Aggregation, Join, Merge, Named, Remote, Source, is_name};
use crate::error::Result;
use crate::limits;
use crate::model::faults::Faults;
use crate::model::json::{checked_text, elements_up_to, members, text_of, whole};

/// Reads the body of `POST /api/aggregate`.
///
/// # Errors
/// `Invalid` for what is no JSON object, or with all faults: unknown and repeated keys, names that are none, what is
/// missing or over a bound.
pub fn read(body: &[u8]) -> Result<Aggregation> {
    let mut faults = Faults::default();
    let mut reader = Reader { faults: &mut faults };
    let request = reader.request(members(checked_text(body)?)?);
    faults.into_result("the request has faults")?;
    Ok(request)
}

/// The faults of a request while it is read.
pub(super) struct Reader<'f> {
    pub(super) faults: &'f mut Faults,
}

type Members<'a> = Vec<(std::borrow::Cow<'a, str>, &'a str)>;

impl Reader<'_> {
    fn request(&mut self, members: Members<'_>) -> Aggregation {
        let mut request = Aggregation::default();
        let mut merge = None;
        for (key, raw) in self.once("", members) {
            match &*key {
                "sources" => request.sources = self.sources(raw),
                "merge" => merge = self.merge(raw),
                "having" => request.having = self.text("having", raw),
                "select" => request.select = self.named("select", raw),
                "sort" => request.sort = self.text("sort", raw).map_or(Vec::new(), |text| self.sort(&text)),
                "limit" => request.limit = self.limit(raw).unwrap_or(request.limit),
                "timeout" => {
                    let text = self.text("timeout", raw);
                    request.timeout = text.and_then(|text| self.timeout(&text)).unwrap_or(request.timeout);
                }
                "partial" => request.partial = self.flag("partial", raw),
                "explain" => request.explain = self.flag("explain", raw),
                _ => self.unknown("", &key),
            }
        }
        if request.sources.is_empty() && self.faults.is_empty() {
            self.faults.add("sources", "required", "must have at least one source, by its name");
        }
        match merge {
            Some(merge) => request.merge = merge,
            None if request.sources.len() > 1 => {
                let message = "must say how several sources come together: {\"join\": [\"key\"]} or \"union\"";
                self.faults.add("merge", "required", message);
            }
            None => {}
        }
        self.check_join(&request);
        request
    }

    /// The members of an object, without those that stand in it again.
    fn once<'a>(&mut self, path: &str, members: Members<'a>) -> Members<'a> {
        let mut kept: Members<'a> = Vec::with_capacity(members.len());
        for (key, raw) in members {
            if self.faults.full() {
                break;
            }
            if kept.iter().any(|(known, _)| *known == key) {
                self.faults.add(joined(path, &key), "duplicate_key", "stands twice");
            } else if raw != "null" {
                kept.push((key, raw));
            }
        }
        kept
    }

    fn object<'a>(&mut self, path: &str, raw: &'a str, what: &str) -> Members<'a> {
        match members(raw) {
            Ok(members) => self.once(path, members),
            Err(_) => {
                self.faults.add(path, "wrong_type", format!("must be an object of {what}"));
                Vec::new()
            }
        }
    }

    fn unknown(&mut self, path: &str, key: &str) {
        self.faults.add(joined(path, key), "unknown_field", "is not known here");
    }

    fn text(&mut self, path: &str, raw: &str) -> Option<Box<str>> {
        let found = text_of(raw);
        if found.is_none() {
            self.faults.add(path, "wrong_type", "must be a text");
        }
        found.filter(|text| !text.trim().is_empty()).map(Into::into)
    }

    fn flag(&mut self, path: &str, raw: &str) -> bool {
        if !matches!(raw, "true" | "false") {
            self.faults.add(path, "wrong_type", "must be true or false");
        }
        raw == "true"
    }

    fn limit(&mut self, raw: &str) -> Option<usize> {
        let limit = whole(raw).ok().and_then(|limit| usize::try_from(limit).ok()).filter(|limit| *limit > 0);
        if limit.is_none() {
            self.faults.add("limit", "wrong_type", "must be a whole number from 1");
        }
        limit
    }

    /// `"2s"`, `"500ms"`.
    pub(super) fn timeout(&mut self, text: &str) -> Option<Duration> {
        let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let number = digits.parse::<u64>().ok().filter(|_| digits.len() <= 9);
        let time = number.and_then(|number| match &text[digits.len()..] {
            "s" => Some(Duration::from_secs(number)),
            "ms" => Some(Duration::from_millis(number)),
            _ => None,
        });
        let time = time.filter(|time| (Duration::from_millis(1)..=limits::QUERY_TIME_MAX).contains(time));
        if time.is_none() {
            let message = format!("must be a time such as 2s or 500ms, {} s at most", limits::QUERY_TIME_MAX.as_secs());
            self.faults.add("timeout", "invalid", message);
        }
        time
    }

    /// `-revenue,day`
    pub(super) fn sort(&mut self, text: &str) -> Vec<(Box<str>, bool)> {
        let mut sort: Vec<(Box<str>, bool)> = Vec::new();
        for part in text.split(',').map(str::trim) {
            let (descending, name) = match part.strip_prefix('-') {
                Some(name) => (true, name),
                None => (false, part.strip_prefix('+').unwrap_or(part)),
            };
            if name.is_empty() || sort.iter().any(|(known, _)| **known == *name) {
                self.faults.add(
                    "sort",
                    "invalid",
                    "must be names, each once, joined by commas; - before one reverses it",
                );
                break;
            }
            if sort.len() == limits::AGGREGATE_NAMES_MAX {
                self.too_many("sort", limits::AGGREGATE_NAMES_MAX);
                break;
            }
            sort.push((name.into(), descending));
        }
        sort
    }

    fn too_many(&mut self, path: &str, max: usize) {
        self.faults.add(path, "too_many", format!("must have {max} at most"));
    }

    fn sources(&mut self, raw: &str) -> Vec<Source> {
        let members = self.object("sources", raw, "sources by their names");
        if members.len() > limits::AGGREGATE_SOURCES_MAX {
            self.too_many("sources", limits::AGGREGATE_SOURCES_MAX);
            return Vec::new();
        }
        members.into_iter().map(|(name, raw)| self.source(&name, raw)).collect()
    }

    fn source(&mut self, name: &str, raw: &str) -> Source {
        let path = joined("sources", name);
        self.check_name(&path, name);
        let mut source = Source::named(name);
        let (mut collection, mut url, mut token) = (None, None, None);
        for (key, raw) in self.object(&path, raw, "collection, filter, group and values") {
            let at = joined(&path, &key);
            match &*key {
                "url" => url = self.text(&at, raw).and_then(|text| self.url(&at, &text)),
                "token" => token = self.text(&at, raw).filter(|token| self.is_token(&at, token)),
                "collection" => collection = self.text(&at, raw),
                "filter" => source.filter = self.text(&at, raw),
                "group" => source.group = self.named(&at, raw),
                "values" => source.values = self.named(&at, raw),
                "having" => source.having = self.text(&at, raw),
                _ => self.unknown(&path, &key),
            }
        }
        match collection {
            Some(collection) => source.collection = collection,
            None => self.faults.add(joined(&path, "collection"), "required", "is required"),
        }
        match (url, token) {
            (Some(url), token) => source.remote = Some(Remote { url, token }),
            (None, Some(_)) => self.faults.add(joined(&path, "token"), "invalid", "is for a source with a url"),
            (None, None) => {}
        }
        self.check_names(&path, &source);
        source
    }

    fn url(&mut self, path: &str, text: &str) -> Option<url::Url> {
        let sound = url::Url::parse(text).ok().filter(|url| {
            let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
            matches!(url.scheme(), "http" | "https") && url.has_host() && plain && url.query().is_none()
        });
        if sound.is_none() {
            self.faults.add(
                path,
                "invalid",
                "must be the http or https URL of a server, such as https://other.example",
            );
        }
        sound
    }

    fn is_token(&mut self, path: &str, token: &str) -> bool {
        let sound = token.len() <= limits::TOKEN_BYTES_MAX && token.bytes().all(|byte| byte.is_ascii_graphic());
        if !sound {
            self.faults.add(path, "invalid", "must be a token or an API key of that server");
        }
        sound
    }

    /// Keys and values stand in the same rows.
    pub(super) fn check_names(&mut self, path: &str, source: &Source) {
        if source.group.is_empty() && source.values.is_empty() {
            self.faults.add(joined(path, "values"), "required", "must have a value, or group a key");
        }
        for value in source.values.iter().filter(|value| source.group.iter().any(|key| key.name == value.name)) {
            let at = joined(&joined(path, "values"), &value.name);
            self.faults.add(at, "duplicate_key", "is the name of a key as well");
        }
    }

    pub(super) fn check_name(&mut self, path: &str, name: &str) {
        if !is_name(name) {
            let message = format!(
                "must have a name of letters, digits and _ that begins with none of the digits, {} bytes at most",
                limits::NAME_BYTES_MAX
            );
            self.faults.add(path, "bad_name", message);
        }
    }

    /// Expressions by their names.
    pub(super) fn named(&mut self, path: &str, raw: &str) -> Vec<Named> {
        let mut named = Vec::new();
        for (name, raw) in self.object(path, raw, "expressions by their names") {
            let at = joined(path, &name);
            self.check_name(&at, &name);
            match self.text(&at, raw) {
                Some(text) => named.push(Named { name: name.into(), text }),
                None if self.faults.is_empty() => self.faults.add(at, "required", "must be an expression"),
                None => {}
            }
        }
        if named.len() > limits::AGGREGATE_NAMES_MAX {
            self.too_many(path, limits::AGGREGATE_NAMES_MAX);
        }
        named
    }

    /// `"union"`, `{"kind": "union"}` and `{"union": true}` are the same.
    fn merge(&mut self, raw: &str) -> Option<Merge> {
        if let Some(text) = text_of(raw) {
            if text != "union" {
                self.faults.add("merge", "invalid", "must be an object, or union");
            }
            return Some(Merge::Union);
        }
        let (mut keys, mut kind, mut union) = (None, None, false);
        for (key, raw) in self.object("merge", raw, "join and kind") {
            match &*key {
                "join" => keys = self.join(raw),
                "kind" => kind = self.text("merge.kind", raw),
                "union" => union = self.flag("merge.union", raw),
                _ => self.unknown("merge", &key),
            }
        }
        let kind = match kind.as_deref() {
            Some("union") => None,
            None if union => None,
            Some("inner") | None => Some(Join::Inner),
            Some("left") => Some(Join::Left),
            Some("full") => Some(Join::Full),
            Some(_) => {
                self.faults.add("merge.kind", "invalid", "must be inner, left, full or union");
                return None;
            }
        };
        match (kind, keys) {
            (None, None) => Some(Merge::Union),
            (Some(kind), Some(keys)) if !union => Some(Merge::Join { keys, kind }),
            (None, Some(_)) | (Some(_), Some(_)) => {
                self.faults.add("merge.join", "invalid", "a union joins nothing");
                None
            }
            (Some(_), None) => {
                self.faults.add("merge.join", "required", "must name the keys that sources are joined by");
                None
            }
        }
    }

    fn join(&mut self, raw: &str) -> Option<Vec<Box<str>>> {
        let items = elements_up_to(raw, limits::AGGREGATE_NAMES_MAX);
        let names: Option<Vec<Box<str>>> =
            items.and_then(|items| items.into_iter().map(|item| text_of(item).map(Into::into)).collect());
        let sound = names.filter(|names| {
            let twice = (1..names.len()).any(|at| names[..at].contains(&names[at]));
            !names.is_empty() && names.len() <= limits::AGGREGATE_NAMES_MAX && !twice
        });
        if sound.is_none() {
            let message =
                format!("must be a list of names of keys, each once, {} at most", limits::AGGREGATE_NAMES_MAX);
            self.faults.add("merge.join", "invalid", message);
        }
        sound
    }

    /// Every source groups by what they are joined by.
    fn check_join(&mut self, request: &Aggregation) {
        let Merge::Join { keys, .. } = &request.merge else { return };
        for source in &request.sources {
            for key in keys.iter().filter(|key| source.group.iter().all(|one| one.name != **key)) {
                let message = format!("{} is not grouped by {:?}", source.name, super::grouping::shown(key));
                self.faults.add("merge.join", "unknown_key", message);
            }
        }
    }
}

fn joined(path: &str, key: &str) -> String {
    let shown: String = key.chars().take(limits::NAME_BYTES_MAX).collect();
    if path.is_empty() { shown } else { format!("{path}.{shown}") }
}

impl Default for Aggregation {
    fn default() -> Aggregation {
        Aggregation {
            sources: Vec::new(),
            merge: Merge::Union,
            having: None,
            select: Vec::new(),
            sort: Vec::new(),
            limit: usize::MAX,
            timeout: limits::QUERY_TIME_MAX,
            partial: false,
            explain: false,
        }
    }
}

impl Source {
    /// One that has nothing but a name yet.
    pub(super) fn named(name: &str) -> Source {
        let (group, values) = (Vec::new(), Vec::new());
        Source { name: name.into(), remote: None, collection: "".into(), filter: None, group, values, having: None }
    }
}
