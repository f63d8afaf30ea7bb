//! What a run tells of the records and chunks that were refused: the first of them, each with why.

use serde_json::Value as Json;

use crate::limits;
use crate::model::value::Value;

/// What was told before with more behind it, as far as there is room; `None` where there is nothing to add.
pub fn with_faults(told: &Value, more: impl IntoIterator<Item = Json>) -> Option<Value> {
    let mut faults: Vec<Json> = match told {
        Value::Json(text) => serde_json::from_str(text).unwrap_or_default(),
        _ => Vec::new(),
    };
    let before = faults.len();
    faults.extend(more.into_iter().take(limits::JOB_FAULTS_MAX.saturating_sub(before)));
    (faults.len() > before).then(|| Value::Json(Json::from(faults).to_string().into()))
}

/// Why something was refused, cut to what there is room for.
pub fn cut(why: &str) -> String {
    why.chars().take(limits::JOB_FAULT_CHARS_MAX).collect()
}
