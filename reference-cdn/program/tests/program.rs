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
