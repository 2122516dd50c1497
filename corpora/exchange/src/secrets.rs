//! Secrets of other people, kept out of what is shown.
//!
//! What counts as one: the values of the fields in [`FIELDS`] and of fields, URL parameters, form fields and JSON
//! members whose name [`is_secret_name`]; user names and passwords in URLs. Names, cookie attributes and
//! authentication schemes stay, so that a difference can still be read. Other content is shown as it is.

use crate::Sha256;
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// How secrets are shown.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Secrets {
    /// As they are.
    Shown,
    /// As `[secret]`: the same in each run, as what names a thing across runs must be.
    #[default]
    Withheld,
    /// As `[secret-3f2a9c01]`: equal secrets alike, others not. The digits are a digest keyed by these bytes, which
    /// must be drawn anew for each run and kept nowhere: without a key, short secrets could be guessed from it.
    Pseudonyms([u8; 32]),
}

/// Tells the kind, never the key.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Secrets::Shown => "Shown",
            Secrets::Withheld => "Withheld",
            Secrets::Pseudonyms(_) => "Pseudonyms(…)",
        })
    }
}

/// Fields that hold nothing but credentials, in lower case.
pub const FIELDS: [&str; 11] = [
    "authorization",
    "proxy-authorization",
    "authentication-info",
    "proxy-authentication-info",
    "cookie",
    "cookie2",
    "set-cookie",
    "set-cookie2",
    "dpop",
    "cf-access-jwt-assertion",
    "x-goog-iap-jwt-assertion",
];

/// Names that are secret as a whole, and those that are so as the last word of a longer name.
const NAMES: [&str; 9] =
    ["auth", "apikey", "accesskey", "jwt", "sid", "jsessionid", "phpsessid", "sessionid", "pwd"];
const LAST_WORDS: [&str; 8] =
    ["token", "secret", "password", "passwd", "signature", "sig", "session", "session-id"];

/// Keys of caches and protocols: no secrets.
const PUBLIC_KEYS: [&str; 7] = [
    "surrogate-key",
    "cache-key",
    "x-cache-key",
    "x-surrogate-key",
    "idempotency-key",
    "sec-websocket-key",
    "sort-key",
];

/// Authentication schemes: those of IANA's registry and a few others that are in use.
const SCHEMES: [&str; 22] = [
    "apikey",
    "aws",
    "aws4-hmac-sha256",
    "basic",
    "bearer",
    "concealed",
    "digest",
    "dpop",
    "gnap",
    "hoba",
    "mutual",
    "negotiate",
    "ntlm",
    "oauth",
    "privatetoken",
    "scram-sha-1",
    "scram-sha-256",
    "sharedkey",
    "signature",
    "token",
    "vapid",
    "key",
];

/// Whether a field, parameter or member of this name holds a secret: `api-key`, `access_token`, `clientSecret`,
/// `X-Amz-Signature`, `password`. Case does not matter, `_` and `.` are as `-`. A name that ends in `-key` is one,
/// but for keys of caches and protocols such as `Surrogate-Key` and `Idempotency-Key`.
pub fn is_secret_name(name: &[u8]) -> bool {
    if name.len() > 64 {
        return false;
    }
    let name: String = name
        .iter()
        .map(|&b| if matches!(b, b'_' | b'.') { '-' } else { char::from(b.to_ascii_lowercase()) })
        .collect();
    if FIELDS.contains(&&*name) || NAMES.contains(&&*name) {
        return true;
    }
    if name.ends_with("-key") || name.ends_with("apikey") || name.ends_with("accesskey") {
        return !PUBLIC_KEYS.contains(&&*name);
    }
    // The longer ones also without a border: accessToken, csrftoken.
    let last = |word: &&str| {
        name.strip_suffix(*word).is_some_and(|rest| {
            rest.is_empty() || rest.ends_with('-') || word.len() > 4 && *word != "session"
        })
    };
    LAST_WORDS.iter().any(last) || name.ends_with("-auth") || name.ends_with("-jwt")
}

impl Secrets {
    /// What stands for a secret. An empty value tells nothing and stays.
    pub fn value<'v>(&self, secret: &'v [u8]) -> Cow<'v, [u8]> {
        if secret.is_empty() {
            return Cow::Borrowed(secret);
        }
        match self {
            Secrets::Shown => Cow::Borrowed(secret),
            Secrets::Withheld => Cow::Borrowed(b"[secret]"),
            Secrets::Pseudonyms(key) => {
                let digest = Sha256::of(&[&key[..], secret].concat()).to_string();
                Cow::Owned(format!("[secret-{}]", &digest[..8]).into_bytes())
            }
        }
    }

    /// A field's value. Several lines are given one by one: joined, nobody can tell where a cookie ends.
    pub fn field<'v>(&self, name: &[u8], value: &'v [u8]) -> Cow<'v, [u8]> {
        if *self == Secrets::Shown {
            return Cow::Borrowed(value);
        }
        let is = |names: &[&str]| names.iter().any(|n| name.eq_ignore_ascii_case(n.as_bytes()));
        if is(&["cookie"]) {
            let pairs = value.split(|&b| b == b';').map(|pair| self.pair(pair.trim_ascii()));
            Cow::Owned(pairs.collect::<Vec<_>>().join(&b"; "[..]))
        } else if is(&["set-cookie"]) {
            let mut pieces = value.split(|&b| b == b';').map(<[u8]>::trim_ascii);
            let mut shown = vec![self.pair(pieces.next().unwrap_or_default())];
            // A further `=` may be another cookie's, where somebody joined the lines.
            let nested = |p: &[u8]| p.iter().filter(|&&b| b == b'=').count() > 1;
            shown.extend(pieces.map(|p| if nested(p) { self.pair(p) } else { p.to_vec() }));
            Cow::Owned(shown.join(&b"; "[..]))
        } else if is(&["authorization", "proxy-authorization"]) {
            let at = value.iter().position(|&b| b == b' ').unwrap_or(0);
            let (scheme, rest) = value.split_at(at);
            if !SCHEMES.iter().any(|s| scheme.eq_ignore_ascii_case(s.as_bytes())) {
                return self.value(value);
            }
            Cow::Owned([scheme, b" ", &self.value(rest.trim_ascii())].concat())
        } else if is_secret_name(name) {
            self.value(value.trim_ascii())
        } else if is(&["host"]) {
            match value.iter().rposition(|&b| b == b'@') {
                Some(at) => Cow::Owned([&self.value(&value[..at]), &value[at..]].concat()),
                None => Cow::Borrowed(value),
            }
        } else {
            self.text(value)
        }
    }

    /// `name=value` of a cookie; without `=` it is a value without a name.
    fn pair(&self, pair: &[u8]) -> Vec<u8> {
        let at = pair.iter().position(|&b| b == b'=').map_or(0, |at| at + 1);
        [&pair[..at], &self.value(pair[at..].trim_ascii())].concat()
    }

    /// Other text: a URL or target, a field's value, a body. Looks for `scheme://user:password@`, `name=value`,
    /// `"name": "value"` and lines of the form `Authorization: value`, whose names tell.
    pub fn text<'v>(&self, text: &'v [u8]) -> Cow<'v, [u8]> {
        if *self == Secrets::Shown {
            return Cow::Borrowed(text);
        }
        let mut shown: Option<Vec<u8>> = None;
        let (mut at, mut copied) = (0, 0);
        while at < text.len() {
            let found = if text[at..].starts_with(b"://") {
                let found = userinfo(text, at + 3);
                at += 3;
                found
            } else if is_name(text[at]) {
                let end = at + text[at..].iter().take_while(|&&b| is_name(b)).count();
                let found = assigned(text, at..end);
                at = end;
                found
            } else {
                at += 1;
                None
            };
            if let Some((range, field)) = found {
                let out = shown.get_or_insert_with(|| Vec::with_capacity(text.len()));
                out.extend_from_slice(&text[copied..range.start]);
                let value = &text[range.clone()];
                out.extend_from_slice(&match field {
                    Some(name) => self.field(name, value),
                    None => self.value(value),
                });
                (at, copied) = (range.end.max(at), range.end);
            }
        }
        match shown {
            None => Cow::Borrowed(text),
            Some(mut out) => {
                out.extend_from_slice(&text[copied..]);
                Cow::Owned(out)
            }
        }
    }

    /// [`Secrets::text`] of text that is printable already. What [`Secrets::Withheld`] gives for text with pseudonyms
    /// is the same in each run.
    pub fn printable(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.text(text.as_bytes())).into_owned()
    }
}

/// Where a secret is, and the field whose value it is, where it is one.
type Found<'t> = Option<(Range<usize>, Option<&'t [u8]>)>;

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

/// Ends a value in a URL, and most values in other text.
fn ends(byte: u8) -> bool {
    byte.is_ascii_whitespace()
        || byte.is_ascii_control()
        || matches!(byte, b'&' | b'#' | b'"' | b'\'' | b'<' | b'>')
}

/// User name and password, at the start of an authority.
fn userinfo(text: &[u8], start: usize) -> Found<'_> {
    let authority = text[start..].iter().take_while(|&&b| !ends(b) && !matches!(b, b'/' | b'?')).count();
    let at = text[start..start + authority].iter().rposition(|&b| b == b'@')?;
    (at > 0).then(|| (start..start + at, None))
}

/// The value that follows a name, if the name is a secret's.
fn assigned(text: &[u8], name: Range<usize>) -> Found<'_> {
    let end = name.end;
    let spaces = |from: usize| from + text[from..].iter().take_while(|&&b| b == b' ' || b == b'\t').count();
    let rest = &text[end..];
    // `%5B` and so on keep names of nested forms apart: `user[password]=`.
    let closing =
        [&b"]"[..], b"%5D", b"%5d"].into_iter().find(|c| rest.starts_with(c)).map_or(0, <[u8]>::len);
    let quoted = usize::from(rest.first() == Some(&b'"'));
    let after = spaces(end + closing.max(quoted));
    let sign = *text.get(after)?;
    let is_json = sign == b':' && quoted == 1;
    let is_line = sign == b':' && quoted == 0 && closing == 0;
    if !(sign == b'=' || is_json || is_line) || !is_secret_name(&text[name.clone()]) {
        return None;
    }
    let start = spaces(after + 1);
    if is_line {
        let field = &text[name];
        let known = FIELDS.iter().any(|f| field.eq_ignore_ascii_case(f.as_bytes())) || field.contains(&b'-');
        let length = text[start..].iter().take_while(|&&b| b != b'\r' && b != b'\n').count();
        return (known && length > 0).then(|| (start..start + length, Some(field)));
    }
    if let Some(&quote @ (b'"' | b'\'')) = text.get(start) {
        let mut length = 0;
        while let Some(&byte) = text.get(start + 1 + length)
            && byte != quote
        {
            length += 1 + usize::from(byte == b'\\');
        }
        let end = (start + 1 + length).min(text.len());
        return (length > 0).then(|| (start + 1..end, None));
    }
    let stop = |b: u8| ends(b) || is_json && matches!(b, b',' | b'}' | b']');
    let value = text[start..].iter().take_while(|&&b| !stop(b)).count();
    let trailing = text[start..start + value].iter().rev().take_while(|&&b| matches!(b, b',' | b';')).count();
    (value > trailing).then(|| (start..start + value - trailing, None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn field(name: &str, value: &str) -> String {
        String::from_utf8(Secrets::Withheld.field(name.as_bytes(), value.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn fields_keep_what_is_needed_to_read_them() {
        for (name, value, shown) in [
            ("Authorization", "Bearer abc.def", "Bearer [secret]"),
            ("proxy-authorization", "basic  YTpi", "basic [secret]"),
            ("Authorization", "abcdef", "[secret]"),
            ("Authorization", "hunter2 abc", "[secret]"),
            ("Cookie", "a=1; b=2=3; c", "a=[secret]; b=[secret]; [secret]"),
            ("Cookie", "a=; b=2", "a=; b=[secret]"),
            ("Set-Cookie", "sid=1; Path=/; Secure", "sid=[secret]; Path=/; Secure"),
            ("Set-Cookie", "a=1; Path=/, b=2; Secure", "a=[secret]; Path=[secret]; Secure"),
            (
                "set-cookie",
                "a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT",
                "a=[secret]; Expires=Wed, 21 Oct 2026 07:28:00 GMT",
            ),
            ("Authentication-Info", "nextnonce=\"1\"", "[secret]"),
            ("X-Api-Key", "k", "[secret]"),
            ("X-Auth-Token", "k", "[secret]"),
            ("X-Client-Secret", "k", "[secret]"),
            ("Surrogate-Key", "a b", "a b"),
            ("X-Cache-Key", "/a", "/a"),
            ("WWW-Authenticate", "Digest nonce=\"a\"", "Digest nonce=\"a\""),
            ("Proxy-Authenticate", "Digest nonce=\"a\"", "Digest nonce=\"a\""),
            ("Host", "u:p@h:8", "[secret]@h:8"),
            ("Cache-Control", "max-age=5", "max-age=5"),
            (
                "Location",
                "https://u:p@h/a?x=1&access_token=t#f",
                "https://[secret]@h/a?x=1&access_token=[secret]#f",
            ),
            ("Link", "</a?sig=1>; rel=next", "</a?sig=[secret]>; rel=next"),
        ] {
            assert_eq!(field(name, value), shown, "{name}: {value}");
        }
    }

    #[test]
    fn text() {
        for (text, shown) in [
            ("/a?b=c&token=t&d=e", "/a?b=c&token=[secret]&d=e"),
            ("/a;jsessionid=1?q", "/a;jsessionid=[secret]"),
            ("http://h/a@b", "http://h/a@b"),
            ("http://h?u@b", "http://h?u@b"),
            ("ftp://u@h", "ftp://[secret]@h"),
            (
                "user=a&password=p&user[password]=q&x=1",
                "user=a&password=[secret]&user[password]=[secret]&x=1",
            ),
            ("user%5Bpassword%5D=q&x=1", "user%5Bpassword%5D=[secret]&x=1"),
            (r#"{"accessToken": "a\"b", "n": 1}"#, r#"{"accessToken": "[secret]", "n": 1}"#),
            (r#"{"pwd":12,"n":1}"#, r#"{"pwd":[secret],"n":1}"#),
            (
                "TRACE / HTTP/1.1\r\nCookie: a=1\r\nAccept: b",
                "TRACE / HTTP/1.1\r\nCookie: a=[secret]\r\nAccept: b",
            ),
            ("token", "token"),
            ("token=", "token="),
            ("?key=1&cachekey=2&sortsig=3", "?key=1&cachekey=2&sortsig=3"),
        ] {
            assert_eq!(Secrets::Withheld.printable(text), shown);
            assert_eq!(Secrets::Shown.printable(text), text);
        }
    }

    #[test]
    fn equality_is_kept_within_a_run() {
        let (one, other) = (Secrets::Pseudonyms([1; 32]), Secrets::Pseudonyms([2; 32]));
        let a = one.value(b"a");
        assert_eq!(a.len(), "[secret-01234567]".len());
        assert_eq!(a, one.value(b"a"));
        assert_ne!(a, one.value(b"b"));
        assert_ne!(a, other.value(b"a"));
        let url = |secrets: &Secrets| secrets.printable("http://u@h/?token=t");
        assert_ne!(url(&one), url(&other));
        assert_eq!(Secrets::Withheld.printable(&url(&one)), "http://[secret]@h/?token=[secret]");
        // The same secret is known again wherever it stands.
        let cookie = String::from_utf8(one.field(b"Cookie", b"x=a").into_owned()).unwrap();
        assert_eq!(cookie, format!("x={}", String::from_utf8_lossy(&a)));
        assert!(!format!("{one:?}").contains('1'));
    }

    proptest! {
        #[test]
        fn nothing_of_a_secret_remains(
            before in "[ -~\n]{0,20}[ ?&;]",
            name in prop::sample::select(vec!["token", "x-api-key", "client_secret", "Password", "sig"]),
            after in "[ &#\n\"'<>][ -~]{0,20}",
        ) {
            let text = format!("{before}{name}=hunter2~{after}");
            let shown = Secrets::Pseudonyms([7; 32]).printable(&text);
            prop_assert!(!shown.contains("hunter2"), "{shown}");
        }

        #[test]
        fn any_bytes_are_read(text: Vec<u8>, name: Vec<u8>) {
            let secrets = Secrets::Withheld;
            secrets.field(&name, &text);
            secrets.field(b"cookie", &text);
            secrets.field(b"set-cookie", &text);
            prop_assert_eq!(Secrets::Shown.text(&text), &text[..]);
        }
    }
}
