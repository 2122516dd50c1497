//! Runs the models.

use interleavings::{collapsing, disk};

#[test]
fn one_fetch_for_all() {
    collapsing::one_fetch_for_all();
}

#[test]
fn purges_hold() {
    collapsing::purges_hold();
}

#[test]
fn removals_hold() {
    disk::removals_hold();
}

#[test]
fn removals_hold_while_room_is_made() {
    disk::removals_hold_while_room_is_made();
}

#[test]
fn whoever_waits_for_a_removal_is_told() {
    disk::whoever_waits_for_a_removal_is_told();
}
