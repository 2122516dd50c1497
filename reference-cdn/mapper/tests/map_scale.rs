//! What a map costs at the size that the mapper is made for: tables, conditions each second, load reports, names. Run by name:
//! `cargo test -p mapper --profile quick --test map_scale -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod scale_support;

use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use control::load_report::{self, Keys, LoadReport, NameLoad};
use mapper::build::{Builder, Settings};
use mapper::conditions::{Conditions, Rules, Standing, Taken, Watch};
use mapper::map::churn::churn;
use mapper::map::publish::{Keep, Publisher};
use mapper::map::{Epoch, Map, Names, Published, Steerer, wire_of};
use mapper::network::{Network, ServiceId};
use mapper::steer::{Client, Steerable, Steered, Steering as _};
use scale_support::{Dice, NOW, SERVERS, inputs, peak, processor, resident};

const NAMES_OF_REFERRAL: usize = 9;

/// Does something, says what it took, and returns the smaller of wall-clock time and processor time in seconds: on a machine that others
/// use too, the wall clock says more about them.
#[expect(clippy::disallowed_methods, reason = "it measures")]
fn timed<T>(what: &str, work: impl FnOnce() -> T) -> (T, f64) {
    let (start, before, memory) = (Instant::now(), processor(), resident());
    let done = black_box(work());
    let (took, used) = (start.elapsed().as_secs_f64(), processor() - before);
    let memory = resident() as i64 - memory as i64;
    println!("{what}: {took:.3} s, processor {used:.2} s, memory {memory:+} MiB");
    (done, took.min(used.max(0.01)))
}

/// Reports of all servers. `load` of each, by position.
fn reports(network: &Network, number: u64, load: impl Fn(usize) -> u16) -> Vec<LoadReport> {
    let report = |at: usize| LoadReport {
        server: network.server_names[at].clone(),
        started: NOW * 1000,
        number,
        sent: NOW * 1000 + number * 1000,
        processor: load(at),
        requests: 4_000,
        octets: 100_000_000,
        names: (0..8)
            .map(|name| NameLoad {
                name: format!("web{}.g.example", (at * 7 + name) % 500),
                share: 100 - 5 * name as u16,
            })
            .collect(),
        ..LoadReport::default()
    };
    (0..network.servers.len()).map(report).collect()
}

fn network() -> Arc<Network> {
    let inputs = inputs();
    let built = Builder::new(Settings::default()).build(NOW, &inputs);
    println!("{} units, {} runs of prefixes", built.report.units, built.report.runs);
    Arc::new(built.network)
}

/// Every table and referral of a map that was made from the one before is as if it were made anew.
fn agree(map: &Map, fresh: &Map, dice: &mut Dice) {
    use mapper::network::Family;
    for _ in 0..20_000 {
        let client = std::net::IpAddr::V4((dice.next() as u32).into());
        for service in 0..map.network.services.len() as u32 {
            for fine in [false, true] {
                let of = |map: &Map| {
                    let routed = map.routes(ServiceId(service), Family::V4).unwrap().find(client, fine);
                    (routed.route, routed.part, routed.scope)
                };
                assert_eq!(of(map), of(fresh), "{client}");
            }
        }
        assert_eq!(map.name_servers(client), fresh.name_servers(client));
    }
}

#[test]
#[ignore = "takes a minute and some gigabytes; run by name"]
fn tables_follow_conditions() {
    let network = network();
    let mut dice = Dice(7);
    let calm = Conditions::calm(&network);
    let (first, full) =
        timed("Map::new", || Map::new(Epoch(1), Arc::clone(&network), calm.clone(), NAMES_OF_REFERRAL));
    let mut slowest = 0_f64;
    let mut next = |what: &str, before: &Map, conditions: Conditions| {
        let (map, took) = timed(what, || before.next(Epoch(before.epoch.0 + 1), conditions.clone()));
        slowest = slowest.max(took);
        agree(&map, &Map::new(Epoch(1), Arc::clone(&network), conditions, NAMES_OF_REFERRAL), &mut dice);
        map
    };

    let mut conditions = calm.clone();
    conditions.servers[7].standing = Standing::Withdrawn;
    let one = next("Map::next, one server withdrawn", &first, conditions.clone());
    conditions.sites[11].shifted = 8;
    let shedding = next("Map::next, one site sheds", &one, conditions.clone());
    for at in (0..network.sites.len()).step_by(10) {
        conditions.sites[at].shifted = (at % 60) as u8;
    }
    let many = next("Map::next, one site in ten sheds", &shedding, conditions.clone());
    for server in network.sites[100].servers.clone() {
        conditions.servers[server as usize].standing = Standing::Failed;
    }
    let down = next("Map::next, one site down", &many, conditions.clone());
    for site in (0..network.sites.len()).step_by(20) {
        for server in network.sites[site].servers.clone() {
            conditions.servers[server as usize].standing = Standing::Failed;
        }
    }
    let dark = next("Map::next, one site in twenty down", &down, conditions.clone());
    let calm_again = next("Map::next, all well again", &dark, calm.clone());
    drop((one, shedding, many, down, dark));
    println!("resident {} MiB, peak {} MiB", resident(), peak());
    drop(calm_again);
    if !cfg!(debug_assertions) {
        assert!(full <= 2.0 && slowest <= 0.7, "Map::new {full:.2} s of 2, Map::next {slowest:.2} s of 0.7");
    }
}

#[test]
#[ignore = "takes a minute and some gigabytes; run by name"]
fn a_second_of_reports_and_a_step() {
    let network = network();
    let names = Names::new(&network);
    let rules = Rules::default();
    let mut keys = Keys::default();
    keys.add(1, b"a secret of some length").unwrap();
    let mut watch = Watch::default();
    let mut conditions = Conditions::calm(&network);
    let mut map = Map::new(Epoch(1), Arc::clone(&network), conditions.clone(), NAMES_OF_REFERRAL);
    let folder = tempfile::tempdir().unwrap();
    let mut publisher = Publisher::open(folder.path(), Keep { epochs: 20, octets: 4 << 30 }).unwrap();
    timed("publish network and conditions", || {
        publisher.publish(Epoch(1), NOW * 1000, &network, &conditions).unwrap()
    });
    let by_name: std::collections::HashMap<&str, u64> = network
        .server_names
        .iter()
        .map(String::as_str)
        .zip(network.servers.iter().map(|server| server.key))
        .collect();
    let mut slowest = 0_f64;
    for second in 1..=30_u64 {
        // Most are quiet; some sites get busier, and from the tenth second on every twentieth site has too much.
        let load = |at: usize| {
            let site = network.servers[at].site.0 as usize;
            let base = 300 + (at % 37) as u16 * 10;
            if second >= 10 && site.is_multiple_of(20) { base + 600 } else { base }
        };
        let loads: Vec<LoadReport> = reports(&network, second, load);
        let said = [1, 2, 30].contains(&second);
        let quiet = |what: &str, work: &mut dyn FnMut()| {
            if said {
                timed(what, work).1
            } else {
                work();
                0.0
            }
        };
        if said {
            println!("second {second}");
            let datagrams: Vec<Vec<u8>> =
                loads.iter().map(|report| load_report::write(report, &keys, 1).unwrap()).collect();
            let (_, took) = timed("read 300 000 datagrams and their MACs", || {
                datagrams.iter().filter(|datagram| load_report::read(datagram, &keys).is_ok()).count()
            });
            println!("  {:.2} us each, {} octets", took * 1e6 / SERVERS as f64, datagrams[0].len());
        }
        let (now, unix) = (second * 1000, NOW * 1000 + second * 1000);
        quiet("Watch::report, 300 000", &mut || {
            for report in &loads {
                let key = by_name.get(report.server.as_str()).copied();
                let taken = watch.report(now, unix, key, report, |name| {
                    names.find(&wire_of(name.strip_suffix(".g.example")?)?)
                });
                assert_eq!(taken, Taken::Taken);
            }
        });
        let mut after = Conditions::default();
        let stepped = quiet("Watch::step", &mut || after = watch.step(now, &network, &rules));
        let mut new = None;
        let mapped = quiet("Map::next", &mut || new = Some(map.next(Epoch(second + 1), after.clone())));
        let published = quiet("publish conditions", &mut || {
            publisher.publish(Epoch(second + 1), unix, &network, &after).unwrap();
        });
        slowest = slowest.max(stepped + mapped + published);
        conditions = after;
        map = new.unwrap();
        if said {
            let name = format!("conditions-{:020}.map", second + 1);
            let length = std::fs::metadata(folder.path().join(name)).unwrap().len();
            let busy = conditions.servers.iter().filter(|now| now.busy).count();
            let shedding = conditions.sites.iter().filter(|now| now.shifted > 0).count();
            println!(
                "  {busy} busy, {shedding} sites shed, {} hot names; {length} octets published; resident {} MiB",
                conditions.hot.len(),
                resident()
            );
        }
    }
    if !cfg!(debug_assertions) {
        assert!(slowest <= 1.0, "a step, its map and its publication took {slowest:.2} s of 1");
    }
}

#[test]
#[ignore = "takes a minute and some gigabytes; run by name"]
fn from_inputs_to_answers() {
    let inputs = inputs();
    let rules = Rules::default();
    let mut builder = Builder::new(Settings::default());
    let folder = tempfile::tempdir().unwrap();
    let mut publisher = Publisher::open(folder.path(), Keep { epochs: 20, octets: 4 << 30 }).unwrap();
    let (built, build) = timed("full build", || builder.build(NOW, &inputs));
    let network = Arc::new(built.network);
    let mut watch = Watch::default();
    for report in reports(&network, 1, |_| 400) {
        let at = network.server_names.binary_search(&report.server).ok();
        let key = at.map(|at| network.servers[at].key);
        watch.report(1_000, NOW * 1000 + 1_000, key, &report, |_| None);
    }
    let (conditions, step) = timed("Watch::step", || watch.step(1_000, &network, &rules));
    let (map, tables) =
        timed("Map::new", || Map::new(Epoch(1), Arc::clone(&network), conditions.clone(), NAMES_OF_REFERRAL));
    let (_, publish) =
        timed("publish", || publisher.publish(Epoch(1), NOW * 1000, &network, &conditions).unwrap());
    let full = build + step + tables + publish;
    println!("full: {full:.2} s to answering");

    let mut later = inputs.clone();
    let mut changed = (*inputs.probes).clone();
    for probe in changed.probes.iter_mut().step_by(100) {
        (probe.time, probe.rtt) = (NOW + 1, probe.rtt / 2 + 1_000);
    }
    later.probes = Arc::new(changed);
    let (built, build) = timed("incremental build", || builder.build(NOW + 1, &later));
    let second = Arc::new(built.network);
    let (change, compare) = timed("churn", || {
        churn((&network, &Conditions::calm(&network)), (&second, &Conditions::calm(&second)))
    });
    println!("{change:?}");
    let (conditions, step) = timed("Watch::step", || watch.step(2_000, &second, &rules));
    let (_, tables) = timed("Map::renew", || map.renew(Epoch(2), Arc::clone(&second), conditions.clone()));
    let (_, publish) =
        timed("publish", || publisher.publish(Epoch(2), NOW * 1000, &second, &conditions).unwrap());
    let incremental = build + compare + step + tables + publish;
    println!("incremental: {incremental:.2} s to answering; peak {} MiB", peak());
    drop(map);
    if !cfg!(debug_assertions) {
        assert!(
            full <= 5.0 && incremental <= 1.0,
            "full {full:.2} s of 5, incremental {incremental:.2} s of 1"
        );
    }
}

/// Asks for names from anywhere; nanoseconds of processor time for each.
fn ask(what: &str, steerer: &mut Steerer, asked: &[(Steerable, IpAddr)]) -> f64 {
    let (found, took) = timed(what, || {
        let mut found = 0;
        for (name, address) in asked {
            let client = Client { address: *address, length: 24 };
            if let Steered::Addresses { v4, .. } = steerer.steer(*name, client, 0) {
                found += v4.len();
            }
        }
        found
    });
    assert!(found >= asked.len() * 2);
    println!("  {:.0} ns each", took * 1e9 / asked.len() as f64);
    took * 1e9 / asked.len() as f64
}

#[test]
#[ignore = "takes a minute and some gigabytes; run by name"]
fn answers_stay_ready() {
    let network = network();
    let mut dice = Dice(9);
    let calm = Conditions::calm(&network);
    let first = Arc::new(Map::new(Epoch(1), Arc::clone(&network), calm.clone(), NAMES_OF_REFERRAL));
    let names: Vec<Steerable> =
        (0..500).map(|host| first.names().find(&wire_of(&format!("web{host}")).unwrap()).unwrap()).collect();
    // Clients of some networks, as a name server sees them that is near to these.
    let starts = &network.prefixes.v4;
    let near: Vec<IpAddr> =
        (0..100).map(|_| IpAddr::V4(starts[dice.below(starts.len() as u64) as usize].0.into())).collect();
    let mut pick = |clients: Option<&[IpAddr]>| -> Vec<(Steerable, IpAddr)> {
        (0..1_000_000)
            .map(|_| {
                let name = names[dice.below(names.len() as u64) as usize];
                let client = match clients {
                    Some(clients) => clients[dice.below(clients.len() as u64) as usize],
                    None => IpAddr::V4((0x0100_0000 + dice.below(0xd000_0000) as u32).into()),
                };
                (name, client)
            })
            .collect()
    };
    let (few, any) = (pick(Some(&near)), pick(None));
    let published = Published::new(Arc::clone(&first));
    let mut steerer = Steerer::new(Arc::clone(&published), 1 << 17);
    ask("1 000 000 answers, 500 names and 100 clients, first time", &mut steerer, &few);
    let ready = ask("the same again", &mut steerer, &few);
    let mut conditions = calm;
    conditions.servers[7].standing = Standing::Withdrawn;
    published.publish(Arc::new(first.next(Epoch(2), conditions.clone())));
    steerer.refresh();
    let after = ask("the same after a map in which one server changed", &mut steerer, &few);
    let anew = Map::new(Epoch(3), Arc::clone(&network), conditions, NAMES_OF_REFERRAL);
    published.publish(Arc::new(anew));
    steerer.refresh();
    ask("the same after a map of which nothing is known to be as before", &mut steerer, &few);
    ask("1 000 000 answers, 500 names and any client", &mut steerer, &any);
    ask("the same again", &mut steerer, &any);
    if !cfg!(debug_assertions) {
        assert!(
            ready <= 500.0 && after <= ready * 2.0 + 100.0,
            "{after:.0} ns after a map, {ready:.0} before"
        );
    }
}

#[test]
#[ignore = "takes a minute and some gigabytes; run by name"]
fn a_million_names() {
    const EACH: usize = 500_000;
    let mut network = Network::default();
    for name in ["web", "video"] {
        let hosts = (0..EACH).map(|host| format!("{name}{host}")).collect();
        network.services.push(mapper::network::Service {
            name: name.into(),
            hosts,
            needs: 0,
            copies: 2,
            near: 2,
            elsewhere: 0,
            ttl: 20,
            order: mapper::network::Order::Fixed,
            fallback: mapper::network::Fallback::LastKnown,
            https: None,
        });
    }
    let (names, _) = timed("Names::new, 1 000 000 hosts", || Names::new(&network));
    let mut dice = Dice(3);
    let asked: Vec<Vec<u8>> = (0..1_000_000)
        .map(|_| {
            wire_of(&format!(
                "{}{}",
                ["web", "video", "none"][dice.below(3) as usize],
                dice.below(EACH as u64)
            ))
            .unwrap()
        })
        .collect();
    let (found, took) =
        timed("find, 1 000 000 times", || asked.iter().filter(|labels| names.find(labels).is_some()).count());
    println!("{found} found, {:.0} ns each", took * 1e3);
    assert!((600_000..700_000).contains(&found));
    assert!(cfg!(debug_assertions) || took <= 0.5, "{took:.2} us a name of 0.5");
}

/// Processor time of this process's threads whose name begins so, in seconds.
fn processor_of(name: &str) -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let of = |task: std::fs::DirEntry| {
        let read = |file: &str| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
        // In nanoseconds: what the scheduler counts is finer than the ticks of stat.
        let spent =
            read("schedstat").split_ascii_whitespace().next().and_then(|spent| spent.parse::<f64>().ok());
        if read("comm").starts_with(name) { spent.unwrap_or(0.0) / 1e9 } else { 0.0 }
    };
    tasks.map(of).sum()
}

fn metric(admin: std::net::SocketAddr, name: &str) -> u64 {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(admin).unwrap();
    let request = "GET /metrics HTTP/1.1\r\nhost: a\r\nauthorization: Bearer a token for operators\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.rsplit(' ').next().and_then(|value| value.parse().ok()).unwrap_or(0)
}

#[test]
#[ignore = "measures; run by name"]
#[expect(clippy::disallowed_methods, reason = "it measures")]
fn reports_through_a_socket() {
    const SERVERS: usize = 1_000;
    const EACH: u64 = 300;
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let mut network = "[[service]]\nname = \"web\"\nhosts = [\"web{0..499}\"]\n".to_owned();
    for site in 0..4 {
        network += &format!("[[site]]\nname = \"site{site}\"\nname-servers = [\"127.0.1.1\"]\n");
    }
    for server in 0..SERVERS {
        network += &format!(
            "[[server]]\nname = \"server{server}\"\nsite = \"site{}\"\naddresses = [\"10.0.{}.{}\"]\n",
            server % 4,
            server / 250,
            server % 250
        );
    }
    put("network.toml", &network);
    put(
        "zone",
        "$ORIGIN g.example.\n@ 3600 SOA ns1.g.example. h.g.example. 1 3600 600 86400 60\n@ 3600 NS ns1.g.example.\nns1 3600 A 127.0.0.1\n",
    );
    put("load.key", "a key for load reports");
    put("admin.token", "a token for operators");
    put(
        "mapper.toml",
        "listen = [\"127.0.0.1:0\"]\nthreads = 1\n[[zone]]\napex = \"g.example\"\nfile = \"zone\"\nrole = \"low\"\n\
         [map]\nfolder = \"maps\"\n[inputs]\nnetwork = [\"network.toml\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         token-file = \"admin.token\"\n[load]\nlisten = \"127.0.0.1:0\"\n[[load.key]]\nid = 1\nfile = \"load.key\"\n",
    );
    let config = mapper::run::Config::read(&folder.path().join("mapper.toml")).unwrap();
    let start = Instant::now();
    let outside = mapper::run::Outside {
        unix: Arc::new(|| NOW * 1000),
        monotonic: Arc::new(move || start.elapsed().as_millis() as u64),
        secret: [7; 32],
    };
    let mut keys = Keys::default();
    keys.add(1, b"a key for load reports").unwrap();
    let datagrams: Vec<Vec<u8>> = (1..=EACH)
        .flat_map(|number| (0..SERVERS).map(move |at| (number, at)))
        .map(|(number, at)| {
            let report = LoadReport {
                server: format!("server{at}"),
                started: 1,
                number,
                sent: NOW * 1000,
                processor: 300,
                names: (0..8)
                    .map(|name| NameLoad {
                        name: format!("web{}.g.example", (at * 7 + name) % 500),
                        share: 50,
                    })
                    .collect(),
                ..LoadReport::default()
            };
            load_report::write(&report, &keys, 1).unwrap()
        })
        .collect();
    let mapper = mapper::run::Mapper::start(config, outside).unwrap();
    let (load, admin) = (mapper.addresses().load.unwrap(), mapper.addresses().admin.unwrap());
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let before = (processor_of("mapper-admin"), processor_of("mapper-keeper"), Instant::now());
    // In bursts of a millisecond, at the rate of 300 000 servers.
    let (_never, pause) = std::sync::mpsc::channel::<()>();
    for (at, burst) in datagrams.chunks(300).enumerate() {
        for datagram in burst {
            socket.send_to(datagram, load).unwrap();
        }
        let due = std::time::Duration::from_millis(at as u64 + 1);
        let _ = pause.recv_timeout(due.saturating_sub(before.2.elapsed()));
    }
    let took = before.2.elapsed().as_secs_f64();
    let taken = || metric(admin, "mapper_load_reports_total{outcome=\"taken\"}");
    let mut seen = (0, 1);
    while seen.0 != seen.1 {
        let _ = pause.recv_timeout(std::time::Duration::from_millis(2500));
        seen = (seen.1, taken());
    }
    let (admin_spent, keeper) =
        (processor_of("mapper-admin") - before.0, processor_of("mapper-keeper") - before.1);
    let each = |spent: f64| spent * 1e6 / seen.0 as f64;
    println!(
        "sent {} in {took:.2} s, {} taken; receiving and checking {:.2} us each, taking {:.2} us each",
        datagrams.len(),
        seen.0,
        each(admin_spent),
        each(keeper)
    );
    mapper.stop();
    assert!(seen.0 > 0);
    if !cfg!(debug_assertions) {
        assert!(each(admin_spent + keeper) <= 5.0, "two cores are not enough for 300 000 reports a second");
    }
}
