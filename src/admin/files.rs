//! The table of the page's files: each by its name below `/_/`, with what is in it.

/// A file of the page.
#[derive(Debug)]
pub(super) struct File {
    /// Below `/_/`, with its ending.
    pub(super) name: &'static str,
    pub(super) content: &'static str,
}

impl File {
    /// Its media type, by its ending.
    pub(super) fn kind(&self) -> &'static str {
        match self.name.rsplit('.').next().unwrap_or_default() {
            "html" => "text/html; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "js" => "text/javascript; charset=utf-8",
            "svg" => "image/svg+xml",
            _ => "application/octet-stream",
        }
    }
}

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(File { name: $name, content: include_str!(concat!("page/", $name)) }),*]
    };
}

/// All of them; a test holds the table to the folder.
pub(super) const FILES: &[File] = files![
    "index.html",
    "docs.html",
    "icon.svg",
    "css/base.css",
    "css/controls.css",
    "css/define.css",
    "css/dialogs.css",
    "css/docs.css",
    "css/layout.css",
    "css/records.css",
    "css/views.css",
    "js/api.js",
    "js/cells.js",
    "js/charts.js",
    "js/define/draft.js",
    "js/define/explain.js",
    "js/define/fields.js",
    "js/define/indexes.js",
    "js/define/rest.js",
    "js/define/rules.js",
    "js/dialog.js",
    "js/docs/call.js",
    "js/docs/main.js",
    "js/docs/schema.js",
    "js/dom.js",
    "js/download.js",
    "js/expression.js",
    "js/features.js",
    "js/form/form.js",
    "js/form/inputs.js",
    "js/form/parts.js",
    "js/form/record.js",
    "js/form/relation.js",
    "js/format.js",
    "js/icons.js",
    "js/jobs/card.js",
    "js/jobs/inputs.js",
    "js/jobs/run.js",
    "js/main.js",
    "js/metrics.js",
    "js/progress.js",
    "js/router.js",
    "js/routes.js",
    "js/schema.js",
    "js/session.js",
    "js/shell.js",
    "js/sse.js",
    "js/store.js",
    "js/table.js",
    "js/theme.js",
    "js/toast.js",
    "js/views/access.js",
    "js/views/backups.js",
    "js/views/cache.js",
    "js/views/collections.js",
    "js/views/columns.js",
    "js/views/dashboard.js",
    "js/views/definition.js",
    "js/views/entry.js",
    "js/views/followers.js",
    "js/views/handlers.js",
    "js/views/jobs.js",
    "js/views/live.js",
    "js/views/logs.js",
    "js/views/records.js",
    "js/views/transfer.js",
];
