//! The checks of the area `ranges`.

use crate::check::Check;

mod if_range_other;
mod if_range_weak;
mod out_of_bounds;
mod overlapping_many;
mod part_as_whole;
mod part_of_stored;
mod two_versions;

pub const ALL: [Check; 7] = [
    if_range_other::CHECK,
    if_range_weak::CHECK,
    out_of_bounds::CHECK,
    overlapping_many::CHECK,
    part_as_whole::CHECK,
    part_of_stored::CHECK,
    two_versions::CHECK,
];
