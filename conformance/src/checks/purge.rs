//! The checks of the area `purge`.

use crate::check::Check;

mod absent;
mod all_connections;
mod fetch_under_way;
mod head_too;
mod needs_authority;
mod other_host_stays;
mod path_below_stays;
mod query_stays;
mod removes;
mod stored_again;
mod validation_under_way;
mod variants;

pub const ALL: [Check; 12] = [
    absent::CHECK,
    all_connections::CHECK,
    fetch_under_way::CHECK,
    head_too::CHECK,
    needs_authority::CHECK,
    other_host_stays::CHECK,
    path_below_stays::CHECK,
    query_stays::CHECK,
    removes::CHECK,
    stored_again::CHECK,
    validation_under_way::CHECK,
    variants::CHECK,
];
