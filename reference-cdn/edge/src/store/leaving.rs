//! Content that is in memory for those who read it only: it left the store meanwhile, or there was no room for it.
//!
//! It takes memory and answers nobody else. So that slow clients cannot take the store's memory away by asking for much and
//! reading little, the content that left longest ago is taken from its readers while all of it together has more than a
//! quarter of the memory. Their responses end early, as those do that fall behind content that is not kept.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, Weak};

use super::accounts::Accounts;
use super::block::{BLOCK, Block, charge_of};
use super::body::Body;
use crate::sync::{Mutex, MutexGuard};

/// Looks (of [`Leaving::look`], four in a second) that readers have in any case.
const PATIENCE: u64 = 40;

/// Content up to this is not taken: that would free nothing, as all of it may be on its way to the client already.
const SMALL: u64 = 8 * BLOCK as u64;

#[derive(Debug, Default)]
pub(super) struct Leaving(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// How often this was looked at.
    looks: u64,
    /// At which look it left; the oldest first.
    bodies: VecDeque<(u64, Weak<Body>)>,
    /// Taken from their readers, and on their way to clients still.
    sending: Vec<Block>,
}

impl Leaving {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It has left the store, or passes through, and somebody may be reading it.
    pub fn add(&self, body: &Arc<Body>) {
        let mut state = self.state();
        let looks = state.looks;
        state.bodies.push_back((looks, Arc::downgrade(body)));
    }

    /// Lets go of what its readers are done with, and takes from them what is too much.
    pub fn look(&self, accounts: &Accounts) {
        let mut state = self.state();
        let state = &mut *state;
        state.looks += 1;
        state.bodies.retain(|(_, body)| body.strong_count() > 0);
        state.sending.retain(|block| {
            let sending = !block.is_unique();
            if !sending {
                accounts.freed(charge_of(block.len()));
            }
            sending
        });
        let State { looks, bodies, sending } = state;
        bodies.retain(|(left, body)| {
            if *looks - left <= PATIENCE || accounts.pinned() <= accounts.limit() / 4 {
                return true;
            }
            match body.upgrade() {
                Some(body) if body.weight() > SMALL && !body.is_held() => {
                    sending.extend(body.take_from_readers());
                    false
                }
                other => other.is_some(),
            }
        });
    }
}
