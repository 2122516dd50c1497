//! A running mirror: its threads, and its end.

use crate::addresses::{apart, bind, not_itself, resolve};
use crate::budget::Budget;
use crate::candidate::Way;
use crate::config::{Config, MIN_MEMORY, StartError, Target};
use crate::files::{close_diffs, close_record, diffs, recorder, waivers};
use crate::findings::Findings;
use crate::judge::Judge;
use crate::ledger::Ledger;
use crate::listener::{Service, serve};
use crate::live::{Live, Numbers};
use crate::observer::{Observing, observe};
use crate::sample::Sampler;
use crate::status::Connections;
use crate::stop::{Level, Stop};
use crate::summary::Summary;
use crate::tap::{Rules, Told};
use crate::{admin, clock, judge, limits, say};
use exchange::{Source, Time};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::{Semaphore, watch};

/// How often names are resolved again.
const RESOLVE: Duration = Duration::from_secs(30);

/// How long a connection to the primary may take to open.
const CONNECT: Duration = Duration::from_secs(30);

/// Most bytes of records that wait for the disk: this part of the memory for copies.
const RECORD_SHARE: usize = 8;

/// Most bytes that a kept body may decode to; a bomb should not take memory that nobody counts.
const MAX_DECODED: usize = 4 << 20;

/// A mirror at work. Dropping it leaves it at work; [`Mirror::stop`] ends it.
pub struct Mirror {
    listen: SocketAddr,
    admin: Option<SocketAddr>,
    config: Config,
    started: Time,
    live: Arc<Live>,
    stops: Hurry,
    relays: Vec<JoinHandle<()>>,
    relays_ended: Receiver<()>,
    observers: Vec<JoinHandle<()>>,
    judge: JoinHandle<Judge>,
    control: JoinHandle<()>,
}

/// Cuts a mirror's end short.
#[derive(Clone, Debug)]
pub struct Hurry {
    relay: Arc<Stop>,
    observers: Arc<Stop>,
    control: Arc<Stop>,
}

impl Hurry {
    /// Closes what is open, now.
    pub fn hurry(&self) {
        self.relay.raise(Level::Now);
        self.observers.raise(Level::Now);
    }
}

impl Mirror {
    /// Binds, opens the files and starts relaying.
    ///
    /// # Errors
    /// A port in use, a name without address, a file that cannot be written, a waiver file with a mistake.
    pub fn start(config: Config) -> Result<Mirror, StartError> {
        let started = clock::now();
        if config.memory < MIN_MEMORY {
            return Err(StartError::new(
                format!("{} bytes of memory are too few for copies of traffic", config.memory),
                "Give --memory at least 1M.",
            ));
        }
        limits::raise_descriptors();
        let primary = resolve(&config.primary, "primary")?;
        let candidate = resolve(&config.candidate, "candidate")?;
        apart(&primary, &candidate)?;
        let waivers = waivers(&config)?;
        let (listener, listen) = bind(config.listen, "clients")?;
        for (addresses, role) in [(&primary, "primary"), (&candidate, "candidate")] {
            not_itself(listen, addresses, role)?;
        }
        let admin = config.admin.map(|address| bind(address, "the admin pages")).transpose()?;
        let record_room = config.record.as_ref().map_or(0, |_| config.memory / RECORD_SHARE);
        let judge = Judge {
            settings: compare::Settings {
                max_decoded: MAX_DECODED,
                secrets: config.secrets.clone(),
                ..compare::Settings::default()
            },
            waivers,
            diffs: diffs(&config, started)?,
            recorder: recorder(&config, listen, started, record_room)?,
            findings: Arc::new(Mutex::new(Findings::default())),
            source: Source { tool: "mirror".into(), at: listen.to_string() },
        };
        let live = Arc::new(Live {
            ledger: Arc::new(Ledger::default()),
            connections: Arc::new(Connections::default()),
            budget: Budget::new(config.memory - record_room),
            findings: Arc::clone(&judge.findings),
        });
        let stops = Hurry {
            relay: Arc::new(Stop::default()),
            observers: Arc::new(Stop::default()),
            control: Arc::new(Stop::default()),
        };
        let failed = |e: io::Error| {
            StartError::new(
                format!("a thread could not be started: {e}"),
                "See the limits of this system (ulimit -u).",
            )
        };
        let (primary, candidate) = (watch::channel(primary), watch::channel(candidate));
        let (verdicts, judge) = judge::start(judge, limits::yield_to_others).map_err(failed)?;
        let way = Arc::new(Way {
            addresses: candidate.1,
            timeout: config.candidate_timeout,
            tag: config.tag_header.as_ref().map(|tag| tag.line().into()),
            budget: Arc::clone(&live.budget),
            limits: wire::Limits { keep_body: config.keep_body, ..wire::Limits::default() },
            backlog: (config.memory / 8).max(1 << 20),
        });
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let observing = |_| Observing {
            way: Arc::clone(&way),
            connections: config.candidate_connections.div_ceil(observer_count(processors)),
            judge: verdicts.another(),
            stop: Arc::clone(&stops.observers),
            patience: config.candidate_timeout.saturating_add(Duration::from_secs(1)),
        };
        let (mut tells, mut observers) = (Vec::new(), Vec::new());
        for index in 0..observer_count(processors) {
            let (tell, told) = unbounded_channel();
            tells.push(tell);
            observers.push(observer_thread(observing(index), told).map_err(failed)?);
        }
        drop(verdicts);
        let rules = Arc::new(Rules {
            ledger: Arc::clone(&live.ledger),
            budget: Arc::clone(&live.budget),
            connections: Arc::clone(&live.connections),
            sampler: Sampler { share: config.sample, by: config.sample_by, seed: config.seed },
            unsafe_methods: config.unsafe_methods,
            recording: config.record.is_some(),
        });
        let service = Arc::new(Service {
            rules,
            primary: primary.1,
            connect_timeout: CONNECT,
            slots: Arc::new(Semaphore::new(config.connections.clamp(1, Semaphore::MAX_PERMITS))),
            observers: tells,
            stop: Arc::clone(&stops.relay),
            numbers: AtomicU64::new(0),
        });
        let (ended, relays_ended) = channel();
        let mut relays = Vec::new();
        for index in 0..config.threads.unwrap_or(processors).max(1) {
            let listener = listener.try_clone().map_err(failed)?;
            let (service, ended) = (Arc::clone(&service), ended.clone());
            let thread = std::thread::Builder::new().name(format!("relay-{index}"));
            let relay = move || {
                on_this_thread("relay", serve(service, listener));
                // Nobody listens any more where the mirror was dropped.
                let _ = ended.send(());
            };
            relays.push(thread.spawn(relay).map_err(failed)?);
        }
        let names = vec![
            (config.primary.clone(), "primary", primary.0),
            (config.candidate.clone(), "candidate", candidate.0),
        ];
        let (admin_listener, admin) = admin.unzip();
        let control = control_thread(admin_listener, Arc::clone(&live), names, Arc::clone(&stops.control))
            .map_err(failed)?;
        Ok(Mirror {
            listen,
            admin,
            config,
            started,
            live,
            stops,
            relays,
            relays_ended,
            observers,
            judge,
            control,
        })
    }

    /// Where clients connect.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Where the admin pages are.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// All numbers now.
    pub fn numbers(&self) -> Numbers {
        self.live.numbers()
    }

    /// What cuts [`Mirror::stop`] short.
    pub fn hurry(&self) -> Hurry {
        self.stops.clone()
    }

    /// Takes no more connections, lets open exchanges finish for as long as [`Config::drain`] says, waits for the
    /// candidate's last answers, and gives the ledger. Blocks until then.
    pub fn stop(self) -> Summary {
        self.stops.relay.raise(Level::Drain);
        let mut running = self.relays.len();
        while running > 0 {
            match self.relays_ended.recv_timeout(self.config.drain) {
                Ok(()) => running -= 1,
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    self.stops.relay.raise(Level::Now);
                    break;
                }
            }
        }
        for thread in self.relays.into_iter().chain(self.observers) {
            if thread.join().is_err() {
                say("a thread failed; see its message above. What it had under way is missing in the ledger");
            }
        }
        self.stops.control.raise(Level::Now);
        let judge = self.judge.join();
        // The control thread holds nothing that is needed.
        let _ = self.control.join();
        let ended = clock::now();
        let mut summary = match judge {
            Ok(judge) => {
                let (diffs, recorder) = (judge.diffs, judge.recorder);
                close_record(recorder, &self.live, &self.config, self.listen, ended);
                let mut summary = Summary::new(&self.config, self.listen, self.started, ended, &self.live);
                if let Some(diffs) = diffs {
                    close_diffs(diffs, &mut summary, &self.live);
                }
                summary
            }
            Err(_) => {
                say("the judge failed; see its message above");
                Summary::new(&self.config, self.listen, self.started, ended, &self.live)
            }
        };
        summary.numbers = self.live.numbers();
        summary
    }
}

fn observer_count(processors: usize) -> usize {
    (processors / 4).max(1)
}

/// Runs a future to its end on this thread.
fn on_this_thread(name: &str, work: impl Future<Output = io::Result<()>>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    if let Err(error) = runtime.and_then(|runtime| runtime.block_on(work)) {
        say(&format!("the {name} thread ended: {error}"));
    }
}

fn observer_thread(observing: Observing, told: UnboundedReceiver<Vec<Told>>) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("observer".into()).spawn(move || {
        limits::yield_to_others();
        on_this_thread("observer", async {
            observe(observing, told).await;
            Ok(())
        });
    })
}

type Name = (Target, &'static str, watch::Sender<Vec<SocketAddr>>);

/// Serves the admin pages, and keeps names resolved.
fn control_thread(
    admin: Option<TcpListener>,
    live: Arc<Live>,
    names: Vec<Name>,
    stop: Arc<Stop>,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("control".into()).spawn(move || {
        on_this_thread("control", async {
            for (target, role, addresses) in names {
                tokio::spawn(keep_resolved(target, role, addresses));
            }
            if let Some(listener) = admin {
                tokio::spawn(admin::serve(listener, live));
            }
            stop.reached(Level::Now).await;
            Ok(())
        });
    })
}

/// Says where the candidate is not there at the start, and resolves a name again and again.
async fn keep_resolved(target: Target, role: &'static str, addresses: watch::Sender<Vec<SocketAddr>>) {
    if role == "candidate" {
        let first = addresses.borrow().clone();
        if let Err(error) = tokio::net::TcpStream::connect(&first[..]).await {
            say(&format!(
                "the candidate {target} does not take connections now: {error}. The service goes on; requests that it misses are counted as dropped"
            ));
        }
    }
    if !target.is_name() {
        return;
    }
    loop {
        tokio::time::sleep(RESOLVE).await;
        let asked = target.clone();
        // Where the resolver fails, the addresses known stay in use.
        if let Ok(Ok(found)) = tokio::task::spawn_blocking(move || asked.resolve()).await {
            addresses.send_if_modified(|known| {
                let changed = *known != found;
                *known = found;
                changed
            });
        }
    }
}
