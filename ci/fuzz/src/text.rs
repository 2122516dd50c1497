//! `exchange`: escaping and its inverse, digests, times, transactions as JSON.

use exchange::{Sha256, Time, Transaction, escape, unescape};

pub(crate) fn run(input: &[u8]) {
    let escaped = escape(input);
    assert_eq!(unescape(&escaped).as_deref(), Ok(input));
    assert!(!escaped.chars().any(char::is_control), "{escaped:?}");
    let Ok(text) = std::str::from_utf8(input) else { return };
    match unescape(text) {
        // Escaping is one way to write bytes: what is read from any other way is the same bytes.
        Ok(bytes) => assert_eq!(unescape(&escape(&bytes)), Ok(bytes)),
        Err(at) => assert_eq!(input.get(at), Some(&b'\\'), "{text:?} at {at}"),
    }
    if let Ok(digest) = text.parse::<Sha256>() {
        assert_eq!(digest.to_string(), text.to_ascii_lowercase());
    }
    if let Ok(number) = text.trim().parse() {
        let (time, shown) = (Time(number), Time(number).to_string());
        assert_eq!(shown.len(), 30, "{shown}");
        assert!(time.plus(std::time::Duration::from_nanos(1)) >= time);
        assert_eq!(
            Time::new(time.seconds(), 0).seconds(),
            if number < i64::MIN + 999_999_999 { Time(i64::MIN).seconds() } else { time.seconds() }
        );
    }
    if let Ok(transaction) = serde_json::from_str::<Transaction>(text) {
        let again = serde_json::to_string(&transaction).unwrap();
        assert_eq!(serde_json::from_str::<Transaction>(&again).unwrap(), transaction);
        assert!(!transaction.name().chars().any(char::is_control));
    }
}
