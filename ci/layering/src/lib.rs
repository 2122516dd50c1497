//! Checks the workspace itself: dependency direction, licences, duplicates.
