//! Plays a history with a real edge, and has the oracle judge every answer.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use edge::{AdminConfig, Clock, Config, Edge, Token, bind};
use http_cache::{ClientDirectives, Decisions, Settings};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::history::{Condition, Fault, History, RESOURCES, Request, Step, Tag};
use crate::message::{Answer, Asked, Fields};
use crate::oracle::Oracle;
use crate::support::{Client, START, soon};
use crate::world::{Contact, SECRET, World};

/// Makes the decisions of an edge, right or wrong ones.
pub type Decide = Arc<dyn Fn(&Settings) -> Arc<dyn Decisions> + Send + Sync>;

/// An edge that runs.
struct Running {
    address: SocketAddr,
    admin: SocketAddr,
    edge: Arc<Edge>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<edge::Stopped>,
}

impl Running {
    /// `folder`: of the disk tier.
    fn start(
        history: &History,
        origin: SocketAddr,
        clock: &Clock,
        decide: &Decide,
        folder: Option<&Path>,
    ) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut config = Config::new(any, origin.to_string().parse().expect("authority"));
        config.admin = Some(AdminConfig { listen: any, token: Token::new(SECRET) });
        if let Some(folder) = folder {
            config.store.memory = 1 << 20;
            config.store.object = 1 << 16;
            config.disk.path = Some(folder.to_owned());
            config.disk.size = 8 << 20;
            config.disk.patience = Duration::from_secs(20);
        }
        let settings = &mut config.customers[0].settings;
        settings.slice = history.slice.and_then(NonZeroU64::new);
        if history.honor {
            settings.client_directives = ClientDirectives::Honor;
        }
        let server = bind(config, |settings: &Settings| decide(settings), clock.clone()).expect("bind");
        let (address, admin) = (server.listen().expect("clear"), server.admin().expect("admin"));
        let edge = Arc::clone(server.edge());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.serve(async {
            // Also when the sender is dropped.
            let _ = stopped.await;
        }));
        Self { address, admin, edge, stop, task }
    }

    /// Ends it in good order.
    async fn stop(self) {
        drop(self.stop);
        self.task.await.expect("it stops");
    }

    /// Waits until nothing is under way.
    async fn settle(&self) {
        let value = |name| {
            let samples = self.edge.samples();
            samples.iter().find(|it| it.name == name).expect("a metric").value
        };
        soon("the end of all fetches", async {
            while value("edge_fetches_in_flight") > 0 || value("edge_requests_in_flight") > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

/// Has an operator purge a resource.
pub async fn purge(admin: SocketAddr, resource: usize) {
    let (host, target, _) = RESOURCES[resource];
    let content = format!("{{\"url\": \"http://{host}{target}\"}}");
    let length = content.len();
    let mut client = Client::connect(admin).await;
    client
        .send(format!(
            "POST /purge HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {SECRET}\r\nContent-Length: {length}\r\n\r\n{content}"
        ))
        .await;
    assert_eq!(client.response().await.status, 200, "the purge was not accepted");
}

/// The validators of the responses that clients got, the newest first.
#[derive(Default)]
struct Known(HashMap<usize, Vec<Fields>>);

impl Known {
    fn of(&self, resource: usize, tag: Tag) -> Option<&Fields> {
        let known = self.0.get(&resource)?;
        match tag {
            Tag::Last => known.first(),
            Tag::Earlier => known.get(1),
            Tag::Unknown => None,
        }
    }

    fn tag(&self, resource: usize, tag: Tag) -> String {
        let known = self.of(resource, tag).and_then(|fields| fields.get("etag"));
        known.unwrap_or("\"unknown\"").to_owned()
    }

    fn date(&self, resource: usize, tag: Tag) -> String {
        let known = self.of(resource, tag).and_then(|fields| fields.get("last-modified"));
        known.unwrap_or("Sat, 01 Jan 2000 00:00:00 GMT").to_owned()
    }

    fn learn(&mut self, resource: usize, answer: &Answer) {
        let known = self.0.entry(resource).or_default();
        let differs = known.first().is_none_or(|last| {
            ["etag", "last-modified"].iter().any(|name| last.get(name) != answer.fields.get(name))
        });
        if matches!(answer.status, 200 | 206) && differs {
            known.insert(0, answer.fields.clone());
        }
    }

    /// The fields of a request.
    fn fields(&self, id: usize, request: &Request) -> Fields {
        let mut fields = Fields::default();
        fields.push("host", RESOURCES[request.resource].0);
        fields.push("x-request", &id.to_string());
        let optional = [
            ("flavour", request.flavour),
            ("authorization", request.credentials),
            ("cache-control", request.wish),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                fields.push(name, value);
            }
        }
        match request.condition {
            Some(Condition::NoneMatch(tag)) => fields.push("if-none-match", &self.tag(request.resource, tag)),
            Some(Condition::NoneMatchAny) => fields.push("if-none-match", "*"),
            Some(Condition::ModifiedSince(tag)) => {
                fields.push("if-modified-since", &self.date(request.resource, tag));
            }
            Some(Condition::Match(tag)) => fields.push("if-match", &self.tag(request.resource, tag)),
            None => {}
        }
        if let Some((range, if_range)) = request.range {
            fields.push("range", &format!("bytes={range}"));
            if let Some(tag) = if_range {
                fields.push("if-range", &self.tag(request.resource, tag));
            }
        }
        fields
    }
}

async fn ask(edge: SocketAddr, asked: Asked) -> (Asked, Option<Answer>) {
    let mut text = format!("{} {} HTTP/1.1\r\n", asked.method, RESOURCES[asked.resource].1);
    for (name, value) in asked.fields.lines() {
        let _ = write!(text, "{name}: {value}\r\n");
    }
    let content = if matches!(asked.method, "POST" | "PUT") { "new" } else { "" };
    if !content.is_empty() {
        let _ = write!(text, "content-length: {}\r\n", content.len());
    }
    let mut client = Client::connect(edge).await;
    client.send(format!("{text}\r\n{content}")).await;
    let answer = client.try_response(asked.method).await.map(|response| Answer {
        status: response.status,
        fields: Fields::of(&response.fields),
        content: response.body,
        complete: response.complete,
    });
    (asked, answer)
}

/// Plays a history. An answer that the oracle does not allow is an error: the story up to it, and why.
pub async fn play(history: &History, decide: &Decide) -> Result<(), String> {
    let quiet = crate::history::Behaviour {
        status: 200,
        control: "",
        tag: crate::history::Validator::None,
        modified: false,
        vary: None,
        age: None,
        date: Some(0),
        chunked: false,
        conditions: false,
        ranges: false,
        location: None,
        fault: Fault::None,
        purge: None,
    };
    let mut world = World::start(quiet).await;
    let clock = Clock::manual(START);
    let folder = history.disk.then(|| tempfile::tempdir().expect("folder"));
    let folder = folder.as_ref().map(tempfile::TempDir::path);
    let mut running = Running::start(history, world.address(), &clock, decide, folder);
    world.admin(running.admin);
    let mut oracle = Oracle::new(history.honor);
    let mut known = Known::default();
    let mut story = String::new();
    let mut ids = 0;
    if history.honor || history.slice.is_some() || history.disk {
        let History { honor, slice, disk, .. } = history;
        let _ = writeln!(story, "honor: {honor}, slice: {slice:?}, disk: {disk}");
    }
    for step in &history.steps {
        match step {
            Step::Wait(seconds) => {
                let _ = writeln!(story, "{seconds} s later");
                clock.advance(Duration::from_secs(*seconds));
                world.wait(*seconds);
            }
            Step::Change(resource) => {
                let (host, target, _) = RESOURCES[*resource];
                let _ = writeln!(story, "{host}{target} changes");
                world.change(*resource);
            }
            Step::Purge(resource) => {
                let (host, target, _) = RESOURCES[*resource];
                let _ = writeln!(story, "{host}{target} is purged");
                purge(running.admin, *resource).await;
                oracle.purged(*resource);
            }
            Step::Restart => {
                let _ = writeln!(story, "the edge restarts");
                if history.disk {
                    running.stop().await;
                } else {
                    running.task.abort();
                    oracle.restarted();
                }
                running = Running::start(history, world.address(), &clock, decide, folder);
                world.admin(running.admin);
            }
            Step::Ask { requests, behaviour } => {
                world.behave(behaviour).await;
                let asked: Vec<Asked> = requests
                    .iter()
                    .map(|request| {
                        ids += 1;
                        let fields = known.fields(ids, request);
                        Asked { id: ids, method: request.method, resource: request.resource, fields }
                    })
                    .collect();
                let mut clients = tokio::task::JoinSet::new();
                for asked in &asked {
                    clients.spawn(ask(running.address, asked.clone()));
                }
                let mut answers = clients.join_all().await;
                answers.sort_by_key(|(asked, _)| asked.id);
                running.settle().await;
                let contacts = world.take_contacts();
                tell(&mut story, world.now(), &answers, &contacts, behaviour.fault);
                let down = behaviour.fault == Fault::Refused;
                let now = world.now();
                for (asked, answer) in &answers {
                    let Some(answer) = answer else {
                        return Err(format!("{story}\nrequest {} got no answer", asked.id));
                    };
                    let crowd = answers.len() > 1;
                    oracle
                        .judge(now, asked, answer, &contacts, down, crowd)
                        .map_err(|why| format!("{story}\nrequest {}: {why}", asked.id))?;
                    known.learn(asked.resource, answer);
                }
                oracle.learn(now, &contacts);
            }
        }
    }
    running.task.abort();
    Ok(())
}

fn tell(
    story: &mut String,
    now: u64,
    answers: &[(Asked, Option<Answer>)],
    contacts: &[Contact],
    fault: Fault,
) {
    let shown = |fields: &Fields| {
        let hidden =
            ["host", "x-request", "via", "cdn-loop", "content-length", "transfer-encoding", "connection"];
        let lines: Vec<String> = fields
            .lines()
            .filter(|(name, _)| !hidden.contains(name))
            .map(|(name, value)| format!(" | {name}: {value}"))
            .collect();
        lines.concat()
    };
    let second = now - START.as_secs();
    for (asked, _) in answers {
        let (host, target, _) = RESOURCES[asked.resource];
        let fields = shown(&asked.fields);
        let _ =
            writeln!(story, "> {second} s: request {}: {} {host}{target}{fields}", asked.id, asked.method);
    }
    if fault == Fault::Refused {
        let _ = writeln!(story, "    nobody listens at the origin");
    }
    for Contact { id, seen, sent } in contacts {
        let _ = writeln!(story, "    ^ for {id}: {}{}", seen.method, shown(&seen.fields));
        let how = if sent.headless {
            " (no head came)"
        } else if sent.cut {
            " (cut off)"
        } else {
            ""
        };
        let (status, octets) = (sent.status, &sent.range);
        let purged = sent.purged.map(|resource| {
            format!(" (meanwhile {}{} is purged)", RESOURCES[resource].0, RESOURCES[resource].1)
        });
        let _ = writeln!(
            story,
            "    < {status}{} | {:?} {octets:?}{how}{}",
            shown(&sent.fields),
            sent.body.name,
            purged.unwrap_or_default()
        );
    }
    for (asked, answer) in answers {
        let Some(answer) = answer else { continue };
        let how = if answer.complete { "" } else { " (broken off)" };
        let start: String = String::from_utf8_lossy(&answer.content).chars().take(40).collect();
        let _ = writeln!(
            story,
            "= {}: {}{} | {} octets {start:?}{how}",
            asked.id,
            answer.status,
            shown(&answer.fields),
            answer.content.len()
        );
    }
}
