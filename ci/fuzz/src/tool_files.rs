//! Files that one tool writes and another reads: a mirror's differences, a baseline. The readers take paths.

use std::io::Write as _;

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let header = r#"{"kind":"header","format":1,"tool":"mirror","version":"1","primary":"a","candidate":"b","seed":1,"sample":1.0,"started":"x"}"#;
    let stability = r#"{"kind":"stability","method":"GET","url":"http://a/","compared":2,"different":1}"#;
    let difference = r#"{"kind":"difference","id":"0-0","time":"x","method":"GET","url":"http://a/","outcome":"different","stands":true,"fingerprint":"0","status":200,"differences":[]}"#;
    vec![
        header.into(),
        [header, difference, stability].join("\n").into(),
        [header, &difference[..40]].join("\n").into(),
        crate::report_forms::seeds().remove(0),
    ]
}

pub(crate) fn run(input: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(input).unwrap();
    let path = file.path().display().to_string();
    match mirror::diffs::read(file.path()) {
        Ok(diffs) => {
            assert!(diffs.header.format <= mirror::diffs::FORMAT);
            for difference in &diffs.differences {
                let _ = diffs.is_stable(difference);
            }
        }
        Err(error) => assert!(error.to_string().contains(&path), "{error}"),
    }
    if let Err(error) = conformance::baseline::Baseline::load(file.path()) {
        assert!(error.to_string().contains(&path), "{error}");
    }
}
