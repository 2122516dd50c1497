//! Why requests were not compared, in words for the verdict.

use crate::ledger::State;

/// What happened to requests in this state, as in "7 of 9 requests ...", and what to do about it.
pub(crate) fn advice(state: State) -> (&'static str, &'static str) {
    match state {
        State::Same | State::Different => ("were compared", "Read the differences."),
        State::SampledOut => ("were left out by --sample", "Raise --sample."),
        State::UnsafeMethod => (
            "had a method that is not safe and were held back",
            "Give --unsafe-methods, where the candidate may carry out what they ask for.",
        ),
        State::Upgrade => {
            ("asked to leave HTTP/1.1", "Only HTTP/1.1 is compared: send some of it through the mirror.")
        }
        State::Connect => {
            ("asked for a tunnel", "Only HTTP/1.1 is compared: send some of it through the mirror.")
        }
        State::Memory => (
            "found no room in --memory for their copies",
            "Raise --memory or lower --sample; a candidate that is slow or hangs keeps copies waiting, too.",
        ),
        State::Queue => (
            "waited too long for the candidate to answer those before them",
            "Make the candidate faster, raise --candidate-connections, or lower --sample.",
        ),
        State::Judge => (
            "came faster than answers could be compared",
            "Lower --sample, or give the mirror more processor time.",
        ),
        State::RequestUnparsed => (
            "were no HTTP/1.1 as far as could be told",
            "See whether clients speak TLS or HTTP/2 to the mirror, which compares clear HTTP/1.1.",
        ),
        State::PrimaryUnparsed => (
            "got something from the primary that is no HTTP/1.1 answer",
            "See whether --primary is the right port, and speaks clear HTTP/1.1.",
        ),
        State::CandidateUnreachable => (
            "found no connection to the candidate",
            "See whether the candidate runs, and listens at the address that --candidate gives.",
        ),
        State::CandidateTimeout => (
            "timed out at the candidate",
            "See whether the candidate hangs, by asking it directly; --candidate-timeout gives it longer.",
        ),
        State::CandidateBacklog => (
            "were uploads that the candidate took slower than clients sent them",
            "Make the candidate faster, or raise --memory.",
        ),
        State::CandidateClosed => {
            ("got no answer: the candidate closed", "See the candidate's log for why it closes connections.")
        }
        State::CandidateGarbage => (
            "got something from the candidate that is no HTTP/1.1 answer",
            "See whether --candidate is the right port, and speaks clear HTTP/1.1.",
        ),
        State::CandidateTooLong => (
            "got an answer from the candidate that went on long after the primary's",
            "Ask the candidate directly, and see where its answer should have ended.",
        ),
        State::ClientGone => (
            "lost their client before the answer was whole",
            "See why clients give up: the primary may be slow.",
        ),
        State::PrimaryGone => (
            "got no whole answer from the primary",
            "See whether the primary runs, and listens at the address that --primary gives.",
        ),
        State::Shutdown => ("were under way when the mirror ended", "Give them longer with --drain."),
    }
}
