//! What operators see of a group of origins.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::exchange::Origin;
use super::group::Origins;
use super::health::Change;
use super::select::{NEVER, Role, Standing};
use crate::metrics::Sample;

fn role(role: Role) -> &'static str {
    match role {
        Role::Primary => "primary",
        Role::Backup => "backup",
        Role::Parent => "parent",
    }
}

impl Origins {
    fn standing(&self, origin: &Origin) -> Standing {
        origin.watch.as_ref().map_or(Standing::Up, |watch| watch.standing(self.now()))
    }

    /// Each origin and its state, for the status page. `number`: of the customer, as in the metrics' labels.
    pub fn status(&self, number: usize) -> Vec<Value> {
        let numbered = self.origins().iter().enumerate();
        numbered.map(|(index, origin)| self.status_of(origin, &label(number, index))).collect()
    }

    fn status_of(&self, origin: &Origin, label: &str) -> Value {
        let (state, until) = match self.standing(origin) {
            Standing::Up => ("up", None),
            Standing::OnTrial => ("on_trial", None),
            Standing::Out(NEVER) => ("down", None),
            Standing::Out(until) => ("ejected", Some(until)),
        };
        let change = origin.watch.as_ref().and_then(|watch| watch.last_change());
        let change = change.map(|(at, change)| {
            let what = match change {
                Change::Ejected { why, time } => format!("ejected for {} s: {why}", time.as_secs_f64()),
                Change::Returned => "back: it answered".to_owned(),
                Change::Down => "down: its probes failed".to_owned(),
                Change::Up => "up: its probes succeeded".to_owned(),
            };
            json!({ "seconds_ago": self.now().since(at).as_secs(), "what": what })
        });
        json!({
            "url": origin.url,
            "label": label,
            "role": role(origin.role),
            "weight": origin.weight,
            "state": state,
            "seconds_out": until.map(|until| until.since(self.now()).as_secs()),
            "last_change": change,
            "requests": origin.asked.load(Ordering::Relaxed),
            "failures": origin.failed.load(Ordering::Relaxed),
            "in_flight": origin.pool.in_use(),
            "waiting": origin.pool.waiting(),
            "idle_connections": origin.pool.idle(),
            "connections_opened": origin.pool.opened(),
        })
    }
}

/// What the metrics call an origin, which are for everybody and name nobody: the customer's number and its own, from 1.
fn label(customer: usize, origin: usize) -> String {
    format!("{}.{}", customer + 1, origin + 1)
}

/// The numbers of all groups, those of one name together.
pub fn samples<'a>(groups: impl Iterator<Item = &'a Origins> + Clone) -> Vec<Sample> {
    let sum = |number: fn(&Origin) -> u64| -> u64 {
        groups.clone().flat_map(|group| group.origins()).map(|origin| number(origin)).sum()
    };
    let mut samples = vec![
        Sample::gauge(
            "edge_origin_idle_connections",
            "Connections to the origin kept open for later.",
            sum(|origin| origin.pool.idle() as u64),
        ),
        Sample::counter(
            "edge_origin_connections_opened_total",
            "Connections opened to the origin.",
            sum(|origin| origin.pool.opened()),
        ),
        Sample::gauge(
            "edge_origin_waiting",
            "Requests that wait for a connection to the origin.",
            sum(|origin| origin.pool.waiting() as u64),
        ),
        Sample::counter(
            "edge_origin_retries_total",
            "Requests sent to a further origin after one failed.",
            groups.clone().map(|group| group.again.get()).sum(),
        ),
        Sample::counter(
            "edge_origin_retries_denied_total",
            "Requests not sent to a further origin because too many were already.",
            groups.clone().map(|group| group.denied.get()).sum(),
        ),
    ];
    let mut each = |sample: fn(&'static str, &'static str, u64) -> Sample,
                    name: &'static str,
                    help: &'static str,
                    number: &dyn Fn(&Origins, &Origin) -> u64| {
        for (customer, group) in groups.clone().enumerate() {
            for (index, origin) in group.origins().iter().enumerate() {
                let label = Some(("origin", label(customer, index)));
                samples.push(Sample { label, ..sample(name, help, number(group, origin)) });
            }
        }
    };
    each(
        Sample::gauge,
        "edge_origin_up",
        "Whether an origin is fit to use: 1, or 0 while it is ejected or down.",
        &|group, origin| u64::from(!matches!(group.standing(origin), Standing::Out(_))),
    );
    each(Sample::gauge, "edge_origin_in_flight", "Requests an origin is working on.", &|_, origin| {
        origin.pool.in_use() as u64
    });
    each(Sample::counter, "edge_origin_asked_total", "Requests given to an origin.", &|_, origin| {
        origin.asked.load(Ordering::Relaxed)
    });
    each(
        Sample::counter,
        "edge_origin_failed_total",
        "Requests given to an origin that brought no usable response head, or a status that counts as failure.",
        &|_, origin| origin.failed.load(Ordering::Relaxed),
    );
    let watched = |number: fn(&super::group::Watch) -> u64| {
        move |_: &Origins, origin: &Origin| origin.watch.as_ref().map_or(0, number)
    };
    each(
        Sample::counter,
        "edge_origin_ejections_total",
        "Times that an origin was ejected because requests failed.",
        &watched(|watch| watch.ejections.get()),
    );
    each(
        Sample::counter,
        "edge_origin_probes_total",
        "Probes of an origin.",
        &watched(|watch| watch.probes.get()),
    );
    each(
        Sample::counter,
        "edge_origin_probes_failed_total",
        "Probes of an origin that failed.",
        &watched(|watch| watch.failed_probes.get()),
    );
    samples
}
