//! The form for terminals.

use crate::{Report, Style};

pub(crate) fn write(report: &Report, style: Style) -> String {
    let _ = style;
    report.title.clone()
}
