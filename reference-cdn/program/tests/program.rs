//! The program as its user meets it: a process, its output and its exit status.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};

fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reference-cdn"));
    command.args(args);
    command
}

fn run(args: &[&str]) -> Output {
    program(args).output().expect("runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Fails with exit status 2 and says this on standard error.
fn fails(args: &[&str], says: &str) {
    let output = run(args);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
    assert!(said.contains(says), "{args:?}: {said}");
}

/// An origin that answers every connection once.
fn origin() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let url = format!("http://{}", listener.local_addr().expect("address"));
    (listener, url)
}

fn answer_one(listener: &TcpListener) {
    let (mut stream, _) = listener.accept().expect("accept");
    let mut reader = BufReader::new(stream.try_clone().expect("clone"));
    let mut line = String::new();
    while reader.read_line(&mut line).expect("read") > 2 {
        line.clear();
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\nConnection: close\r\n\r\npage").expect("write");
}

fn get(address: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("connect");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("write");
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("read");
    text(&all)
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_edge_says_where_it_listens_serves_purges_and_stops_in_good_order() {
    let folder = tempfile::tempdir().expect("folder");
    let token = folder.path().join("token");
    std::fs::write(&token, "a-secret-of-some-length\n").expect("token");
    let (listener, url) = origin();
    let token = token.to_str().expect("path");
    let args = [
        "edge",
        "--listen",
        "127.0.0.1:0",
        "--origin",
        &url,
        "--admin",
        "127.0.0.1:0",
        "--admin-token-file",
        token,
        "--memory",
        "8MiB",
        "--client-directives",
        "honor",
        "--json",
    ];
    let mut child = Running(program(&args).stdout(Stdio::piped()).spawn().expect("starts"));
    let mut out = BufReader::new(child.0.stdout.take().expect("piped"));
    let mut line = String::new();
    out.read_line(&mut line).expect("ready line");
    let ready: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    let (listen, admin) =
        (ready["listen"].as_str().expect("listen"), ready["admin"].as_str().expect("admin"));

    let first = std::thread::spawn({
        let listen = listen.to_owned();
        move || get(&listen)
    });
    answer_one(&listener);
    assert!(first.join().expect("answer").ends_with("page"));
    assert!(get(listen).contains("hit"));

    let mut operator = TcpStream::connect(admin).expect("connect");
    let content = "{\"url\":\"http://a/\"}";
    write!(operator, "POST /purge HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer a-secret-of-some-length\r\nContent-Length: {}\r\n\r\n{content}", content.len()).expect("write");
    let mut answer = String::new();
    operator.read_to_string(&mut answer).expect("read");
    assert!(answer.contains("\"purged\":1"), "{answer}");

    let id = rustix::process::Pid::from_raw(i32::try_from(child.0.id()).expect("id")).expect("id");
    rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("signal");
    assert_eq!(child.0.wait().expect("exit").code(), Some(0));
    assert!(TcpStream::connect(listen).is_err());
}

/// An edge with an admin listener and a purge log in a folder.
struct Edge {
    process: Running,
    listen: String,
    admin: String,
}

fn edge(origin: &str, folder: &std::path::Path) -> Edge {
    let token = folder.join("token");
    std::fs::write(&token, "a-secret-of-some-length\n").expect("token");
    let (token, log) =
        (token.to_string_lossy().into_owned(), folder.join("log").to_string_lossy().into_owned());
    let args = [
        "edge",
        "--listen",
        "127.0.0.1:0",
        "--origin",
        origin,
        "--admin",
        "127.0.0.1:0",
        "--admin-token-file",
        &token,
        "--purge-folder",
        &log,
        "--json",
    ];
    let mut process = Running(program(&args).stdout(Stdio::piped()).spawn().expect("starts"));
    let mut line = String::new();
    BufReader::new(process.0.stdout.take().expect("piped")).read_line(&mut line).expect("ready line");
    let ready: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    let address = |name: &str| ready[name].as_str().expect("an address").to_owned();
    Edge { listen: address("listen"), admin: format!("http://{}", address("admin")), process }
}

/// The command of the same program as a client of an edge.
fn purge(admin: &str, folder: &std::path::Path, flags: &[&str]) -> Output {
    let token = folder.join("token");
    let token = token.to_str().expect("path");
    run(&[&["purge", "--admin", admin, "--token-file", token][..], flags].concat())
}

#[test]
fn purges_are_ordered_by_command_and_survive_being_killed() {
    let folder = tempfile::tempdir().expect("folder");
    let (listener, url) = origin();
    let mut first = edge(&url, folder.path());
    let fetch = |edge: &Edge| {
        let listen = edge.listen.clone();
        let asked = std::thread::spawn(move || get(&listen));
        answer_one(&listener);
        assert!(asked.join().expect("answer").ends_with("page"));
    };
    fetch(&first);
    assert!(get(&first.listen).contains("hit"));
    let output = purge(&first.admin, folder.path(), &["--host", "a", "--id", "mine"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&answer["state"], &answer["durable"]), (&"in-force".into(), &true.into()));
    fetch(&first);
    let later =
        purge(&first.admin, folder.path(), &["--all", "--at", "2126-01-01T00:00:00Z", "--id", "later"]);
    assert_eq!(later.status.code(), Some(0), "{}", text(&later.stderr));

    // SIGKILL.
    first.process.0.kill().expect("killed");
    first.process.0.wait().expect("dead");
    let second = edge(&url, folder.path());
    let shown = purge(&second.admin, folder.path(), &["--show", "mine"]);
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    assert_eq!((&shown["accepted"], &shown["host"]), (&answer["accepted"], &"a".into()));
    let cancelled = purge(&second.admin, folder.path(), &["--cancel", "later"]);
    assert!(text(&cancelled.stdout).contains("\"cancelled\""), "{}", text(&cancelled.stderr));
    let list = text(&purge(&second.admin, folder.path(), &["--list"]).stdout);
    assert!(list.contains("mine") && list.contains("later"), "{list}");

    let refused = purge(&second.admin, folder.path(), &["--show", "nothing"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("404: no such purge"), "{}", text(&refused.stderr));
    std::fs::write(folder.path().join("token"), "another").expect("write");
    let refused = purge(&second.admin, folder.path(), &["--all"]);
    assert!(text(&refused.stderr).contains("401"), "{}", text(&refused.stderr));
    drop(second.process);
    let lost = purge(&second.admin, folder.path(), &["--all"]);
    assert_eq!(lost.status.code(), Some(2));
    assert!(text(&lost.stderr).contains("cannot ask http://127.0.0.1:"), "{}", text(&lost.stderr));
}

#[test]
fn certificates_are_read_again_on_sighup() {
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("path").to_owned();
    let write = || {
        let made = rcgen::generate_simple_self_signed(["site.test".to_owned()]).expect("certificate");
        std::fs::write(path("site.pem"), made.cert.pem() + &made.signing_key.serialize_pem()).expect("write");
    };
    write();
    let (_listener, url) = origin();
    let certificate = path("site.pem");
    let args = ["edge", "--listen", "127.0.0.1:0", "--origin", &url, "--tls-listen", "127.0.0.1:0"];
    let args = [&args[..], &["--tls-certificate", &certificate, "--json"]].concat();
    let mut command = program(&args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).env("REFERENCE_CDN_LOG", "info");
    let mut child = Running(command.spawn().expect("starts"));
    let mut line = String::new();
    BufReader::new(child.0.stdout.take().expect("piped")).read_line(&mut line).expect("ready line");
    let ready: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert!(TcpStream::connect(ready["tls"].as_str().expect("tls")).is_ok());
    let mut log = BufReader::new(child.0.stderr.take().expect("piped"));
    let mut hang_up = |says: &str| {
        let id = rustix::process::Pid::from_raw(i32::try_from(child.0.id()).expect("id")).expect("id");
        rustix::process::kill_process(id, rustix::process::Signal::HUP).expect("signal");
        let mut line = String::new();
        while !line.contains(says) {
            line.clear();
            assert_ne!(log.read_line(&mut line).expect("log"), 0, "the log ends before: {says}");
        }
    };
    write();
    hang_up("certificates replaced");
    std::fs::write(path("site.pem"), "spoiled").expect("write");
    hang_up("site.pem holds no certificate");
    write();
    hang_up("certificates replaced");
}

#[test]
fn an_edge_can_do_without_a_listener_in_the_clear() {
    let folder = tempfile::tempdir().expect("folder");
    let made = rcgen::generate_simple_self_signed(["site.test".to_owned()]).expect("certificate");
    let certificate = folder.path().join("site.pem");
    std::fs::write(&certificate, made.cert.pem() + &made.signing_key.serialize_pem()).expect("write");
    let (_listener, url) = origin();
    let certificate = certificate.to_str().expect("path");
    let args = ["edge", "--listen", "off", "--origin", &url, "--tls-listen", "127.0.0.1:0"];
    let args = [&args[..], &["--tls-certificate", certificate]].concat();
    let says = |more: &[&str]| {
        let mut command = program(&[&args[..], more].concat());
        command.stdout(Stdio::piped());
        let mut child = Running(command.spawn().expect("starts"));
        let mut line = String::new();
        BufReader::new(child.0.stdout.take().expect("piped")).read_line(&mut line).expect("ready line");
        line
    };
    let ready: serde_json::Value = serde_json::from_str(&says(&["--json"])).expect("JSON");
    assert!(ready["listen"].is_null() && ready["tls"].is_string(), "{ready}");
    let line = says(&[]);
    assert!(line.starts_with("reference-cdn edge: https://127.0.0.1:"), "{line}");
    fails(&["edge", "--listen", "off", "--origin", &url], "there is nowhere for clients to connect");
}

#[test]
fn what_cannot_work_is_said_in_one_clear_message() {
    let (taken, url) = origin();
    let taken = taken.local_addr().expect("address").to_string();
    fails(&["edge", "--listen", &taken, "--origin", &url], "another program listens there");
    fails(&["edge", "--listen", "192.0.2.1:0", "--origin", &url], "this machine has no such address");
    fails(
        &["edge", "--listen", "localhost", "--origin", &url],
        "--listen: \"localhost\" is not an address to listen on",
    );
    fails(&["edge", "--origin", "example.com"], "write it as \"http://host:port\"");
    fails(&["edge", "--origin", "ftp://example.com"], "write it as \"http://host:port\"");
    fails(
        &["edge", "--origin", &url, "--memory", "lots"],
        "--memory: expected a size in octets, found \"lots\"",
    );
    fails(&["edge", "--origin", &url, "--client-directives", "honour"], "did you mean \"honor\"?");
    fails(&["edge", "--origin", &url, "--client-directives", "maybe"], "hint: the default is ignore");
    let both = ["edge", "--origin", "ftp://a", "--memory", "lots"];
    fails(&both, "--origin: ");
    fails(&both, "--memory: ");
    fails(&["edge", "--origin", &url, "--admin", "127.0.0.1:0"], "without a token file");
    fails(
        &["edge", "--origin", &url, "--admin", "127.0.0.1:0", "--admin-token-file", "/nonexistent"],
        "cannot read the token file",
    );
    fails(&["edge", "--origin", &url, "--access-log", "/nonexistent/log"], "cannot open the access log");
    fails(
        &["edge", "--origin", &url, "--purge-folder", "/dev/null/x"],
        "cannot use the purge log /dev/null/x",
    );
    fails(
        &["purge", "--admin", "http://127.0.0.1:1", "--token-file", "/nonexistent", "--all"],
        "cannot read the token file",
    );
    fails(
        &["purge", "--admin", "127.0.0.1:1", "--token-file", "/dev/null", "--all"],
        "write it as http://ADDRESS:PORT",
    );
    fails(&["purge", "--admin", "http://127.0.0.1:1", "--token-file", "/dev/null"], "--url");
    let tls = ["edge", "--origin", &url, "--tls-listen", "127.0.0.1:0"];
    fails(&tls, "tls.listen: a TLS listener without a certificate");
    fails(&[&tls[..], &["--tls-certificate", "/nonexistent.pem"]].concat(), "cannot read /nonexistent.pem");
    fails(&["edge", "--config", "/nonexistent.toml"], "No such file");
    fails(&["edge"], "--origin");
    fails(&["edge", "--config", "/dev/null"], "no origin is given");
}

#[test]
fn check_tells_valid_from_invalid_by_its_exit_status() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("edge.toml");
    let name = path.to_str().expect("path");
    std::fs::write(&path, "[origin]\nurl = \"http://127.0.0.1:9000\"\n").expect("write");
    assert_eq!(run(&["check", name]).status.code(), Some(0));
    std::fs::write(&path, "[origin]\nurl = \"http://127.0.0.1:9000\"\nidel = \"3s\"\n").expect("write");
    let output = run(&["check", name]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("did you mean `origin.idle`?"), "{}", text(&output.stderr));
    assert_eq!(run(&["check", "/nonexistent.toml"]).status.code(), Some(2));
    assert_eq!(run(&["check", "/"]).status.code(), Some(2));
}

#[test]
fn help_has_examples_and_shells_get_completions() {
    for command in [
        &["--help"][..],
        &["edge", "--help"],
        &["purge", "--help"],
        &["check", "--help"],
        &["config", "--help"],
        &["completions", "--help"],
    ] {
        let output = run(command);
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).contains("Example"), "{command:?}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(text(&run(&["completions", shell]).stdout).contains("reference-cdn"));
    }
}
