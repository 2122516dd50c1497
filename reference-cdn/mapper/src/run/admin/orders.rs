//! What operators order of the keeper.

use http::StatusCode;
use tokio::sync::oneshot;

use super::query::Query;
use super::{Admin, Answer, text};
use crate::run::keeper::listed;
use crate::run::{Done, Order, Outcome, Told, Which};

/// What an operator ordered holds here and now, and is not on the disk.
fn not_kept(done: &str, why: &str) -> Answer {
    let told = format!(
        "{done}, and answered so from now on, but not kept: {why}. A restart of this mapper would forget it, and mappers that read maps \
         from its folder may not know it. Make room on the disk or mend the folder: it is tried again by itself until trouble in GET \
         /status is null"
    );
    text(StatusCode::INSUFFICIENT_STORAGE, told)
}

impl Admin {
    pub(super) async fn withdraw(&self, query: &Query, withdrawn: bool) -> Answer {
        let which = Which { servers: query.all("server"), sites: query.all("site") };
        if which == Which::default() {
            let how = "say which: ?server=NAME or ?site=NAME, as often as you like (?server=A&server=B)";
            return text(StatusCode::BAD_REQUEST, how);
        }
        let force = match query.get("force") {
            None => false,
            Some("true") => true,
            Some(other) => {
                return text(StatusCode::BAD_REQUEST, format!("force is true, or not said; not {other}"));
            }
        };
        let order = |done| Order::Withdraw { which, withdrawn, force, done };
        let Some(told) = self.order(order).await else {
            return text(
                StatusCode::SERVICE_UNAVAILABLE,
                "this mapper keeps no map of its own, or has too much to do",
            );
        };
        let done = if withdrawn { "withdrawn" } else { "restored" };
        match &told.outcome {
            Outcome::Done => text(StatusCode::OK, said(&told, done)),
            Outcome::NotKept(why) => not_kept(done, why),
            Outcome::Nothing => text(StatusCode::NOT_FOUND, "there is no such server"),
            Outcome::Unknown(what) => {
                let what = listed(what);
                text(StatusCode::NOT_FOUND, format!("the map has no {what}: nothing is {done}"))
            }
            Outcome::Bereft(services) => {
                let what = format!(
                    "nothing is withdrawn, since with that\n{}\nGive back others first, or say &force=true if it has to be",
                    services.join("\n")
                );
                text(StatusCode::CONFLICT, what)
            }
        }
    }

    pub(super) async fn accept_held(&self) -> Answer {
        match self.order(Order::Accept).await.map(|told| told.outcome) {
            Some(Outcome::NotKept(why)) => not_kept("accepted", &why),
            Some(Outcome::Done) => text(StatusCode::OK, "accepted"),
            Some(_) => text(StatusCode::NOT_FOUND, "no map is held back"),
            None => text(StatusCode::SERVICE_UNAVAILABLE, "too much to do"),
        }
    }

    async fn order(&self, order: impl FnOnce(Done) -> Order) -> Option<Told> {
        let (done, told) = oneshot::channel();
        self.shared.orders.send(order(done)).await.ok()?;
        told.await.ok()
    }
}

/// What an order came to.
fn said(told: &Told, done: &str) -> String {
    let mut said = match told.changed.len() {
        0 => format!("nothing is {done}"),
        1 => done.to_owned(),
        count => format!("{done} {count}: {}", listed(&told.changed)),
    };
    if !told.same.is_empty() {
        let before = if done == "withdrawn" { "withdrawn before" } else { "not withdrawn" };
        let were = if told.same.len() == 1 { "was" } else { "were" };
        said += &format!("; {} {were} {before}", listed(&told.same));
    }
    told.bereft.iter().for_each(|service| said += &format!("\nwarning: {service}"));
    said
}
