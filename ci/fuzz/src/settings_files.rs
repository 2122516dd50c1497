//! Files that people write: waivers, profiles, the edge's configuration. Refused or taken, always in the same way, and a
//! refusal names the file.

use compare::Waivers;
use conformance::Profile;
use conformance::profile::SHIPPED;
use exchange::Time;
use reference_cdn::config::explain::example;
use reference_cdn::config::file::Settings;

const NAME: &str = "file.toml";

fn one_line(message: &str) {
    assert!(message.contains(NAME), "which file? {message}");
    assert!(!message.chars().any(char::is_control), "{message:?}");
}

pub(crate) fn waiver_seeds() -> Vec<Vec<u8>> {
    let waiver = "[[waiver]]\npath = \"fields.server\"\nclass = \"identity\"\nurl = \"http://*/a?\"\nreason = \"r\"\nowner = \"o\"\nexpires = \"2027-01-31\"\n";
    vec![
        waiver.into(),
        waiver.repeat(2).into(),
        waiver.replace("01-31", "02-30").into(),
        b"waiver = []".to_vec(),
    ]
}

pub(crate) fn waivers(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let read = Waivers::parse(text, NAME);
    assert_eq!(Waivers::parse(text, NAME), read);
    match read {
        Ok(waivers) => {
            assert_eq!(waivers.expired(Time(i64::MAX)).count(), waivers.0.len());
            for waiver in &waivers.0 {
                assert!(!waiver.owner.trim().is_empty() && !waiver.reason.trim().is_empty());
            }
            assert_eq!(
                waivers.expired(Time(0)).count(),
                waivers.0.iter().filter(|w| w.ends <= Time(0)).count()
            );
        }
        Err(error) => one_line(&error.to_string()),
    }
}

pub(crate) fn profile_seeds() -> Vec<Vec<u8>> {
    let command = "name = \"x\"\n[purge]\ncommand = [\"echo\", \"{env:CDN}\"]\n";
    SHIPPED.map(|(_, text)| text.into()).into_iter().chain([command.into()]).collect()
}

pub(crate) fn profile(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    // It would read the file.
    if text.contains("secret_file") || text.contains('\\') {
        return;
    }
    let variables = |name: &str| name.starts_with("CDN").then(|| "secret-of-the-fuzzer".to_owned());
    match Profile::parse(text, NAME, &variables) {
        Ok(profile) => {
            let shown = format!("{profile:?}");
            assert!(text.contains("{env:") || !shown.contains("secret-of-the-fuzzer"), "{shown}");
        }
        Err(error) => {
            one_line(&error.to_string());
            let lines = text.lines().count() + 1;
            assert!(error.line.is_some_and(|line| (1..=lines).contains(&line)), "{error}");
        }
    }
}

pub(crate) fn config_seeds() -> Vec<Vec<u8>> {
    let example = example();
    let complete = example.replace("# url = ", "url = \"http://127.0.0.1:80\" # ");
    vec![
        example.clone().into(),
        complete.into(),
        b"[origin]\nurl = \"http://h:1\"\n".to_vec(),
        b"[store]\nmemory = \"1 GiB\"".to_vec(),
        b"[[customer]]\nname = \"a\"\nhosts = [\"a.test\", \"*.a.test\"]\n[[customer.origin]]\nurl = \"http://h:1\"\n".to_vec(),
    ]
}

pub(crate) fn config(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    // It would read the file.
    if text.lines().any(|line| line.contains("token") && !line.trim_start().starts_with('#'))
        || text.contains('\\')
    {
        return;
    }
    let read = || Settings::parse(NAME, text).finish();
    let shown = |read: Result<_, reference_cdn::config::file::Faults>| {
        read.map(|checked| format!("{checked:?}")).map_err(|faults| (faults.count(), faults.render(false)))
    };
    let first = shown(read());
    assert_eq!(shown(read()), first);
    if let Err((count, text)) = first {
        assert!(count > 0 && text.contains(NAME), "{text}");
    }
}
