//! Report files: what is in one is said by its suffix.

use std::path::{Path, PathBuf};

use super::{Report, html, junit, markdown, text};

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text for people.
    Text,
    /// A page.
    Html,
    /// Everything, for programs.
    Json,
    /// JUnit's XML.
    Junit,
    /// Markdown.
    Markdown,
}

impl Kind {
    /// By a file's suffix; `None` for one that is none of ours.
    pub fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let suffixes = [
            (".junit.xml", Self::Junit),
            (".xml", Self::Junit),
            (".txt", Self::Text),
            (".html", Self::Html),
            (".json", Self::Json),
            (".md", Self::Markdown),
        ];
        suffixes.into_iter().find(|(suffix, _)| name.ends_with(suffix)).map(|(_, kind)| kind)
    }

    /// The report as it.
    pub fn render(self, report: &Report) -> String {
        match self {
            Self::Text => text::report(report),
            Self::Html => html::report(report),
            // Our own types, which can all be written.
            Self::Json => serde_json::to_string_pretty(report).unwrap_or_default() + "\n",
            Self::Junit => junit::report(report),
            Self::Markdown => markdown::report(report),
        }
    }
}

/// Writes a report; the folder is made where there is none.
///
/// # Errors
/// When it cannot be written.
pub fn write(report: &Report, path: &PathBuf, kind: Kind) -> std::io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, kind.render(report))
}
