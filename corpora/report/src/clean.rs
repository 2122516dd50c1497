//! Text from anywhere, made harmless to show: nothing that moves a cursor, reorders a line or is no character in XML.

use std::fmt::Write as _;

/// One line: line ends and tabs are escaped too.
pub(crate) fn line(text: &str, max: usize) -> String {
    clean(text, max, |c| !harmful(c) && !matches!(c, '\n' | '\t'))
}

/// Several lines: line ends and tabs stay.
pub(crate) fn block(text: &str, max: usize) -> String {
    clean(text, max, |c| !harmful(c))
}

fn clean(text: &str, max: usize, stays: impl Fn(char) -> bool) -> String {
    let mut clean = String::with_capacity(text.len().min(max));
    for (at, c) in text.char_indices() {
        if clean.len() >= max {
            // Writing to a String cannot fail.
            let _ = write!(clean, "[... {} bytes more]", text.len() - at);
            break;
        }
        if stays(c) {
            clean.push(c);
        } else if u32::from(c) < 0x80 {
            let _ = write!(clean, "\\x{:02x}", u32::from(c));
        } else {
            let _ = write!(clean, "\\u{{{:x}}}", u32::from(c));
        }
    }
    clean
}

/// Control characters, what changes the direction of text, what cannot be seen, and what XML 1.0 forbids.
pub(crate) fn harmful(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => true,
        '\u{61c}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e007f}' => true,
        c => c.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_what_it_disarms() {
        assert_eq!(line("a\x1b[31m\n\u{202e}\u{9b}é", 100), "a\\x1b[31m\\x0a\\u{202e}\\u{9b}é");
        assert_eq!(block("a\n\tb\r", 100), "a\n\tb\\x0d");
        assert_eq!(block("éééé", 4), "éé[... 4 bytes more]");
    }
}
