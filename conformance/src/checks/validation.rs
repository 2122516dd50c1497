//! The checks of the area `validation`.

use crate::check::Check;

mod client_condition_stored;
mod entity_tag_sent;
mod full_answer_replaces;
mod if_none_match_answered;
mod if_none_match_other;
mod if_none_match_over_date;
mod if_none_match_weak;
mod not_modified_length;
mod not_modified_unasked;
mod not_modified_updates;

pub const ALL: [Check; 10] = [
    client_condition_stored::CHECK,
    entity_tag_sent::CHECK,
    full_answer_replaces::CHECK,
    if_none_match_answered::CHECK,
    if_none_match_other::CHECK,
    if_none_match_over_date::CHECK,
    if_none_match_weak::CHECK,
    not_modified_length::CHECK,
    not_modified_unasked::CHECK,
    not_modified_updates::CHECK,
];
