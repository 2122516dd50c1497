//! Cache directives (RFC 9111 section 5.2), as well-formed messages have them.

use crate::message::Fields;

/// What a response says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// CDN-Cache-Control is there: Cache-Control and Expires do not count (RFC 9213 section 2.2).
    pub targeted: bool,
    pub no_store: bool,
    pub no_cache: bool,
    pub private: bool,
    pub public: bool,
    pub must_revalidate: bool,
    pub proxy_revalidate: bool,
    pub must_understand: bool,
    pub max_age: Option<u64>,
    pub s_maxage: Option<u64>,
    pub stale_while_revalidate: Option<u64>,
    pub stale_if_error: Option<u64>,
}

fn members(text: &str) -> impl Iterator<Item = (&str, Option<u64>)> {
    text.split(',').map(str::trim).filter(|member| !member.is_empty()).map(|member| {
        let (name, argument) = member.split_once('=').unwrap_or((member, ""));
        (name, argument.parse().ok())
    })
}

impl Directives {
    pub fn of(head: &Fields) -> Self {
        let targeted = head.get("cdn-cache-control");
        let mut directives = Self { targeted: targeted.is_some(), ..Self::default() };
        for (name, argument) in members(targeted.or(head.get("cache-control")).unwrap_or("")) {
            match name {
                "no-store" => directives.no_store = true,
                "no-cache" => directives.no_cache = true,
                "private" => directives.private = true,
                "public" => directives.public = true,
                "must-revalidate" => directives.must_revalidate = true,
                "proxy-revalidate" => directives.proxy_revalidate = true,
                "must-understand" => directives.must_understand = true,
                "max-age" => directives.max_age = argument,
                "s-maxage" => directives.s_maxage = argument,
                "stale-while-revalidate" => directives.stale_while_revalidate = argument,
                "stale-if-error" => directives.stale_if_error = argument,
                _ => {}
            }
        }
        directives
    }
}

/// What a client wants, where clients are heard.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// There are any.
    pub any: bool,
    no_cache: bool,
    pub only_if_cached: bool,
    max_age: Option<u64>,
    min_fresh: Option<u64>,
    /// Seconds of staleness that it accepts.
    pub max_stale: Option<u64>,
}

impl Wishes {
    pub fn of(honor: bool, fields: &Fields) -> Self {
        let mut wishes = Self::default();
        let Some(text) = fields.get("cache-control").filter(|_| honor) else { return wishes };
        wishes.any = true;
        for (name, argument) in members(text) {
            match name {
                "no-cache" => wishes.no_cache = true,
                "only-if-cached" => wishes.only_if_cached = true,
                "max-age" => wishes.max_age = argument,
                "min-fresh" => wishes.min_fresh = argument,
                "max-stale" => wishes.max_stale = Some(argument.unwrap_or(u64::MAX)),
                _ => {}
            }
        }
        wishes
    }

    /// Section 5.2.1: does the client not want a stored response of this age, with so much of its lifetime left?
    pub fn refuse(&self, age: u64, left: u64, fresh: bool) -> Result<(), String> {
        if self.no_cache {
            return Err("the client wants it validated (no-cache)".into());
        }
        if self.max_age.is_some_and(|most| age > most) {
            return Err("it is older than the client wants (max-age)".into());
        }
        if self.min_fresh.is_some_and(|least| left < least) {
            return Err("it is not fresh for as long as the client wants (min-fresh)".into());
        }
        if !fresh && (self.max_age.is_some() || self.min_fresh.is_some()) && self.max_stale.is_none() {
            return Err("it is stale, which the client does not want".into());
        }
        Ok(())
    }
}
