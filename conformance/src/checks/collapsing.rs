//! The checks of the area `collapsing`.

use crate::check::Check;

mod failure_reaches_all;
mod one_fetch;
mod private_not_shared;
mod slow_reader;
mod streams_to_joiners;
mod variants_not_shared;

pub const ALL: [Check; 6] = [
    failure_reaches_all::CHECK,
    one_fetch::CHECK,
    private_not_shared::CHECK,
    slow_reader::CHECK,
    streams_to_joiners::CHECK,
    variants_not_shared::CHECK,
];
