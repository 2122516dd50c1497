//! Patterns that choose transactions.

/// `*` stands for any run of characters, `?` for one. Matched against `METHOD http://host/path` and against the URL
/// alone; all of it has to fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    pub fn new(pattern: impl Into<String>) -> Self {
        Glob(pattern.into())
    }

    /// `name`: as [`exchange::Transaction::name`] gives it.
    pub fn fits(&self, name: &str) -> bool {
        let url = name.split_once(' ').map_or(name, |(_, url)| url);
        fits(self.0.as_bytes(), name.as_bytes()) || fits(self.0.as_bytes(), url.as_bytes())
    }
}

impl std::fmt::Display for Glob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Takes time in the order of the product of both lengths, whatever the pattern.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where the last star is, and how much of the text it has taken.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(b'?') => (p, t) = (p + 1, t + 1),
            Some(c) if *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match &mut star {
                Some((at, taken)) => {
                    *taken += 1;
                    (p, t) = (*at + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::Glob;

    #[test]
    fn patterns() {
        let name = "GET http://a.test/x/y.css?v=1";
        for (pattern, expected) in [
            ("*", true),
            ("*.css*", true),
            ("GET *", true),
            ("POST *", false),
            ("http://a.test/*", true),
            ("http://a.test/", false),
            ("*/?/y.css?v=1", true),
            ("*v=1*****", true),
            ("", false),
            ("*a*a*a*a*a*a*a*a*b", false),
        ] {
            assert_eq!(Glob::new(pattern).fits(name), expected, "{pattern}");
        }
    }
}
