//! The checks of the area `limits`.

use crate::check::Check;

mod failure_not_kept;
mod loop_noticed;
mod oversized_request_stored;
mod oversized_response_head;
mod refusal_stored;

pub const ALL: [Check; 5] = [
    failure_not_kept::CHECK,
    loop_noticed::CHECK,
    oversized_request_stored::CHECK,
    oversized_response_head::CHECK,
    refusal_stored::CHECK,
];
