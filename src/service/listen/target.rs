//! What a client asks to listen to: `orders/*`, `orders/ID`, as PocketBase's client writes it also with options.

use crate::error::{Error, Result};
use crate::id::RecordId;
use crate::limits;
use crate::model::json;
use crate::model::look::{OwnedWanted, Wanted};

/// One thing that is listened to, as asked for.
#[derive(Clone, Debug, Default)]
pub struct Subscription {
    /// As events name it.
    pub name: Box<str>,
    /// The collection's name or id.
    pub collection: Box<str>,
    /// Which record; all where none is named.
    pub record: Option<RecordId>,
    /// What holds of each record.
    pub filter: Option<Box<str>>,
    /// What is shown of each record.
    pub wanted: OwnedWanted,
    /// What rules find under `@request.query`.
    pub query: Vec<(Box<str>, Box<str>)>,
}

impl Subscription {
    /// What a text names: `orders/*` or `orders/ID`, and behind a `?` `options=` with the JSON of
    /// `{"query": {"filter", "fields", "expand", "embed", …}, "headers"}`.
    ///
    /// # Errors
    /// `Invalid` with code `bad_subscription`.
    pub fn read(text: &str, decode: fn(&str) -> Option<String>) -> Result<Subscription> {
        if text.len() > limits::SUBSCRIPTION_BYTES_MAX {
            return Err(bad(format!("one has {} bytes at most", limits::SUBSCRIPTION_BYTES_MAX)));
        }
        let (place, options) = text.split_once('?').map_or((text, None), |(place, options)| (place, Some(options)));
        let mut subscription = Subscription::of(place)?;
        subscription.name = text.into();
        let options = options.and_then(|options| options.split('&').find_map(|pair| pair.strip_prefix("options=")));
        if let Some(options) = options {
            let options = decode(options).ok_or_else(|| bad(format!("{}: a broken escape", shown(text))))?;
            subscription
                .set_options(&options)
                .ok_or_else(|| bad(format!("{}: options are no such JSON", shown(text))))?;
        }
        Ok(subscription)
    }

    /// What `orders/*` or `orders/ID` names.
    ///
    /// # Errors
    /// As [`Subscription::read`].
    pub fn of(place: &str) -> Result<Subscription> {
        let (collection, record) = place.split_once('/').unwrap_or((place, "*"));
        if collection.is_empty() || record.is_empty() {
            return Err(bad(format!("{} is neither collection/* nor collection/id", shown(place))));
        }
        let record = if record == "*" { None } else { Some(RecordId::new(record)?) };
        Ok(Subscription { name: place.into(), collection: collection.into(), record, ..Subscription::default() })
    }

    /// The options of PocketBase's client; headers mean nothing here.
    fn set_options(&mut self, text: &str) -> Option<()> {
        let members = json::members(json::checked_text(text.as_bytes()).ok()?).ok()?;
        for (_, raw) in members.iter().filter(|(key, raw)| *key == "query" && *raw != "null") {
            for (key, raw) in json::members(raw).ok()? {
                // Numbers and switches stand there as they are.
                let value = json::text_of(raw).map_or_else(|| raw.to_owned(), |text| text.into_owned());
                self.query.push((Box::from(&*key), value.into()));
            }
        }
        let named = |name: &str| {
            let found = self.query.iter().find(|(key, _)| &**key == name).map(|(_, value)| &**value);
            found.filter(|value| !value.is_empty())
        };
        let wanted = Wanted { fields: named("fields"), expand: named("expand"), embed: named("embed") };
        (self.filter, self.wanted) = (named("filter").map(Box::from), wanted.into());
        Some(())
    }
}

fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(limits::NAME_BYTES_MAX).collect::<String>())
}

fn bad(message: String) -> Error {
    let message = format!("subscriptions: {message}");
    Error::invalid(message.clone()).code("bad_subscription").fault("subscriptions", "bad_subscription", message)
}
