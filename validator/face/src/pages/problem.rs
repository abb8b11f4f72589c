//! The page for a request that can't be answered.

use super::layout::{self, Layout};
use super::prose;
use askama::Template;

#[derive(Template)]
#[template(path = "problem.html")]
struct Page<'a> {
    layout: Layout,
    status: u16,
    title: &'a str,
    detail: &'a str,
}

/// Renders an HTTP status with its title and what happened this time.
pub(crate) fn render(status: u16, title: &str, detail: &str) -> String {
    let layout = Layout::new(format!("{title} · Retort"), title);
    layout::render(&Page { layout, status, title, detail })
}
