//! What every page shares: the title, how it stays fresh, and the names of the stylesheet and the script.

use super::assets;
use askama::Template;

/// The parts of `templates/base.html` that differ between pages.
pub(super) struct Layout {
    /// The title of the tab.
    pub(super) title: String,
    /// One sentence for search engines and link previews.
    pub(super) summary: String,
    /// Seconds until a browser without scripts loads the page again, for pages that change soon.
    pub(super) reload_seconds: Option<u32>,
    /// Where the script hears that the page changed.
    pub(super) events: Option<String>,
    /// Seconds between looks of the script, for what changes without an event of its own.
    pub(super) poll_seconds: Option<u32>,
    /// Where the stylesheet is; its name changes with its content.
    pub(super) style: &'static str,
    /// Where the script is, likewise.
    pub(super) script: &'static str,
}

impl Layout {
    pub(super) fn new(title: impl Into<String>, summary: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            summary: summary.into(),
            reload_seconds: None,
            events: None,
            poll_seconds: None,
            style: assets::style_path(),
            script: assets::script_path(),
        }
    }
}

/// Renders a template into a string.
pub(super) fn render(page: &impl Template) -> String {
    page.render().expect("a template that writes to a string can't fail")
}
