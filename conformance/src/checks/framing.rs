//! The checks of the area `framing`.

use crate::check::Check;

mod absolute_form;
mod chunk_size_overflow;
mod chunked_not_last;
mod close_is_closed;
mod connection_names_length;
mod control_in_value;
mod expect_continue;
mod folded_line;
mod get_body_drained;
mod head_from_store;
mod host_missing;
mod host_twice;
mod length_and_chunked;
mod length_differs;
mod length_syntax;
mod no_http_from_origin;
mod old_client_chunked;
mod old_version_chunked;
mod pipelined_order;
mod response_length_and_chunked;
mod response_length_differs;
mod space_before_colon;
mod trailers_apart;

pub const ALL: [Check; 23] = [
    absolute_form::CHECK,
    chunk_size_overflow::CHECK,
    chunked_not_last::CHECK,
    close_is_closed::CHECK,
    connection_names_length::CHECK,
    control_in_value::CHECK,
    expect_continue::CHECK,
    folded_line::CHECK,
    get_body_drained::CHECK,
    head_from_store::CHECK,
    host_missing::CHECK,
    host_twice::CHECK,
    length_and_chunked::CHECK,
    length_differs::CHECK,
    length_syntax::CHECK,
    no_http_from_origin::CHECK,
    old_client_chunked::CHECK,
    old_version_chunked::CHECK,
    pipelined_order::CHECK,
    response_length_and_chunked::CHECK,
    response_length_differs::CHECK,
    space_before_colon::CHECK,
    trailers_apart::CHECK,
];
