use crate::Report;

pub(crate) fn write(report: &Report) -> String {
    report.title.clone()
}
