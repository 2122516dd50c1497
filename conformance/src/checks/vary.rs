//! The checks of the area `vary`.

use crate::check::Check;

mod absent_field;
mod each_its_own;
mod long_list;
mod selecting_fields;
mod several_lines;
mod star;

pub const ALL: [Check; 6] = [
    absent_field::CHECK,
    each_its_own::CHECK,
    long_list::CHECK,
    selecting_fields::CHECK,
    several_lines::CHECK,
    star::CHECK,
];
