//! Fields that concern one connection (RFC 9110 section 7.6.1): they end at the next hop.

use crate::collect::Collector;
use crate::{Class, rules};
use exchange::Fields;
use std::collections::BTreeSet;

/// Hop-by-hop by definition, whether or not `Connection` names them. `Trailer` is not among them: RFC 9110 made it
/// end to end, and says so by leaving it out of section 7.6.1.
const ALWAYS: [&str; 6] =
    ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"];

/// Of those, the ones that a sender must name in `Connection`: unnamed, they were meant for another connection.
const NAMED_WHEN_MEANT: [&str; 4] = ["keep-alive", "proxy-connection", "te", "upgrade"];

/// Names in lower case of the hop-by-hop fields of one message.
pub(crate) fn names(fields: &Fields) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = options(fields).collect();
    names.extend(ALWAYS.iter().map(|&name| name.to_owned()));
    names
}

fn options(fields: &Fields) -> impl Iterator<Item = String> {
    fields.members("connection").map(|option| exchange::escape(option).to_ascii_lowercase())
}

/// Adds what differs in the hop-by-hop fields of two messages.
pub(crate) fn compare(out: &mut Collector<'_>, prefix: &str, left: &Fields, right: &Fields) {
    let (named_left, named_right): (BTreeSet<_>, BTreeSet<_>) =
        (options(left).collect(), options(right).collect());
    for name in names(left).union(&names(right)) {
        let (l, r) = (left.combined(name), right.combined(name));
        let values = (l.as_deref(), r.as_deref());
        let relayed = |value: &Option<Vec<u8>>, named: &BTreeSet<String>| {
            value.is_some() && !named.contains(name) && NAMED_WHEN_MEANT.contains(&&name[..])
        };
        let path = format!("{prefix}.{name}");
        let (relayed_left, relayed_right) = (relayed(&l, &named_left), relayed(&r, &named_right));
        if relayed_left != relayed_right {
            let side = if relayed_left { &out.settings.left_name } else { &out.settings.right_name };
            let explanation = format!(
                "the {side} sends it without naming it in Connection: it was relayed from another connection"
            );
            out.add(path, values, &rules::RELAYED, Class::HopByHop, explanation);
        } else if out.settings.hop_by_hop && l != r && name != "transfer-encoding" {
            let explanation =
                out.presence(l.is_some(), r.is_some(), "the values differ; they concern one connection");
            if let Some(difference) = out.add(path, values, &rules::HOP_BY_HOP, Class::HopByHop, explanation)
            {
                difference.counts = false;
            }
        }
    }
}
