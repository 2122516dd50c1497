//! What is believed of what probes bring, and told the keeper of maps.

use std::collections::{HashMap, HashSet};

use tokio::sync::mpsc;

use super::super::keeper::Order;
use super::download::Outcome;
use crate::network::Family;

/// When more than so many thousandths of the servers that are asked over both families fail over one and not over the other, the way of
/// that family from here is taken to be broken. Where it really is broken at all of them, they are named all the same, and clients have
/// to turn to the other family: better than to name nobody.
const MOST_FAILED: usize = 800;

/// A server, and at which of its addresses it is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Asked {
    pub(super) server: String,
    pub(super) family: Family,
}

/// What a round over one family has shown so far of servers that are asked over both.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Doubt {
    pub(super) asked: usize,
    /// Those that do well over this family, or failed over the other when last asked.
    against: usize,
}

impl Doubt {
    /// Whether the way of the family may be what is broken. While some have not been heard of, these may yet fail; that it may not be
    /// stays so for the round.
    fn possible(self) -> bool {
        let failed = self.asked.saturating_sub(self.against);
        failed > 1 && failed * 1000 > self.asked * MOST_FAILED
    }
}

/// What is known of a round that is under way.
#[derive(Debug, Default)]
pub(super) struct Round {
    pub(super) doubt: Doubt,
    /// Failures that are not told while they may be of the way from here.
    held: Vec<(Asked, String)>,
    no_way: bool,
}

/// What came of the last probes.
pub(super) struct Known {
    kind: usize,
    orders: mpsc::Sender<Order>,
    /// Also what is not believed: it is what the other family is compared with.
    last: HashMap<Asked, Outcome>,
    /// As the keeper was told, so that a change is logged once.
    succeeded: HashMap<Asked, bool>,
    doubtful: [bool; 2],
    no_way: [bool; 2],
}

impl Known {
    pub(super) fn new(kind: usize, orders: mpsc::Sender<Order>) -> Self {
        let (last, succeeded) = (HashMap::new(), HashMap::new());
        Self { kind, orders, last, succeeded, doubtful: [false; 2], no_way: [false; 2] }
    }

    /// Families are counted apart, as kinds of probes are.
    fn kind(&self, family: Family) -> usize {
        self.kind * Family::ALL.len() + family as usize
    }

    /// Takes what came of one probe, and tells the keeper what is certain; none if there is no keeper any more.
    pub(super) async fn take(
        &mut self,
        round: &mut Round,
        asked: Asked,
        both: bool,
        outcome: Outcome,
    ) -> Option<()> {
        self.last.insert(asked.clone(), outcome.clone());
        let other = Asked { server: asked.server.clone(), family: asked.family.other() };
        // One that was not asked over the other family yet may do well there.
        let over_other = self.last.get(&other).filter(|_| both);
        let comparable = both && outcome != Outcome::NoWay && over_other != Some(&Outcome::NoWay);
        round.doubt.asked -= usize::from(both && !comparable);
        let failed_at_both = matches!(over_other, Some(Outcome::Wrong(_)));
        round.doubt.against += usize::from(comparable && (outcome == Outcome::Right || failed_at_both));
        match outcome {
            Outcome::Right => self.tell(asked, Ok(())).await?,
            Outcome::Wrong(why) if comparable => round.held.push((asked, why)),
            Outcome::Wrong(why) => self.tell(asked, Err(why)).await?,
            Outcome::NoWay => {
                round.no_way = true;
                self.forget(asked).await?;
            }
        }
        if !round.doubt.possible() {
            for (asked, why) in std::mem::take(&mut round.held) {
                self.tell(asked, Err(why)).await?;
            }
        }
        Some(())
    }

    /// Tells the keeper; none if there is no keeper any more.
    async fn tell(&mut self, asked: Asked, outcome: Result<(), String>) -> Option<()> {
        let succeeded = outcome.is_ok();
        let (kind, server) = (self.kind(asked.family), asked.server.clone());
        let family = asked.family.name();
        if self.succeeded.insert(asked, succeeded).unwrap_or(true) != succeeded {
            match outcome {
                Ok(()) => tracing::info!(server, "the probe over {family} succeeds again"),
                Err(why) => tracing::warn!(server, "the probe over {family} fails: {why}"),
            }
        }
        self.orders.send(Order::Probed { server, kind, succeeded }).await.ok()
    }

    /// Notes whether a family cannot be believed, or not be asked.
    pub(super) fn end_round(&mut self, family: Family, round: &Round) {
        let (at, name) = (family as usize, family.name());
        let doubtful = round.doubt.possible();
        match (self.doubtful[at], doubtful) {
            (false, true) => tracing::warn!(
                "probes over {name} fail at nearly all servers that have both families, and others do not: they are not believed; is \
                 {name} broken here, or at all servers?"
            ),
            (true, false) => tracing::info!("probes over {name} are believed again"),
            _ => {}
        }
        if round.no_way && !self.no_way[at] {
            tracing::warn!(
                "this machine has no way to some servers over {name}: whether they answer there is not known; give it {name}"
            );
        }
        (self.doubtful[at], self.no_way[at]) = (doubtful, round.no_way);
    }

    /// Takes back what is known of addresses that are not asked any more.
    pub(super) async fn forget_but(&mut self, family: Family, servers: &HashSet<String>) -> Option<()> {
        let kept = |asked: &Asked| asked.family != family || servers.contains(&asked.server);
        self.last.retain(|asked, _| kept(asked));
        let gone: Vec<Asked> = self.succeeded.keys().filter(|asked| !kept(asked)).cloned().collect();
        for asked in gone {
            self.forget(asked).await?;
        }
        Some(())
    }

    /// Takes back what the keeper was told of an address, if it was told anything.
    async fn forget(&mut self, asked: Asked) -> Option<()> {
        if self.succeeded.remove(&asked).is_some() {
            let kind = self.kind(asked.family);
            self.orders.send(Order::Unprobed { server: asked.server, kind }).await.ok()?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// What the keeper is told of a round over IPv6, at servers of which each has an outcome over IPv4 (or has no such address).
    async fn told(servers: &[(Option<Outcome>, Outcome)]) -> Vec<(usize, bool)> {
        let (orders, mut inbox) = mpsc::channel(100);
        let mut known = Known::new(0, orders);
        let both = servers.iter().filter(|(v4, _)| v4.is_some()).count();
        let mut round = Round { doubt: Doubt { asked: both, against: 0 }, ..Round::default() };
        for (at, (v4, v6)) in servers.iter().enumerate() {
            let asked = |family| Asked { server: at.to_string(), family };
            if let Some(v4) = v4 {
                known.last.insert(asked(Family::V4), v4.clone());
            }
            known.take(&mut round, asked(Family::V6), v4.is_some(), v6.clone()).await.unwrap();
        }
        known.end_round(Family::V6, &round);
        assert_eq!(known.doubtful[1], !round.held.is_empty());
        let mut told = Vec::new();
        while let Ok(order) = inbox.try_recv() {
            let Order::Probed { server, kind: 1, succeeded } = order else { panic!("{order:?}") };
            told.push((server.parse().unwrap(), succeeded));
        }
        told.sort_unstable();
        told
    }

    #[tokio::test]
    async fn a_family_that_fails_where_the_other_does_not_is_a_fault_of_the_way() {
        let (right, wrong) = (Outcome::Right, Outcome::Wrong("dead".into()));
        let both = |v4: &Outcome, v6: &Outcome| (Some(v4.clone()), v6.clone());
        assert_eq!(told(&vec![both(&right, &wrong); 9]).await, []);
        // One server alone may well have lost it.
        assert_eq!(told(&[both(&right, &wrong)]).await, [(0, false)]);
        // Where both fail, servers are down.
        assert_eq!(told(&vec![both(&wrong, &wrong); 9]).await.len(), 9);
        // Enough of them do well over this family.
        let some = [vec![both(&right, &wrong); 7], vec![both(&right, &right); 2]].concat();
        assert_eq!(told(&some).await.len(), 9);
        let one = [vec![both(&right, &wrong); 8], vec![both(&right, &right)]].concat();
        assert_eq!(told(&one).await, [(8, true)]);
        // Of what cannot be compared nothing is doubted.
        assert_eq!(told(&vec![both(&Outcome::NoWay, &wrong); 9]).await.len(), 9);
    }

    #[tokio::test]
    async fn servers_of_one_family_that_are_down_are_not_excused_by_one_that_has_both() {
        let (right, wrong) = (Outcome::Right, Outcome::Wrong("dead".into()));
        let mut servers = vec![(None, wrong.clone()); 5];
        servers.push((Some(right), wrong));
        assert_eq!(told(&servers).await.len(), 6);
    }

    #[tokio::test]
    async fn failures_are_told_as_soon_as_they_cannot_be_of_the_way() {
        let (orders, mut inbox) = mpsc::channel(100);
        let mut known = Known::new(0, orders);
        let mut round = Round { doubt: Doubt { asked: 10, against: 0 }, ..Round::default() };
        let asked = |server: &str| Asked { server: server.into(), family: Family::V4 };
        let wrong = || Outcome::Wrong("dead".into());
        known.take(&mut round, asked("single"), false, wrong()).await.unwrap();
        assert!(matches!(inbox.try_recv(), Ok(Order::Probed { succeeded: false, .. })));
        known.take(&mut round, asked("a"), true, wrong()).await.unwrap();
        known.take(&mut round, asked("b"), true, Outcome::Right).await.unwrap();
        assert!(matches!(inbox.try_recv(), Ok(Order::Probed { succeeded: true, .. })));
        assert!(inbox.try_recv().is_err(), "nine of ten may yet fail");
        known.take(&mut round, asked("c"), true, Outcome::Right).await.unwrap();
        assert!(matches!(inbox.try_recv(), Ok(Order::Probed { succeeded: true, .. })));
        assert!(matches!(inbox.try_recv(), Ok(Order::Probed { succeeded: false, .. })), "seven are to come");
    }

    #[tokio::test]
    async fn a_failure_is_taken_back_when_there_is_no_way_to_ask_any_more() {
        let (orders, mut inbox) = mpsc::channel(100);
        let mut known = Known::new(3, orders);
        let asked = Asked { server: "a".into(), family: Family::V6 };
        for outcome in [Outcome::Wrong("dead".into()), Outcome::NoWay, Outcome::NoWay] {
            let mut round = Round::default();
            known.take(&mut round, asked.clone(), false, outcome).await.unwrap();
        }
        assert!(matches!(inbox.try_recv(), Ok(Order::Probed { kind: 7, succeeded: false, .. })));
        assert!(matches!(inbox.try_recv(), Ok(Order::Unprobed { kind: 7, server }) if server == "a"));
        assert!(inbox.try_recv().is_err() && known.succeeded.is_empty());
    }
}
