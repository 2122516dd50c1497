//! Patterns of paths: `*` stands for any octets, everything else for itself.

use memchr::memmem::Finder;

/// Octets of a pattern. As long as the longest request target by default.
pub const LONGEST_PATTERN: usize = 8 * 1024;

/// The pairs of neighbouring octets of a text, in 256 bits. A pattern whose pairs are not among the text's does not match
/// it: of thousands of patterns few have to be tried. Texts so long that they have most pairs gain nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pairs([u64; 4]);

impl Pairs {
    pub fn of(text: &[u8]) -> Self {
        let mut pairs = Self::default();
        pairs.add(text);
        pairs
    }

    fn add(&mut self, text: &[u8]) {
        for pair in text.windows(2) {
            let mixed = (u32::from(pair[0]) << 8 | u32::from(pair[1])).wrapping_mul(0x9e37_79b1) >> 24;
            self.0[mixed as usize / 64] |= 1 << (mixed % 64);
        }
    }

    fn contains(&self, others: &Self) -> bool {
        self.0.iter().zip(others.0).all(|(have, need)| need & !have == 0)
    }
}

/// A pattern for the whole of a path with its query. A `?` is a question mark; the case counts, as in keys.
///
/// The parts between the stars are looked for one after the other, each as far left as it goes. That finds a match if
/// there is one, never goes back, and takes time linear in the text and the pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// Of everything between the stars.
    pairs: Pairs,
    start: Box<[u8]>,
    /// `None`: there is no star, the text must be `start`.
    rest: Option<Rest>,
}

#[derive(Clone, Debug)]
struct Rest {
    middle: Box<[Finder<'static>]>,
    end: Box<[u8]>,
}

impl Pattern {
    pub fn new(text: &str) -> Self {
        let mut pairs = Pairs::default();
        text.split('*').for_each(|part| pairs.add(part.as_bytes()));
        let Some((start, rest)) = text.split_once('*') else {
            return Self { pairs, start: text.as_bytes().into(), rest: None };
        };
        let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
        let middle = middle.split('*').filter(|part| !part.is_empty());
        let middle = middle.map(|part| Finder::new(part.as_bytes()).into_owned()).collect();
        Self {
            pairs,
            start: start.as_bytes().into(),
            rest: Some(Rest { middle, end: end.as_bytes().into() }),
        }
    }

    /// `pairs`: those of the text.
    pub fn matches(&self, text: &[u8], pairs: &Pairs) -> bool {
        pairs.contains(&self.pairs) && self.fits(text)
    }

    fn fits(&self, text: &[u8]) -> bool {
        let Some(Rest { middle, end }) = &self.rest else { return *self.start == *text };
        let Some(text) = text.strip_prefix(&*self.start) else { return false };
        let Some(mut text) = text.strip_suffix(&**end) else { return false };
        for part in middle {
            match part.find(text) {
                Some(at) => text = &text[at + part.needle().len()..],
                None => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, text: &str) -> bool {
        let (pattern, text) = (Pattern::new(pattern), text.as_bytes());
        let matches = pattern.matches(text, &Pairs::of(text));
        assert_eq!(matches, pattern.fits(text), "pairs rule out only what does not match");
        matches
    }

    #[test]
    fn a_star_is_any_octets_and_all_else_is_itself() {
        for (pattern, yes, no) in [
            ("/a", &["/a"][..], &["/a/", "/A", "/ab", "/"][..]),
            ("/a*", &["/a", "/a/", "/ab?c", "/a*"], &["/", "/b/a", "/A"]),
            ("*", &["/", "/a?b"], &[]),
            ("*.css", &["/a.css", "/a/b.css", "/.css"], &["/a.css?v=1", "/a.CSS", "/css"]),
            ("*.css*", &["/a.css", "/a.css?v=1"], &["/css"]),
            ("/a*b*c", &["/abc", "/a/b/c", "/aXbXbXc"], &["/ac", "/acb", "/abcd"]),
            ("/ab*ba", &["/abba", "/abXba"], &["/aba"]),
            ("/a**b", &["/ab", "/aXb"], &["/a"]),
            ("/a?b", &["/a?b"], &["/aXb", "/ab"]),
            ("/a?*", &["/a?", "/a?x"], &["/a"]),
            ("/*a*ab", &["/aab", "/Xaab", "/aaab"], &["/ab"]),
            ("", &[""], &["/"]),
        ] {
            for text in yes {
                assert!(matches(pattern, text), "{pattern} should match {text}");
            }
            for text in no {
                assert!(!matches(pattern, text), "{pattern} should not match {text}");
            }
        }
    }

    /// By trying everything: exponential, and obviously right.
    fn obviously(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|at| obviously(rest, &text[at..])),
            Some((first, rest)) => text.first() == Some(first) && obviously(rest, &text[1..]),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_matches_as_the_definition_says(pattern in "[abc*]{0,10}", text in "[abc]{0,12}") {
            prop_assert_eq!(
                matches(&pattern, &text),
                obviously(pattern.as_bytes(), text.as_bytes())
            );
        }
    }

    /// What makes a matcher that goes back take longer than the age of the universe.
    #[test]
    fn no_text_makes_it_slow() {
        let pattern = format!("/{}b", "*a".repeat(4000));
        let text = format!("/{}", "a".repeat(8000));
        assert!(!matches(&pattern, &text));
        let pattern = format!("/{}*b*", "*aaaaaaaa".repeat(500));
        assert!(!matches(&pattern, &text));
    }
}
