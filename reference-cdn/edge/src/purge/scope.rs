//! What a purge takes.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Octets of a host in a purge; names in the DNS are shorter.
pub const LONGEST_HOST: usize = 255;

/// Whose content, and what of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// `None`: that of every customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    pub what: What,
}

/// Names as they are in keys: schemes and hosts in lower case, default ports left out, paths as clients send them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    Everything,
    /// All variants of a URL. `keys` are what the decisions made of it.
    Url {
        url: String,
        keys: Vec<String>,
    },
    /// Responses with any of these tags (Surrogate-Key, Cache-Tag).
    Tags(Vec<String>),
    /// Responses of one origin in any of these groups (RFC 9875).
    Groups {
        origin: String,
        names: Vec<String>,
    },
    /// The path and what lies below it, segment by segment; after a `/`, only what lies below.
    Prefix {
        /// `None`: on every host.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        authority: Option<String>,
        path: String,
    },
    /// Paths, with their queries, that match; `*` is any octets.
    Pattern {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        authority: Option<String>,
        pattern: String,
    },
    /// A host, whatever its port; `*.host`: those below it, and not itself.
    Host(String),
}

impl Scope {
    /// How many names it has, each of which takes a place until it is complete.
    pub fn subjects(&self) -> usize {
        match &self.what {
            What::Url { keys, .. } => keys.len(),
            What::Tags(names) | What::Groups { names, .. } => names.len(),
            What::Everything | What::Prefix { .. } | What::Pattern { .. } | What::Host(_) => 1,
        }
    }

    /// How many of these are patterns.
    pub fn patterns(&self) -> usize {
        usize::from(matches!(self.what, What::Pattern { .. }))
    }

    /// A scope that takes all that this one does, and more, and needs less room: for a pattern the folder that its
    /// fixed beginning names, for all else everything of the customer. `None`: there is none.
    pub fn coarser(&self) -> Option<Self> {
        let what = match &self.what {
            What::Pattern { authority, pattern } => {
                let fixed = pattern.split_once('*').map_or(pattern.as_str(), |(fixed, _)| fixed);
                let path = fixed.split_once('?').map_or(fixed, |(path, _)| path);
                let folder = path.rfind('/').map_or("/", |end| &path[..=end]);
                What::Prefix { authority: authority.clone(), path: folder.to_owned() }
            }
            What::Everything => return None,
            _ => What::Everything,
        };
        Some(Self { customer: self.customer.clone(), what })
    }

    /// The members that tell it in answers, as they are given in orders.
    pub fn tell(&self, members: &mut Map<String, Value>) {
        let mut tell = |name: &str, value: Value| members.insert(name.to_owned(), value);
        if let Some(customer) = &self.customer {
            tell("customer", json!(customer));
        }
        let url = |authority: &Option<String>, path: &str| match authority {
            Some(authority) => json!(format!("http://{authority}{path}")),
            None => json!(path),
        };
        match &self.what {
            What::Everything if self.customer.is_some() => None,
            What::Everything => tell("all", json!(true)),
            What::Url { url, .. } => tell("url", json!(url)),
            What::Tags(names) => match names.as_slice() {
                [name] => tell("tag", json!(name)),
                names => tell("tags", json!(names)),
            },
            What::Groups { origin, names } => {
                tell("origin", json!(origin));
                match names.as_slice() {
                    [name] => tell("group", json!(name)),
                    names => tell("groups", json!(names)),
                }
            }
            What::Prefix { authority, path } => tell("prefix", url(authority, path)),
            What::Pattern { authority, pattern } => tell("pattern", url(authority, pattern)),
            What::Host(host) => tell("host", json!(host)),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(what: What) -> Scope {
        Scope { customer: Some("a".into()), what }
    }

    #[test]
    fn what_is_coarser_takes_all_that_the_finer_does() {
        let pattern = |pattern: &str| {
            let what = What::Pattern { authority: Some("h".into()), pattern: pattern.into() };
            match scope(what).coarser().expect("coarser") {
                Scope {
                    customer: Some(customer),
                    what: What::Prefix { authority: Some(authority), path },
                } => {
                    assert_eq!((customer.as_str(), authority.as_str()), ("a", "h"));
                    path
                }
                other => panic!("{other:?}"),
            }
        };
        for (given, path) in [
            ("/a/b*c", "/a/"),
            ("/a/b/", "/a/b/"),
            ("*", "/"),
            ("/*/x", "/"),
            ("/a/b?c/d*", "/a/"),
            ("/a", "/"),
        ] {
            assert_eq!(pattern(given), path, "{given}");
        }
        for what in [
            What::Tags(vec!["t".into()]),
            What::Host("h".into()),
            What::Prefix { authority: None, path: "/".into() },
        ] {
            assert_eq!(scope(what).coarser(), Some(scope(What::Everything)));
        }
        assert_eq!(scope(What::Everything).coarser(), None);
    }

    #[test]
    fn it_is_told_as_it_was_given() {
        let told = |scope: Scope| {
            let mut members = Map::new();
            scope.tell(&mut members);
            Value::Object(members).to_string()
        };
        let all = |what| told(Scope { customer: None, what });
        assert_eq!(all(What::Everything), r#"{"all":true}"#);
        assert_eq!(told(scope(What::Everything)), r#"{"customer":"a"}"#);
        assert_eq!(told(scope(What::Host("h".into()))), r#"{"customer":"a","host":"h"}"#);
        assert_eq!(all(What::Tags(vec!["t".into()])), r#"{"tag":"t"}"#);
        assert_eq!(all(What::Tags(vec!["t".into(), "u".into()])), r#"{"tags":["t","u"]}"#);
        assert_eq!(
            all(What::Groups { origin: "https://h".into(), names: vec!["g".into()] }),
            r#"{"group":"g","origin":"https://h"}"#
        );
        assert_eq!(all(What::Prefix { authority: None, path: "/a".into() }), r#"{"prefix":"/a"}"#);
        assert_eq!(
            all(What::Pattern { authority: Some("h:8080".into()), pattern: "/*".into() }),
            r#"{"pattern":"http://h:8080/*"}"#
        );
    }
}
