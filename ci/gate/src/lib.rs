//! Deploy or do not deploy: one verdict from suite, replay and mirror.
