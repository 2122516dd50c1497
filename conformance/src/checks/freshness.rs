//! The checks of the area `freshness`.

use crate::check::Check;

mod age_counts;
mod age_on_hit;
mod age_received_added;
mod age_received_stale;
mod apparent_age;
mod authorization;
mod cdn_cache_control;
mod directive_case;
mod duplicate_directive;
mod expires_against_date;
mod expires_invalid;
mod invalid_max_age;
mod max_age_elapses;
mod max_age_over_expires;
mod must_revalidate;
mod must_understand;
mod no_cache;
mod no_cache_fields;
mod no_store;
mod only_if_cached;
mod private;
mod quoted_argument;
mod request_no_cache;
mod s_maxage_first;
mod several_lines;
mod stale_if_error;
mod stale_while_revalidate;
mod stored_response_reused;
mod unknown_status_heuristic;

pub const ALL: [Check; 29] = [
    age_counts::CHECK,
    age_on_hit::CHECK,
    age_received_added::CHECK,
    age_received_stale::CHECK,
    apparent_age::CHECK,
    authorization::CHECK,
    cdn_cache_control::CHECK,
    directive_case::CHECK,
    duplicate_directive::CHECK,
    expires_against_date::CHECK,
    expires_invalid::CHECK,
    invalid_max_age::CHECK,
    max_age_elapses::CHECK,
    max_age_over_expires::CHECK,
    must_revalidate::CHECK,
    must_understand::CHECK,
    no_cache::CHECK,
    no_cache_fields::CHECK,
    no_store::CHECK,
    only_if_cached::CHECK,
    private::CHECK,
    quoted_argument::CHECK,
    request_no_cache::CHECK,
    s_maxage_first::CHECK,
    several_lines::CHECK,
    stale_if_error::CHECK,
    stale_while_revalidate::CHECK,
    stored_response_reused::CHECK,
    unknown_status_heuristic::CHECK,
];
