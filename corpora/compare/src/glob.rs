//! Globs: `*` stands for any run of characters, `?` for one.

/// Whether all of `text` fits `pattern`. Takes time in the product of their lengths at most.
pub(crate) fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == '?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            // Back to the last star, which takes one character more.
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    t = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    #[test]
    fn globs() {
        for (pattern, text, expected) in [
            ("fields.*", "fields.vary", true),
            ("fields.cache-control[*]", "fields.cache-control[max-age]", true),
            ("fields.set-cookie[?]", "fields.set-cookie[ab]", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("http://*/a/*.js", "http://h/a/b/c.js", true),
            ("a*b*c", "axbxbc", true),
            ("a*b*c", "axbxb", false),
        ] {
            assert_eq!(super::fits(pattern, text), expected, "{pattern} {text}");
        }
    }
}
