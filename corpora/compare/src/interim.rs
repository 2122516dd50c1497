//! Interim (1xx) responses (RFC 9110 section 15.2).

use crate::collect::Collector;
use crate::message::{Section, plain_fields};
use crate::{CacheState, Class, hop, rules};
use exchange::Response;

/// Adds what differs between two runs of interim responses, each with the cache state of the final response.
///
/// 100 (Continue) is left out: it answers a hop's own expectation, and may be omitted (RFC 9110 section 10.1.1). Where
/// one side is a hit without any and the other is none, that is all the difference says: interim responses come from
/// the origin, and are never stored.
pub(crate) fn compare(
    out: &mut Collector<'_>,
    (left, state_left): (&[Response], CacheState),
    (right, state_right): (&[Response], CacheState),
) {
    let relayed = |interim: &'_ [Response]| interim.iter().filter(|r| r.status != 100).count();
    let (l, r) = (left.iter().filter(|r| r.status != 100), right.iter().filter(|r| r.status != 100));
    let (many_left, many_right) = (relayed(left), relayed(right));
    if many_left != many_right {
        let told = |interim: &[Response]| {
            let statuses: Vec<_> =
                interim.iter().filter(|r| r.status != 100).take(20).map(|r| r.status.to_string()).collect();
            (!statuses.is_empty()).then(|| statuses.join(", "))
        };
        let (l, r) = (told(left), told(right));
        let values = (l.as_ref().map(|v| v.as_bytes()), r.as_ref().map(|v| v.as_bytes()));
        let explanation = format!("{many_left} interim responses against {many_right}");
        let unstored =
            |many: usize, state, other| many == 0 && state == CacheState::Hit && other != CacheState::Hit;
        let stored =
            unstored(many_left, state_left, state_right) || unstored(many_right, state_right, state_left);
        let class = if stored { Class::CacheState } else { Class::Interim };
        out.add("interim", values, &rules::INTERIM, class, explanation);
        return;
    }
    for (index, (l, r)) in l.zip(r).enumerate() {
        if l.status != r.status {
            let values = (l.status.to_string(), r.status.to_string());
            let path = format!("interim[{index}].status");
            let explanation = format!("{} against {}", l.status, r.status);
            let values = (Some(values.0.as_bytes()), Some(values.1.as_bytes()));
            out.add(path, values, &rules::INTERIM, Class::Interim, explanation);
        }
        let path = format!("interim[{index}].fields");
        let section = Section { path: &path, class: Class::Interim };
        let hop: std::collections::BTreeSet<_> =
            hop::names(&l.fields).into_iter().chain(hop::names(&r.fields)).collect();
        plain_fields(out, &section, &l.fields, &r.fields, |name| hop.contains(name));
    }
}
