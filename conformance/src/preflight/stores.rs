//! How many stores seem to be behind the candidate's address: what answers to one fresh page tell, asked for again and
//! again.

use serde::Serialize;

/// How many stores seem to be behind the candidate's address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stores {
    /// Nothing was reused, or not for long.
    #[default]
    None,
    One,
    /// A stored answer came back after another one had come: several caches share the address.
    Several,
    /// What was reused was soon fetched anew, time and again, and never came back.
    Forgetful,
}

/// Fewest answers to judge by.
const FEWEST: usize = 8;
/// Of these, fewest from a store to say that there is one.
const FEWEST_STORED: usize = 4;
/// Answers in a row that must agree once others did not. Two caches taken by lot give as many from one of them in one of
/// two thousand cases.
const SETTLED: usize = 12;
/// Most answers to judge by.
const MOST: usize = 40;

/// Answers to requests for one fresh page, each sent when the one before was answered.
///
/// One of them alone proves little. A candidate may be slow to put an answer away, so that the next request is
/// forwarded, too, and both answers come from the store in turn; or slow to note that a fetch has ended, so that the
/// next request still joins it although nothing is stored. Both pass. That an answer comes back from a store after
/// another one came does not: nobody has stored it anew.
#[derive(Debug, Default)]
pub(super) struct Answers(Vec<Given>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Given {
    /// Which of the origin's answers it is, from 1, where it shows.
    number: Option<usize>,
    from_store: bool,
}

impl Answers {
    pub(super) fn push(&mut self, number: Option<usize>, from_store: bool) {
        self.0.push(Given { number, from_store });
    }

    /// One letter for each answer: `m` reached the origin, `h` came from a store.
    pub(super) fn pattern(&self) -> String {
        self.0.iter().map(|given| if given.from_store { 'h' } else { 'm' }).collect()
    }

    /// What they tell; `None` where one more must be asked for.
    pub(super) fn verdict(&self) -> Option<Stores> {
        let given = &self.0;
        let fetched = given.iter().take_while(|one| !one.from_store).count();
        let stored = given.len() - fetched;
        if given.len() < FEWEST {
            return None;
        }
        if let Some(stores) = agreed(&given[fetched..]) {
            let enough = stored == 0 || stored >= FEWEST_STORED;
            return enough.then_some(stores);
        }
        let returns = self.returns();
        if returns > 1 {
            return Some(Stores::Several);
        }
        if let Some(stores) = agreed(&given[given.len().saturating_sub(SETTLED)..])
            && given.len() >= SETTLED
        {
            return Some(stores);
        }
        let undecided = if returns > 0 { Stores::Several } else { Stores::Forgetful };
        (given.len() >= MOST).then_some(undecided)
    }

    /// How often an answer that a store had given came from a store again right after another one.
    fn returns(&self) -> usize {
        let is_return = |at: &usize| {
            let (before, now) = (&self.0[..*at], self.0[*at]);
            now.from_store
                && now.number.is_some()
                && before.last().is_some_and(|last| last.number != now.number)
                && before.contains(&now)
        };
        (0..self.0.len()).filter(is_return).count()
    }
}

/// What answers tell that are all fetched, or all the same one from a store; `None` for others.
fn agreed(given: &[Given]) -> Option<Stores> {
    let Some(first) = given.first() else { return Some(Stores::None) };
    if given.iter().all(|one| !one.from_store) {
        Some(Stores::None)
    } else if given.iter().all(|one| one == first) {
        Some(Stores::One)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    /// Answers until there is a verdict: one word each, `m` for a fetch, `h3` for the third answer from a store. The last
    /// word is repeated.
    fn check(answers: &str, expected: (Stores, usize)) {
        let mut given = Answers::default();
        let mut fetched = 0;
        let last = answers.split(' ').next_back();
        for word in answers.split(' ').chain(last.into_iter().cycle()) {
            match word.strip_prefix('h') {
                Some(number) => given.push(number.parse().ok(), true),
                None => {
                    fetched += 1;
                    given.push(Some(fetched), false);
                }
            }
            if let Some(stores) = given.verdict() {
                assert_eq!((stores, given.0.len()), expected, "{answers}");
                return;
            }
        }
    }

    #[test]
    fn what_is_clear_takes_eight_answers() {
        check("m h1", (Stores::One, 8));
        check("m m h1", (Stores::One, 8));
        check("m m h2", (Stores::One, 8));
        check("m", (Stores::None, 8));
    }

    #[test]
    fn a_slow_candidate_is_no_group_of_caches() {
        // Puts answers away late: two are fetched, and stored one after the other.
        check("m m h1 h2", (Stores::One, 15));
        check("m m m h1 h2 h2 h3", (Stores::One, 18));
        check("m m m m m m m h1", (Stores::One, 11));
        // Notes late that a fetch has ended.
        check("m h1 m", (Stores::None, 14));
        check("m m m m h4 m", (Stores::None, 17));
        check("m h1 h1 m m h3 m", (Stores::None, 18));
        // Both.
        check("m h1 m h1 h2", (Stores::One, 16));
    }

    #[test]
    fn caches_that_share_an_address_are_told_by_what_comes_back() {
        check("m m h1 h2 h1 h2 h1 h2", (Stores::Several, 8));
        check("m h1 m h1 m h1 m h1", (Stores::Several, 8));
        check("m m m m h1 h2 h3 h4 h1 h2 h3 h4", (Stores::Several, 10));
        check("m h1 h1 h1 h1 m h1 h2 h1 h2", (Stores::Several, 9));
    }

    #[test]
    fn a_store_that_forgets_is_no_group_either() {
        let answers: Vec<String> = (1..=20).map(|number| format!("m h{number}")).collect();
        check(&answers.join(" "), (Stores::Forgetful, MOST));
    }

    proptest! {
        #[test]
        fn any_answers_end_in_a_verdict(given in vec((option::of(1_usize..5), any::<bool>()), MOST)) {
            let mut answers = Answers::default();
            let verdict = given.into_iter().find_map(|(number, from_store)| {
                answers.push(number, from_store);
                answers.verdict()
            });
            prop_assert!(verdict.is_some());
        }
    }
}
