//! The checks of the area `integrity`.

use crate::check::Check;

mod body_bytes;
mod chunked_cut_stored;
mod chunked_cut_told;
mod content_coding;
mod encoded_slash_in_key;
mod forwarded_host;
mod head_then_get;
mod host_in_key;
mod length_cut_stored;
mod length_cut_told;
mod path_case_in_key;
mod query_in_key;
mod reset_stored;
mod static_looking_private;
mod unsafe_invalidates;
mod unsafe_other_host;

pub const ALL: [Check; 16] = [
    body_bytes::CHECK,
    chunked_cut_stored::CHECK,
    chunked_cut_told::CHECK,
    content_coding::CHECK,
    encoded_slash_in_key::CHECK,
    forwarded_host::CHECK,
    head_then_get::CHECK,
    host_in_key::CHECK,
    length_cut_stored::CHECK,
    length_cut_told::CHECK,
    path_case_in_key::CHECK,
    query_in_key::CHECK,
    reset_stored::CHECK,
    static_looking_private::CHECK,
    unsafe_invalidates::CHECK,
    unsafe_other_host::CHECK,
];
