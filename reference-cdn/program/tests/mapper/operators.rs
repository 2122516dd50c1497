//! What operators order and are told, in answers, in the status and in the log as it is when nobody asks for more.

use super::*;

/// A mapper with its log, from a folder that operators may have changed.
struct Told {
    folder: Folder,
    mapper: Mapper,
    log: BufReader<std::process::ChildStderr>,
    said: String,
}

impl Told {
    fn start(folder: Folder) -> Self {
        let mut mapper = folder.start("mapper.toml");
        let log = BufReader::new(mapper.child.stderr.take().expect("a log"));
        Self { folder, mapper, log, said: String::new() }
    }

    /// Reads the log until it says something.
    fn until(&mut self, part: &str) {
        while !self.said.contains(part) {
            let read = self.log.read_line(&mut self.said).expect("read");
            assert!(read > 0, "the log ends without {part}: {}", self.said);
        }
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.mapper.operator("GET", "/status").1).expect("JSON")
    }

    /// Waits until the status is as it should be.
    fn status_until(&self, holds: impl Fn(&Value) -> bool) -> Value {
        let begin = now();
        loop {
            let status = self.status();
            if holds(&status) {
                return status;
            }
            assert!(now() - begin < Duration::from_secs(30), "the status is still {status}");
            std::thread::yield_now();
        }
    }

    fn metric(&self, line: &str) {
        let metrics = self.mapper.operator("GET", "/metrics").1;
        assert!(metrics.lines().any(|known| known == line), "{line} is not in {metrics}");
    }
}

#[test]
fn a_server_that_is_withdrawn_on_a_full_disk_is_taken_out_and_it_is_said_that_it_is_not_kept() {
    let mut told = Told::start(Folder::new());
    // A folder where the list should be renamed to: as good as a full disk.
    let list = told.folder.at("maps/withdrawn");
    std::fs::create_dir(&list).expect("made");
    for _ in 0..2 {
        let (status, said) = told.mapper.operator("POST", "/withdraw?server=nyc-1");
        assert_eq!(status, 507, "{said}");
        for part in ["withdrawn, and answered so", "not kept", "maps/withdrawn", "restart", "trouble"] {
            assert!(said.contains(part), "{part} is not in {said}");
        }
        // As soon as it is said, it is so.
        assert_eq!(told.mapper.ask("www.g.cdn.example", NYC).0, ["198.51.100.2"]);
    }
    told.until("withdrawn by an operator server=\"nyc-1\"");
    told.until("forgotten when this mapper ends");
    told.status_until(|status| status["trouble"].as_str().is_some_and(|what| what.contains("withdrawn")));
    told.metric("mapper_map_trouble 1");
    std::fs::remove_dir(&list).expect("removed");
    told.status_until(|status| status["trouble"].is_null());
    told.until("which servers are withdrawn is kept again");
    assert_eq!(
        std::fs::read_to_string(&list).expect("it is there").replace(char::is_whitespace, ""),
        "[\"nyc-1\"]"
    );
    let Told { folder, mapper, .. } = told;
    drop(mapper);
    let mut told = Told::start(folder);
    assert_eq!(told.mapper.ask("www.g.cdn.example", NYC).0, ["198.51.100.2"]);
    assert_eq!(told.mapper.operator("POST", "/restore?server=nyc-1"), (200, "restored\n".into()));
    // After a restart it has to be heard of, too.
    let socket = UdpSocket::bind("127.0.0.1:0").expect("bind");
    let datagram = write(&report("nyc-1", 1, 100), &keys(), 7).expect("written");
    socket.send_to(&datagram, told.mapper.address("load")).expect("sent");
    told.mapper.until("www.g.cdn.example", NYC, of_site("198.51.100."));
    told.until("restored by an operator server=\"nyc-1\"");
}

#[test]
fn a_server_with_a_wrong_key_is_named_once_and_counted() {
    let mut told = Told::start(Folder::new());
    let socket = UdpSocket::bind("127.0.0.1:0").expect("bind");
    let mut wrong = Keys::default();
    wrong.add(7, b"a key that somebody made up").expect("a key");
    wrong.add(9, b"a key that nobody knows here").expect("a key");
    for id in [7, 7, 9] {
        let datagram = write(&report("ams-1", 1, 100), &wrong, id).expect("written");
        socket.send_to(&datagram, told.mapper.address("load")).expect("sent");
    }
    told.status_until(|status| status["reports"]["forged"] == 3);
    // Over HTTP it is the same sender.
    let fields = "Load-Key: 7\r\nLoad-MAC: 00\r\n";
    let (status, said) = told.mapper.http("POST", "/load", fields, "{}");
    assert_eq!(status, 400);
    assert!(said.contains("HMAC-SHA-256") && said.contains("the letters json"), "{said}");
    told.status_until(|status| status["reports"]["forged"] == 4);
    told.metric("mapper_load_reports_total{outcome=\"forged\"} 4");
    assert_eq!(told.mapper.operator("POST", "/withdraw?server=ams-1").0, 200);
    told.until("withdrawn by an operator");
    assert_eq!(told.said.matches("load reports are refused").count(), 1, "{}", told.said);
    assert!(
        told.said.contains("wrong for key 7") && told.said.contains("address=\"127.0.0.1\""),
        "{}",
        told.said
    );
    assert!(!told.said.contains("made up") && !told.said.contains("\"7\""), "{}", told.said);
}

#[test]
fn unknown_servers_wrong_clocks_and_wrong_tokens_are_named_once() {
    let mut told = Told::start(Folder::new());
    let socket = UdpSocket::bind("127.0.0.1:0").expect("bind");
    for number in 1..4 {
        let late = LoadReport { sent: unix() - 3_600_000, ..report("ams-1", number, 100) };
        for report in [late, report("amz-1", number, 100)] {
            let datagram = write(&report, &keys(), 7).expect("written");
            socket.send_to(&datagram, told.mapper.address("load")).expect("sent");
        }
        let (status, said) =
            told.mapper.http("POST", "/withdraw?server=ams-1", "Authorization: Bearer x\r\n", "");
        assert_eq!(status, 401, "{said}");
    }
    told.status_until(|status| {
        status["reports"]["of-unknown-servers"] == 3 && status["reports"]["with-a-wrong-clock"] == 3
    });
    assert_eq!(told.mapper.operator("POST", "/withdraw?server=ams-2").0, 200);
    told.until("withdrawn by an operator");
    for (once, with) in [
        ("a server that the network does not have", "server=\"amz-1\""),
        ("s behind this mapper's", "server=\"ams-1\""),
        ("without a valid token", "path=\"/withdraw\""),
    ] {
        let lines = told.said.lines().filter(|line| line.contains(once)).collect::<Vec<_>>();
        assert!(lines.len() == 1 && lines[0].contains(with), "{}", told.said);
    }
}

/// The example in the reference is carried out as it is there.
#[test]
fn a_load_report_is_sent_from_a_shell_as_its_reference_says() {
    let told = Told::start(Folder::new());
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mapper/LOAD-REPORTS.md");
    let page = std::fs::read_to_string(page).expect("the reference");
    let (_, script) = page.split_once("```sh\n").expect("an example");
    let (script, _) = script.split_once("```").expect("its end");
    // With white space at the end, as an editor leaves it.
    told.folder.put("load.key", &format!("{KEY}\n"));
    assert_eq!(told.mapper.operator("POST", "/reload").0, 200);
    let ran = Command::new("sh")
        .args(["-eu", "-c", script])
        .current_dir(told.folder.0.path())
        .env("SERVER", "ams-1")
        .env("KEY_FILE", told.folder.at("load.key"))
        .env("KEY_ID", "7")
        .env("ADMIN", format!("http://{}", told.mapper.address("admin")))
        .output()
        .expect("runs");
    assert_eq!(text(&ran.stdout), "taken\n", "{}", text(&ran.stderr));
    told.status_until(|status| status["reports"]["taken"] == 1);
}

#[test]
fn an_input_that_is_broken_is_in_the_status_and_the_metrics_until_it_is_mended() {
    let mut told = Told::start(Folder::new());
    let good = std::fs::read_to_string(told.folder.at("probes.jsonl")).expect("read");
    let status = told.status();
    assert_eq!(status["build"]["problems"], Value::Array(Vec::new()));
    told.metric("mapper_build_problems 0");
    told.folder.put("probes.jsonl", "nothing of it can be used\n");
    told.until("probes.jsonl");
    let status = told.status_until(|status| status["build"]["problems"][0].is_object());
    told.metric("mapper_build_problems 1");
    assert!(status["made"].as_u64().is_some_and(|made| made > 1_700_000_000), "{status}");
    // Names in it are written alike.
    assert_kebab(&status);
    told.folder.put("probes.jsonl", &good);
    told.until("no more: ");
    told.status_until(|status| status["build"]["problems"] == Value::Array(Vec::new()));
}

fn assert_kebab(value: &Value) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            assert!(!name.contains('_') && !name.contains(char::is_uppercase), "{name}");
            assert_kebab(value);
        }),
        Value::Array(values) => values.iter().for_each(assert_kebab),
        _ => {}
    }
}

/// Messages that somebody meets who begins.
#[test]
fn what_a_beginner_does_wrong_is_answered_with_what_to_do() {
    let folder = Folder::new();
    let failed = |args: &[&str]| {
        let output = run(args);
        assert_ne!(output.status.code(), Some(0), "{args:?}: {}", text(&output.stdout));
        text(&output.stderr).replace(&folder.at(""), "")
    };
    let (config, maps) = (folder.at("mapper.toml"), folder.at("maps"));
    let explain = |more: &[&str]| {
        failed(&[&["explain-dns", "www.g.cdn.example", "--client", "10.1.7.1"], more].concat())
    };
    let mut all = vec![failed(&["mapper"]), failed(&["check", &config])];
    all.push(explain(&["--map", &folder.at("nope")]));
    std::fs::create_dir(&maps).expect("made");
    all.push(explain(&["--map", &maps]));
    all.push(explain(&["--map", &maps, "--at", "7"]));
    assert_eq!(run(&["map", "build", "--config", &config]).status.code(), Some(0));
    let early = explain(&["--map", &maps, "--at", "7"]);
    let (said, first) = early.trim_end().rsplit_once("the first is of ").expect("when the first map was");
    all.push(said.to_owned() + "\n");
    let explained = |name: &str, more: &[&str]| {
        let output = run(&[&["explain-dns", name, "--client", "10.1.7.1", "--map", &maps], more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        (text(&output.stdout), text(&output.stderr))
    };
    // What is printed is what can be asked.
    assert_eq!(explained("www.g.cdn.example", &["--at", first]).1, "");
    let later = (unix() / 1000 + 7200).to_string();
    assert!(explained("www.g.cdn.example", &["--at", &later]).1.contains("is in the future"));
    // Of which zone a name is, is not in a map.
    assert!(explained("www.other.example", &[]).0.starts_with("as if the steered zone were other.example: "));
    let told = explained("www.g.cdn.example", &["--zone", "g.cdn.example"]).0;
    assert!(told.starts_with("www.g.cdn.example for "), "{told}");
    let other = failed(&[
        "explain-dns",
        "www.other.example",
        "--client",
        "10.1.7.1",
        "--map",
        &maps,
        "--zone",
        "g.cdn.example",
    ]);
    // Its epoch is another each time.
    let (before, after) = other.split_once(" of map ").expect("the map");
    all.push(format!("{before} of map N{}", after.trim_start_matches(|digit: char| digit.is_ascii_digit())));
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let taken = listener.local_addr().expect("an address");
    let config = super::config("").replace("listen = \"127.0.0.1:0\"", &format!("listen = \"{taken}\""));
    let said = |config: &str| {
        folder.put("wrong.toml", config);
        failed(&["mapper", "--config", &folder.at("wrong.toml")]).replace(&taken.to_string(), "ADDRESS")
    };
    all.push(said(&config));
    all.push(said("listen = [\"localhost\"]\nzone = []\n"));
    folder.put("g.zone", "$TTL 60\n@ IN NS ns.example.\n");
    all.push(said(&super::config("")));
    insta::assert_snapshot!("what_a_beginner_does_wrong", all.join("---\n"));
    let spaced = folder.at("my maps/it's");
    let written = text(&run(&["mapper", "--write-example", &spaced]).stdout);
    let quoted = format!("--config '{}/mapper.toml' --check", spaced.replace('\'', "'\\''"));
    assert!(written.contains(&quoted), "{written}");
    let commands =
        written.lines().find_map(|line| line.trim().strip_prefix("reference-cdn mapper --config "));
    let path = commands.expect("a command").trim_end_matches(" --check");
    let shown = Command::new("sh").args(["-c", &format!("cat {path}")]).output().expect("runs");
    assert!(text(&shown.stdout).contains("[[zone]]"), "{}", text(&shown.stderr));
}

/// What was warned of is taken back where the warning was read.
#[test]
fn a_server_that_answers_its_probe_again_is_in_the_log_as_it_is() {
    let folder = Folder::new();
    let listener = TcpListener::bind("127.0.0.13:0").expect("bind");
    let port = listener.local_addr().expect("an address").port();
    let well = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let answers = std::sync::Arc::clone(&well);
    serve(listener, move || {
        (if answers.load(std::sync::atomic::Ordering::Relaxed) { "200 OK" } else { "500 No" }, "")
    });
    folder.put(
        "network.toml",
        "[[site]]\nname = \"here\"\n[[server]]\nname = \"only\"\nsite = \"here\"\naddresses = [\"127.0.0.13\"]\n[[service]]\nname = \"web\"\nhosts = [\"www\"]\n",
    );
    folder.put(
        "mapper.toml",
        &config(&format!(
            "[inputs]\nnetwork = [\"network.toml\"]\n[[probe]]\nhost = \"www.example\"\nport = {port}\nevery = 1\n"
        )),
    );
    let mut told = Told::start(folder);
    told.until("the probe over IPv4 fails");
    well.store(true, std::sync::atomic::Ordering::Relaxed);
    told.until("the probe over IPv4 succeeds again server=\"only\"");
}
