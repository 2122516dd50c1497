//! What may happen: clients ask, origins answer in many ways, time passes, operators purge and restart.

use std::fmt;

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;

/// The resources there are: host, target, octets of content.
pub const RESOURCES: [(&str, &str, usize); 4] =
    [("one.test", "/a", 60), ("one.test", "/b?q", 61), ("two.test", "/a", 60), ("one.test", "/c", 200)];

#[derive(Clone, Debug)]
pub struct History {
    /// Client directives are honoured.
    pub honor: bool,
    /// Octets of a slice.
    pub slice: Option<u64>,
    /// There is a disk tier: a restart keeps what was stored.
    pub disk: bool,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug)]
pub enum Step {
    /// Clients ask at the same time, and the origin behaves like this to all that comes of it.
    Ask {
        requests: Vec<Request>,
        behaviour: Behaviour,
    },
    /// Seconds pass.
    Wait(u64),
    /// A resource gets a new version.
    Change(usize),
    /// An operator purges a resource.
    Purge(usize),
    Restart,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub method: &'static str,
    pub resource: usize,
    /// The request field that Vary may name.
    pub flavour: Option<&'static str>,
    pub credentials: Option<&'static str>,
    pub condition: Option<Condition>,
    pub range: Option<(&'static str, Option<Tag>)>,
    pub wish: Option<&'static str>,
}

/// A condition of the client's own.
#[derive(Clone, Copy, Debug)]
pub enum Condition {
    NoneMatch(Tag),
    NoneMatchAny,
    ModifiedSince(Tag),
    Match(Tag),
}

/// Which validator a client uses.
#[derive(Clone, Copy, Debug)]
pub enum Tag {
    /// That of the last response it got for the resource.
    Last,
    /// That of the one before.
    Earlier,
    Unknown,
}

/// How the origin answers.
#[derive(Clone, Debug)]
pub struct Behaviour {
    pub status: u16,
    /// Lines about caching.
    pub control: &'static str,
    pub tag: Validator,
    pub modified: bool,
    pub vary: Option<&'static str>,
    pub age: Option<u64>,
    /// Seconds that Date is ahead; `None`: there is none.
    pub date: Option<i64>,
    pub chunked: bool,
    /// It knows conditions.
    pub conditions: bool,
    /// It knows ranges.
    pub ranges: bool,
    /// Location of an answer to an unsafe method.
    pub location: Option<usize>,
    pub fault: Fault,
    /// While it prepares its answer, an operator purges this resource.
    pub purge: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validator {
    None,
    Weak,
    Strong,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Nobody listens.
    Refused,
    /// The connection ends before the head does.
    NoHead,
    /// What comes is no HTTP.
    Garbage,
    /// The connection ends after so many octets of content.
    Cut(usize),
    /// So does it, by a reset.
    Reset(usize),
}

/// Lines about caching, as origins send them. `{n}` is the date n seconds from now.
pub const CONTROLS: [&str; 34] = [
    "",
    "Cache-Control: max-age=10",
    "Cache-Control: max-age=60",
    "Cache-Control: max-age=0",
    "Cache-Control: s-maxage=20",
    "Cache-Control: s-maxage=5, max-age=60",
    "Cache-Control: s-maxage=60, max-age=0",
    "Cache-Control: max-age=5, stale-while-revalidate=20",
    "Cache-Control: max-age=5, stale-if-error=30",
    "Cache-Control: max-age=5, stale-if-error=0",
    "Cache-Control: s-maxage=5, stale-while-revalidate=20",
    "Cache-Control: s-maxage=5, stale-if-error=30",
    "Cache-Control: max-age=5, must-revalidate",
    "Cache-Control: max-age=5, proxy-revalidate",
    "Cache-Control: max-age=5, stale-while-revalidate=20, must-revalidate",
    "Cache-Control: max-age=5, stale-if-error=30, must-revalidate",
    "Cache-Control: no-cache",
    "Cache-Control: max-age=60, no-cache",
    "Cache-Control: no-store",
    "Cache-Control: max-age=60, no-store",
    "Cache-Control: private",
    "Cache-Control: max-age=60, private",
    "Cache-Control: public",
    "Cache-Control: public, max-age=30",
    "Cache-Control: max-age=60, must-revalidate",
    "Cache-Control: max-age=60, must-understand, no-store",
    "Cache-Control: max-age=60, immutable",
    "Expires: {20}",
    "Expires: {-5}",
    "Expires: 0",
    "Cache-Control: max-age=5\r\nExpires: {60}",
    "CDN-Cache-Control: max-age=40\r\nCache-Control: no-store",
    "CDN-Cache-Control: no-store\r\nCache-Control: max-age=60",
    "CDN-Cache-Control: max-age=5\r\nCache-Control: max-age=60, private",
];

fn tag() -> impl Strategy<Value = Tag> {
    prop_oneof![6 => Just(Tag::Last), 2 => Just(Tag::Earlier), 1 => Just(Tag::Unknown)]
}

fn resource() -> impl Strategy<Value = usize> {
    prop_oneof![8 => Just(0_usize), 1 => Just(1_usize), 2 => Just(2_usize), 1 => Just(3_usize)]
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        6 => tag().prop_map(Condition::NoneMatch),
        1 => Just(Condition::NoneMatchAny),
        3 => tag().prop_map(Condition::ModifiedSince),
        1 => tag().prop_map(Condition::Match),
    ]
}

fn range() -> impl Strategy<Value = (&'static str, Option<Tag>)> {
    let ranges =
        ["0-9", "10-19", "5-24", "20-59", "30-", "-10", "0-", "0-0", "500-", "0-4,20-24", "50-59,0-9"];
    (select(ranges.to_vec()), weighted(0.25, tag()))
}

fn request() -> impl Strategy<Value = Request> {
    let method = prop_oneof![
        20 => Just("GET"),
        2 => Just("HEAD"),
        1 => Just("POST"),
        1 => Just("PUT"),
        1 => Just("DELETE"),
    ];
    let wishes = [
        "no-cache",
        "no-store",
        "max-age=0",
        "max-age=10",
        "max-stale",
        "max-stale=10",
        "min-fresh=10",
        "only-if-cached",
    ];
    (
        method,
        resource(),
        weighted(0.5, select(vec!["1", "2"])),
        weighted(0.08, select(vec!["Basic YQ==", "Basic Yg=="])),
        weighted(0.15, condition()),
        weighted(0.25, range()),
        weighted(0.12, select(wishes.to_vec())),
    )
        .prop_map(|(method, resource, flavour, credentials, condition, range, wish)| Request {
            method,
            resource,
            flavour,
            credentials,
            condition,
            range,
            wish,
        })
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        16 => Just(Fault::None),
        1 => Just(Fault::Refused),
        1 => Just(Fault::NoHead),
        1 => Just(Fault::Garbage),
        1 => (0..60_usize).prop_map(Fault::Cut),
        1 => (0..60_usize).prop_map(Fault::Reset),
    ]
}

fn behaviour() -> impl Strategy<Value = Behaviour> {
    let status = prop_oneof![
        30 => Just(200_u16),
        2 => Just(404_u16),
        1 => Just(301_u16),
        1 => Just(204_u16),
        1 => Just(299_u16),
        1 => Just(500_u16),
        3 => Just(503_u16),
        1 => Just(999_u16),
    ];
    let validator =
        prop_oneof![5 => Just(Validator::Strong), 2 => Just(Validator::Weak), 2 => Just(Validator::None)];
    let vary = prop_oneof![6 => Just(None), 7 => Just(Some("Flavour")), 1 => Just(Some("*"))];
    let date = prop_oneof![
        8 => Just(Some(0_i64)),
        1 => Just(None),
        1 => select(vec![Some(-30_i64), Some(-3), Some(20)]),
    ];
    (
        (status, select(CONTROLS.to_vec()), validator, any::<bool>(), vary),
        (weighted(0.12, select(vec![0_u64, 3, 30])), date, any::<bool>()),
        (prop::bool::weighted(0.85), prop::bool::weighted(0.7), weighted(0.2, resource())),
        (fault(), weighted(0.03, resource())),
    )
        .prop_map(
            |(
                (status, control, tag, modified, vary),
                (age, date, chunked),
                (conditions, ranges, location),
                (fault, purge),
            )| {
                Behaviour {
                    status,
                    control,
                    tag,
                    modified,
                    vary,
                    age,
                    date,
                    chunked,
                    conditions,
                    ranges,
                    location,
                    fault,
                    purge,
                }
            },
        )
}

fn step() -> impl Strategy<Value = Step> {
    // Half of what is asked is what most clients ask, or little would be asked twice.
    let usual = |flavour, range| Request {
        method: "GET",
        resource: 0,
        flavour,
        credentials: None,
        condition: None,
        range,
        wish: None,
    };
    let plain = weighted(0.6, select(vec!["1", "2"])).prop_map(move |flavour| usual(flavour, None));
    let part = select(vec!["0-9", "10-19", "20-"]).prop_map(move |range| usual(None, Some((range, None))));
    let one = (prop_oneof![5 => plain, 1 => part, 5 => request()], behaviour())
        .prop_map(|(request, behaviour)| Step::Ask { requests: vec![request], behaviour });
    // Most of a crowd wants the same thing.
    let crowd = (vec(request(), 2..4), behaviour()).prop_map(|(mut requests, behaviour)| {
        let resource = requests[0].resource;
        requests.iter_mut().for_each(|request| request.resource = resource);
        Step::Ask { requests, behaviour }
    });
    prop_oneof![
        30 => one,
        3 => crowd,
        9 => select(vec![1_u64, 3, 5, 6, 10, 11, 25, 45, 100]).prop_map(Step::Wait),
        5 => resource().prop_map(Step::Change),
        2 => resource().prop_map(Step::Purge),
        2 => Just(Step::Restart),
    ]
}

pub fn history() -> impl Strategy<Value = History> {
    let slice = prop_oneof![3 => Just(None), 1 => Just(Some(64_u64))];
    // An origin has habits, and leaves them now and then.
    let steps = vec((step(), prop::bool::weighted(0.6)), 1..20);
    let (honor, disk) = (prop::bool::weighted(0.25), prop::bool::weighted(0.25));
    (honor, slice, disk, behaviour(), steps).prop_map(|(honor, slice, disk, habit, steps)| {
        let habit = Behaviour { fault: Fault::None, purge: None, location: None, ..habit };
        let steps = steps.into_iter().map(|(step, habitual)| match step {
            Step::Ask { requests, behaviour } if habitual => {
                let Behaviour { fault, purge, location, .. } = behaviour;
                Step::Ask { requests, behaviour: Behaviour { fault, purge, location, ..habit.clone() } }
            }
            step => step,
        });
        History { honor, slice, disk, steps: steps.collect() }
    })
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, target, _) = RESOURCES[self.resource];
        write!(f, "{} {host}{target}", self.method)
    }
}

impl fmt::Display for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        for line in self.control.split("\r\n").filter(|line| !line.is_empty()) {
            write!(f, " | {line}")?;
        }
        match self.fault {
            Fault::None => Ok(()),
            fault => write!(f, " | {fault:?}"),
        }
    }
}
