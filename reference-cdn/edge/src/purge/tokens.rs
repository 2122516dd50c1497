//! Who may purge what: the operator everything, and customers' tokens their own content.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::config::Token;

/// Fewest characters of a token. 16 random ones are beyond guessing over a network.
const SHORTEST: usize = 16;
/// Tokens in a file. Each is compared with what a request gives.
const MOST: usize = 10_000;
/// Octets of a file.
const MOST_OCTETS: u64 = 4 << 20;

/// A token that is good for the purges of one customer's content, and nothing else.
#[derive(Clone, Debug)]
pub struct PurgeToken {
    /// For logs: who it is.
    pub name: String,
    pub customer: String,
    pub token: Token,
}

impl PurgeToken {
    /// Reads a file of tokens, one on each line: `CUSTOMER TOKEN [NAME]`. Empty lines and those that begin with `#` say
    /// nothing.
    ///
    /// # Errors
    /// What is wrong, and in which line; never the token.
    pub fn parse(text: &str) -> Result<Vec<Self>, String> {
        let mut tokens: Vec<Self> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let wrong = |what: &str| Err(format!("line {}: {what}", number + 1));
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            let (customer, token, name) = match words.as_slice() {
                [customer, token] => (*customer, *token, *customer),
                [customer, token, name] => (*customer, *token, *name),
                _ => {
                    return wrong(
                        "a customer, its token and perhaps a name for logs are expected, with spaces between them",
                    );
                }
            };
            if token.len() < SHORTEST || !token.bytes().all(|octet| octet.is_ascii_graphic()) {
                return wrong(&format!("a token has {SHORTEST} or more visible ASCII characters"));
            }
            if tokens.iter().any(|other| other.token.matches(token.as_bytes())) {
                return wrong("the token is that of another line; give each customer its own");
            }
            if tokens.len() == MOST {
                return wrong(&format!("more than {MOST} tokens"));
            }
            let (name, customer) = (format!("{customer}/{name}"), customer.to_owned());
            tokens.push(Self { name, customer, token: Token::new(token) });
        }
        Ok(tokens)
    }

    /// Reads such a file. `known`: whether there is a customer of this name.
    ///
    /// # Errors
    /// What is wrong, and where; never the token.
    pub fn read(path: &Path, known: impl Fn(&str) -> bool) -> Result<Vec<Self>, TokenFileError> {
        let failed = |source| TokenFileError::Read { path: path.to_owned(), source };
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(MOST_OCTETS + 1).read_to_string(&mut text).map_err(failed)?;
        let malformed = |what| TokenFileError::Malformed { path: path.to_owned(), what };
        if text.len() as u64 > MOST_OCTETS {
            return Err(malformed(format!("it is larger than {MOST_OCTETS} octets")));
        }
        let tokens = Self::parse(&text).map_err(malformed)?;
        match tokens.iter().find(|token| !known(&token.customer)) {
            Some(token) => {
                Err(TokenFileError::Stranger { path: path.to_owned(), customer: token.customer.clone() })
            }
            None => Ok(tokens),
        }
    }
}

/// Why a file of tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    #[error("cannot read the tokens for purges in {}: {source}", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}, {what}", .path.display())]
    Malformed { path: PathBuf, what: String },
    #[error("{} has a token for the customer \"{customer}\", whom this edge does not have", .path.display())]
    Stranger { path: PathBuf, customer: String },
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// For logs.
    pub name: String,
    /// `None`: the operator, who may do anything.
    pub customer: Option<String>,
}

impl Asker {
    /// Whose purges are meant: the own ones, unless the operator says otherwise. Others' are not there for customers.
    pub(super) fn owner<'a>(&'a self, named: Option<&'a str>) -> Result<Option<&'a str>, super::Refusal> {
        match (self.customer.as_deref(), named) {
            (None, named) => Ok(named),
            (own, None) => Ok(own),
            (Some(own), Some(named)) if own == named => Ok(Some(own)),
            _ => Err(super::Refusal::Unknown),
        }
    }
}

/// All tokens.
#[derive(Debug)]
pub struct Keyring {
    admin: Token,
    customers: ArcSwap<Vec<PurgeToken>>,
    file: Option<TokenFile>,
}

/// Where customers' tokens come from.
#[derive(Debug)]
struct TokenFile {
    path: PathBuf,
    /// The customers that there are.
    customers: Vec<String>,
}

impl Keyring {
    pub fn new(admin: Token, customers: Vec<PurgeToken>) -> Self {
        Self { admin, customers: ArcSwap::from_pointee(customers), file: None }
    }

    /// Where the tokens were read, to be read again; `customers` are those that there are.
    pub fn from_file(self, path: Option<PathBuf>, customers: Vec<String>) -> Self {
        Self { file: path.map(|path| TokenFile { path, customers }), ..self }
    }

    /// Reads the file again, and says how many tokens there are. `None`: there is no file.
    ///
    /// # Errors
    /// What is wrong with it; then the tokens stay as they were.
    pub fn reload(&self) -> Option<Result<usize, TokenFileError>> {
        let TokenFile { path, customers } = self.file.as_ref()?;
        let known = |name: &str| customers.iter().any(|customer| customer == name);
        Some(PurgeToken::read(path, known).map(|tokens| {
            let count = tokens.len();
            self.customers.store(Arc::new(tokens));
            count
        }))
    }

    /// Whose token this is. Takes the same time whichever it is, and however much of it is right.
    pub fn asker(&self, token: &[u8]) -> Option<Asker> {
        let mut asker = None;
        for known in self.customers.load().iter() {
            if known.token.matches(token) {
                asker = Some(Asker { name: known.name.clone(), customer: Some(known.customer.clone()) });
            }
        }
        if self.admin.matches(token) {
            asker = Some(Asker { name: "admin".to_owned(), customer: None });
        }
        asker
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: &str = "aaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbb";

    #[test]
    fn a_file_names_customers_and_their_tokens() {
        let text = format!("# comment\n\nshop {A}\n  shop {B}\tdeploy \n");
        let tokens = PurgeToken::parse(&text).expect("valid");
        let keyring = Keyring::new(Token::new("operator-operator"), tokens);
        let asker = |token: &str| keyring.asker(token.as_bytes()).map(|it| (it.name, it.customer));
        assert_eq!(asker(A), Some(("shop/shop".into(), Some("shop".into()))));
        assert_eq!(asker(B), Some(("shop/deploy".into(), Some("shop".into()))));
        assert_eq!(asker("operator-operator"), Some(("admin".into(), None)));
        for other in ["", "a", "aaaaaaaaaaaaaaaaa", "shop", "operator-operatoR"] {
            assert_eq!(asker(other), None, "{other}");
        }
        assert!(!format!("{keyring:?}").contains("aaaa"));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_token() {
        for (text, says) in [
            ("shop", "line 1: a customer, its token"),
            ("\nshop short", "line 2: a token has 16"),
            ("shop aaaaaaaaaaaaaaaa x y", "line 1: a customer, its token"),
            ("a aaaaaaaaaaaaaaaa\nb aaaaaaaaaaaaaaaa", "line 2: the token is that of another line"),
            ("shop aaaaaaaaaaaaaaaaaé", "line 1: a token has 16"),
        ] {
            let error = PurgeToken::parse(text).expect_err(text);
            assert!(
                error.starts_with(says) && !error.contains("aaaa") && !error.contains("short"),
                "{error}"
            );
        }
    }

    #[test]
    fn the_operator_may_name_an_owner_and_customers_only_themselves() {
        let shop = Asker { name: "s".into(), customer: Some("shop".into()) };
        let admin = Asker { name: "a".into(), customer: None };
        assert_eq!(shop.owner(None).ok(), Some(Some("shop")));
        assert_eq!(shop.owner(Some("shop")).ok(), Some(Some("shop")));
        assert!(shop.owner(Some("other")).is_err());
        assert_eq!(admin.owner(None).ok(), Some(None));
        assert_eq!(admin.owner(Some("shop")).ok(), Some(Some("shop")));
    }

    proptest! {
        #[test]
        fn any_file_is_read_without_a_panic(text in "(\\PC{0,30}[ \n]){0,8}") {
            let _ = PurgeToken::parse(&text);
        }
    }
}
