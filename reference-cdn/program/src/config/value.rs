//! Values as people write them: sizes, times, addresses, URLs.

use std::net::SocketAddr;
use std::time::Duration;

use edge::{Host, Prefix, PrefixError};
use http::Uri;
use http::uri::Authority;

/// A value from a file or a flag.
#[derive(Clone, Copy, Debug)]
pub enum Given<'a> {
    Text(&'a str),
    Integer(i64),
    List(&'a [&'a str]),
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

/// What a field takes, and where in a `D` it puts it.
pub enum Kind<D> {
    /// Octets: a number, or one with KiB, MiB or GiB.
    Size {
        least: u64,
        most: u64,
        set: fn(&mut D, u64),
    },
    Count {
        least: u64,
        most: u64,
        set: fn(&mut D, u64),
    },
    /// A number with ms, s, m or h.
    Time {
        least: Duration,
        most: Duration,
        set: fn(&mut D, Duration),
    },
    /// One of these words.
    Choice {
        words: &'static [&'static str],
        set: fn(&mut D, usize),
    },
    /// Texts, by the form of one.
    List {
        form: &'static str,
        set: fn(&mut D, &[&str]) -> Result<(), Wrong>,
    },
    /// Other text, by its form.
    Text {
        form: &'static str,
        set: fn(&mut D, &str) -> Result<(), Wrong>,
    },
}

impl<D> Clone for Kind<D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D> Copy for Kind<D> {}

impl<D> Kind<D> {
    /// Checks a value and puts it in its place.
    ///
    /// # Errors
    /// When it does not suit.
    pub fn set(&self, draft: &mut D, given: Given<'_>) -> Result<(), Wrong> {
        let form = self.form();
        let unsuited = |what: String| Wrong::new(format!("expected {form}, found {what}"));
        match (self, given) {
            (_, Given::Other(kind)) => Err(unsuited(format!("a value of type {kind}"))),
            (Self::Size { least, most, set }, given) => {
                let size = match given {
                    Given::Integer(size) => u64::try_from(size).ok(),
                    Given::Text(text) => size(text),
                    Given::List(_) | Given::Other(_) => None,
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
                    Given::List(_) | Given::Other(_) => None,
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
            (Self::List { set, .. }, Given::List(texts)) => set(draft, texts),
            (Self::List { .. }, Given::Text(text)) => {
                Err(unsuited(shown(given)).hint(format!("write it as [\"{text}\"]")))
            }
            (Self::Choice { .. } | Self::List { .. } | Self::Text { .. } | Self::Time { .. }, _) => {
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
            Self::List { form, .. } => format!("a list of {form}"),
            Self::Text { form, .. } => (*form).into(),
        }
    }

    /// The range of values, where there is one.
    pub fn range(&self) -> Option<String> {
        match self {
            Self::Size { least, most, .. } => Some(format!("{} to {}", show_size(*least), show_size(*most))),
            Self::Count { least, most, .. } => Some(format!("{least} to {most}")),
            Self::Time { least, most, .. } => Some(format!("{} to {}", show_time(*least), show_time(*most))),
            Self::Choice { .. } | Self::List { .. } | Self::Text { .. } => None,
        }
    }
}

fn shown(given: Given<'_>) -> String {
    match given {
        Given::Text(text) => format!("\"{text}\""),
        Given::Integer(number) => number.to_string(),
        Given::List(_) => "a list".to_owned(),
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

/// `ADDRESS:PORT` of somebody else, to send to.
pub fn peer(text: &str) -> Result<SocketAddr, Wrong> {
    let wrong = |hint: &str| Err(Wrong::new(format!("\"{text}\" is not an address to send to")).hint(hint));
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() == 0 || address.ip().is_unspecified() => wrong(
            "name the port and address that the mapper takes load reports at (its load.listen), such as \"192.0.2.1:5301\"",
        ),
        Ok(address) => Ok(address),
        Err(_) => wrong(
            "an IP address and a port, such as \"192.0.2.1:5301\", \"[2001:db8::1]:5301\"; a name is not looked up",
        ),
    }
}

/// A host name without port, or `*.` and a domain.
pub fn host(text: &str) -> Result<Host, Wrong> {
    let (name, under) = text.strip_prefix("*.").map_or((text, false), |domain| (domain, true));
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let valid = name.parse::<Authority>().is_ok_and(|authority| authority.host() == name);
    if !valid || name.len() > 253 || name.contains('*') || (under && name.starts_with('[')) {
        return Err(Wrong::new(format!("\"{text}\" is not a host")).hint(
            "a name without port, such as \"www.example.com\", or \"*.example.com\" for all names below it",
        ));
    }
    Ok(if under { Host::Under(name) } else { Host::Exact(name) })
}

/// An address, or an address and a number of bits.
pub fn prefix(text: &str) -> Result<Prefix, Wrong> {
    text.parse().map_err(|error: PrefixError| {
        let wrong = Wrong::new(format!("\"{text}\" is not a prefix: {error}"));
        match error {
            PrefixError::Beyond(prefix) => wrong.hint(format!("did you mean \"{prefix}\"?")),
            _ => wrong.hint("write it as \"10.0.0.0/8\", \"2001:db8::/32\", or a single address"),
        }
    })
}

/// Where an origin is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginUrl {
    pub https: bool,
    pub authority: Authority,
}

/// `http://HOST[:PORT]` or `https://HOST[:PORT]`, nothing more.
pub fn origin(text: &str) -> Result<OriginUrl, Wrong> {
    let wrong = |why: &str, hint: &str| {
        Wrong::new(format!("\"{text}\" is not an origin: {why}")).hint(hint.to_owned())
    };
    let uri: Uri =
        text.parse().map_err(|error| wrong(&format!("{error}"), "write it as \"http://host:port\""))?;
    let https = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        Some(_) => return Err(wrong("unknown scheme", "write it as \"http://host:port\"")),
        None => return Err(wrong("no scheme", "write it as \"http://host:port\"")),
    };
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
    Ok(OriginUrl { https, authority })
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
    fn hosts_are_names_in_lower_case() {
        let exact = |name: &str| Ok(Host::Exact(name.into()));
        assert_eq!(host("WWW.Example.com."), exact("www.example.com"));
        assert_eq!(host("127.0.0.1"), exact("127.0.0.1"));
        assert_eq!(host("[::1]"), exact("[::1]"));
        assert_eq!(host("*.Example.com"), Ok(Host::Under("example.com".into())));
        for text in ["", "*", "*.", "a:80", "a b", "u@a", "a/b", "*a.test", "a.*.test", "*.[::1]", "http://a"]
        {
            assert!(host(text).is_err(), "{text}");
        }
    }

    #[test]
    fn whom_to_send_to_is_not_where_to_listen() {
        assert_eq!(peer("192.0.2.1:5301").map(|it| it.port()), Ok(5301));
        for text in ["x:1", "192.0.2.1", ":5301", "192.0.2.1:0", "0.0.0.0:5301", "[::]:1"] {
            let wrong = peer(text).expect_err(text);
            assert_eq!(wrong.message, format!("\"{text}\" is not an address to send to"));
            assert!(wrong.hint.is_some_and(|hint| !hint.contains("listen on")), "{text}");
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
            "https://",
            "https://a/b",
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
        for text in
            ["http://a", "http://a/", "http://a:1", "http://[::1]:80", "http://127.0.0.1:0", "https://a"]
        {
            let origin = origin(text).unwrap_or_else(|wrong| panic!("{text}: {wrong:?}"));
            assert_eq!(origin.https, text.starts_with("https"), "{text}");
        }
    }
}
