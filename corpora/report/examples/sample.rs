//! Prints the report that the tests use, to look at: `cargo run -p report --example sample -- html > sample.html`

#[path = "../tests/sample/mod.rs"]
mod sample;

fn main() {
    let report = sample::report();
    let style = report::Style { colour: true, width: 100 };
    match std::env::args().nth(1).as_deref() {
        Some("html") => print!("{}", report.to_html()),
        Some("json") => print!("{}", report.to_json()),
        Some("junit") => print!("{}", report.to_junit()),
        _ => print!("{}", report.to_text(style)),
    }
}
