//! Values as people write them: sizes, times, addresses, URLs.

use std::net::SocketAddr;
use std::time::Duration;

use http::Uri;
use http::uri::Authority;

use super::Draft;

/// A value from a file or a flag.
#[derive(Clone, Copy, Debug)]
pub enum Given<'a> {
    Text(&'a str),
    /// A list of texts.
    Texts(&'a [&'a str]),
    Integer(i64),
    /// Something that no field takes, by the name of its type.
    Other(&'a str),
}

/// What is wrong with a value, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub message: String,
    pub hint: Option<String>,
}

impl Wrong {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// What a field takes.
#[derive(Clone, Copy)]
pub enum Kind {
    /// Octets: a number, or one with KiB, MiB or GiB.
    Size {
        least: u64,
        most: u64,
        set: fn(&mut Draft, u64),
    },
    Count {
        least: u64,
        most: u64,
        set: fn(&mut Draft, u64),
    },
    /// A number with ms, s, m or h.
    Time {
        least: Duration,
        most: Duration,
        set: fn(&mut Draft, Duration),
    },
    /// One of these words.
    Choice {
        words: &'static [&'static str],
        set: fn(&mut Draft, usize),
    },
    /// Other text, by its form.
    Text {
        form: &'static str,
        set: fn(&mut Draft, &str) -> Result<(), Wrong>,
    },
    /// Texts of one form, at least one: `"a"` or `["a", "b"]`.
    Texts {
        form: &'static str,
        set: fn(&mut Draft, &[&str]),
    },
}

impl Kind {
    /// Checks a value and puts it in its place.
    ///
    /// # Errors
    /// When it does not suit.
    pub fn set(&self, draft: &mut Draft, given: Given<'_>) -> Result<(), Wrong> {
        let form = self.form();
        let unsuited = |what: String| Wrong::new(format!("expected {form}, found {what}"));
        match (self, given) {
            (_, Given::Other(kind)) => Err(unsuited(format!("a value of type {kind}"))),
            (Self::Size { least, most, set }, given) => {
                let size = match given {
                    Given::Integer(size) => u64::try_from(size).ok(),
                    Given::Text(text) => size(text),
                    Given::Texts(_) | Given::Other(_) => None,
                };
                let size =
                    size.ok_or_else(|| unsuited(shown(given)).hint("for example \"256MiB\" or 65536"))?;
                if size < *least || size > *most {
                    let (least, most) = (show_size(*least), show_size(*most));
                    return Err(Wrong::new(format!("{} is out of range", show_size(size)))
                        .hint(format!("between {least} and {most}")));
                }
                set(draft, size);
                Ok(())
            }
            (Self::Count { least, most, set }, given) => {
                let count = match given {
                    Given::Integer(count) => u64::try_from(count).ok(),
                    Given::Text(text) => text.parse().ok(),
                    Given::Texts(_) | Given::Other(_) => None,
                };
                let count = count.ok_or_else(|| unsuited(shown(given)))?;
                if count < *least || count > *most {
                    return Err(Wrong::new(format!("{count} is out of range"))
                        .hint(format!("between {least} and {most}")));
                }
                set(draft, count);
                Ok(())
            }
            (Self::Time { least, most, set }, Given::Text(text)) => {
                let time = time(text)
                    .ok_or_else(|| unsuited(shown(given)).hint("for example \"500ms\", \"30s\", \"5m\""))?;
                if time < *least || time > *most {
                    return Err(Wrong::new(format!("{text} is out of range")).hint(format!(
                        "between {} and {}",
                        show_time(*least),
                        show_time(*most)
                    )));
                }
                set(draft, time);
                Ok(())
            }
            (Self::Time { .. }, Given::Integer(number)) => {
                Err(unsuited(shown(given)).hint(format!("give a unit, as in \"{number}s\"")))
            }
            (Self::Choice { words, set }, Given::Text(text)) => {
                let index = words.iter().position(|word| *word == text).ok_or_else(|| {
                    let nearest = nearest(text, words.iter().copied());
                    let wrong = unsuited(shown(given));
                    nearest.map_or(wrong.clone(), |word| wrong.hint(format!("did you mean \"{word}\"?")))
                })?;
                set(draft, index);
                Ok(())
            }
            (Self::Text { set, .. }, Given::Text(text)) => set(draft, text),
            (Self::Texts { set, .. }, given @ (Given::Text(_) | Given::Texts(_))) => {
                let texts = match &given {
                    Given::Text(text) => std::slice::from_ref(text),
                    Given::Texts(texts) => texts,
                    _ => &[],
                };
                if texts.is_empty() || texts.iter().any(|text| text.is_empty()) {
                    return Err(unsuited("nothing".into()).hint("leave the field out for none"));
                }
                set(draft, texts);
                Ok(())
            }
            (_, Given::Texts(_)) => Err(unsuited("a value of type array".into())),
            (Self::Choice { .. } | Self::Text { .. } | Self::Texts { .. }, Given::Integer(_)) => {
                Err(unsuited(shown(given)))
            }
        }
    }

    /// How a value of this kind is written.
    pub fn form(&self) -> String {
        match self {
            Self::Size { .. } => "a size in octets".into(),
            Self::Count { .. } => "a number".into(),
            Self::Time { .. } => "a time".into(),
            Self::Choice { words, .. } => {
                words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ")
            }
            Self::Text { form, .. } | Self::Texts { form, .. } => (*form).into(),
        }
    }

    /// The range of values, where there is one.
    pub fn range(&self) -> Option<String> {
        match self {
            Self::Size { least, most, .. } => Some(format!("{} to {}", show_size(*least), show_size(*most))),
            Self::Count { least, most, .. } => Some(format!("{least} to {most}")),
            Self::Time { least, most, .. } => Some(format!("{} to {}", show_time(*least), show_time(*most))),
            Self::Choice { .. } | Self::Text { .. } | Self::Texts { .. } => None,
        }
    }
}

fn shown(given: Given<'_>) -> String {
    match given {
        Given::Text(text) => format!("\"{text}\""),
        Given::Texts(texts) => format!("{texts:?}"),
        Given::Integer(number) => number.to_string(),
        Given::Other(kind) => kind.to_owned(),
    }
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim_start()))
}

pub fn size(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let factor = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)
}

pub fn show_size(size: u64) -> String {
    [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")]
        .into_iter()
        .find(|(factor, _)| size >= *factor && size.is_multiple_of(*factor))
        .map_or_else(|| format!("{size}B"), |(factor, unit)| format!("{}{unit}", size / factor))
}

pub fn time(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let factor = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(factor).map(Duration::from_millis)
}

pub fn show_time(time: Duration) -> String {
    let millis = time.as_millis();
    [(3_600_000, "h"), (60_000, "m"), (1000, "s")]
        .into_iter()
        .find(|(factor, _)| millis >= *factor && millis.is_multiple_of(*factor))
        .map_or_else(|| format!("{millis}ms"), |(factor, unit)| format!("{}{unit}", millis / factor))
}

/// `ADDRESS:PORT`.
pub fn address(text: &str) -> Result<SocketAddr, Wrong> {
    text.parse().map_err(|_| {
        let hint = match text.strip_prefix(':') {
            Some(port) => {
                format!("name the address as well: \"127.0.0.1:{port}\", or \"[::]:{port}\" for all")
            }
            None => {
                "an IP address and a port, such as \"127.0.0.1:8080\", \"[::]:80\"; port 0 takes a free one"
                    .into()
            }
        };
        Wrong::new(format!("\"{text}\" is not an address to listen on")).hint(hint)
    })
}

/// `http://HOST[:PORT]`, nothing more.
pub fn origin(text: &str) -> Result<Authority, Wrong> {
    let wrong = |why: &str, hint: &str| {
        Wrong::new(format!("\"{text}\" is not an origin: {why}")).hint(hint.to_owned())
    };
    let uri: Uri =
        text.parse().map_err(|error| wrong(&format!("{error}"), "write it as \"http://host:port\""))?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => {
            return Err(wrong("https is not supported yet", "use http, over a network you trust"));
        }
        Some(_) => return Err(wrong("unknown scheme", "write it as \"http://host:port\"")),
        None => return Err(wrong("no scheme", "write it as \"http://host:port\"")),
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(wrong("it has a path", "leave the path out: each request brings its own"));
    }
    let authority = uri.into_parts().authority.filter(|authority| !authority.host().is_empty());
    let authority = authority.ok_or_else(|| wrong("no host", "write it as \"http://host:port\""))?;
    if authority.as_str().contains('@') {
        return Err(wrong("it has user information", "leave it out"));
    }
    if authority.as_str().ends_with(':') || (authority.port().is_none() && has_port(authority.as_str())) {
        return Err(wrong("the port is not a number up to 65535", "write it as \"http://host:port\""));
    }
    Ok(authority)
}

fn has_port(authority: &str) -> bool {
    let after_host = authority.rfind(']').map_or(authority, |end| &authority[end..]);
    after_host.contains(':')
}

/// The word that was most likely meant: at most half of its letters differ.
pub fn nearest<'a>(text: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let close = |word: &&str| distance(text, word) <= (word.len() / 2).max(1);
    words.filter(close).min_by_key(|word| distance(text, word))
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_read_back_as_shown() {
        for size_in_octets in [0, 1, 1023, 1024, 1 << 20, 3 << 30, (1 << 20) + 1] {
            assert_eq!(size(&show_size(size_in_octets)), Some(size_in_octets));
        }
        for millis in [0, 1, 999, 1000, 90_000, 3_600_000] {
            let time_given = Duration::from_millis(millis);
            assert_eq!(time(&show_time(time_given)), Some(time_given));
        }
    }

    #[test]
    fn odd_values_are_refused() {
        for text in ["", "MiB", "1 mb", "-1", "99999999999999GiB", "1.5MiB"] {
            assert_eq!(size(text), None, "{text}");
        }
        for text in ["", "s", "1", "1d", "-1s"] {
            assert_eq!(time(text), None, "{text}");
        }
        for text in [
            "",
            "localhost",
            "http://",
            "https://a",
            "ftp://a",
            "http://a/b",
            "http://a?b",
            "http://u@a",
            "http://a:",
            "http://a:99999",
            "http://a:b",
            "http:///x",
            "//a",
        ] {
            assert!(origin(text).is_err(), "{text}");
        }
        for text in ["http://a", "http://a/", "http://a:1", "http://[::1]:80", "http://127.0.0.1:0"] {
            assert!(origin(text).is_ok(), "{text}");
        }
    }
}
