//! The checks of the area `headers`.

use crate::check::Check;

mod cdn_loop_kept;
mod connection_named_request;
mod connection_named_response;
mod connection_named_stored;
mod date_added;
mod hop_by_hop_request;
mod interim_not_stored;
mod interim_relayed;
mod max_forwards_zero;
mod repeated_lines_order;
mod resource_fields_unchanged;
mod set_cookie_lines;
mod unknown_request_kept;
mod unknown_response_relayed;
mod unknown_response_stored;
mod via_appended;
mod via_request;

pub const ALL: [Check; 17] = [
    cdn_loop_kept::CHECK,
    connection_named_request::CHECK,
    connection_named_response::CHECK,
    connection_named_stored::CHECK,
    date_added::CHECK,
    hop_by_hop_request::CHECK,
    interim_not_stored::CHECK,
    interim_relayed::CHECK,
    max_forwards_zero::CHECK,
    repeated_lines_order::CHECK,
    resource_fields_unchanged::CHECK,
    set_cookie_lines::CHECK,
    unknown_request_kept::CHECK,
    unknown_response_relayed::CHECK,
    unknown_response_stored::CHECK,
    via_appended::CHECK,
    via_request::CHECK,
];
