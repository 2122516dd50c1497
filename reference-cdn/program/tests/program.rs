//! The program as its user meets it: a process, its output and its exit status.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Output, Stdio};

use rustix::process::Signal;
use support::{Origin, Running, get, program};

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

/// An origin whose pages stay fresh for as long as a test takes.
fn origin() -> Origin {
    Origin::start("Cache-Control: max-age=600", "page")
}

#[test]
fn an_edge_says_where_it_listens_serves_purges_and_stops_in_good_order() {
    let folder = tempfile::tempdir().expect("folder");
    let token = folder.path().join("token");
    std::fs::write(&token, "a-secret-of-some-length\n").expect("token");
    let origin = origin();
    let url = origin.url();
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
    let (mut child, ready) = Running::start_json(&mut program(&args));
    let (listen, admin) =
        (ready["listen"].as_str().expect("listen"), ready["admin"].as_str().expect("admin"));

    assert!(get(listen, "a").ends_with("page"));
    assert!(get(listen, "a").contains("hit"));
    assert_eq!(origin.asked(), 1);

    let mut operator = TcpStream::connect(admin).expect("connect");
    let content = "{\"url\":\"http://a/\"}";
    write!(operator, "POST /purge HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer a-secret-of-some-length\r\nContent-Length: {}\r\n\r\n{content}", content.len()).expect("write");
    let mut answer = String::new();
    operator.read_to_string(&mut answer).expect("read");
    assert!(answer.contains("\"purged\":1"), "{answer}");

    child.signal(Signal::TERM);
    assert_eq!(child.wait().expect("exit").code(), Some(0));
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
    let (process, ready) = Running::start_json(&mut program(&args));
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
    let origin = origin();
    let url = origin.url();
    let mut first = edge(&url, folder.path());
    assert!(get(&first.listen, "a").ends_with("page"));
    assert!(get(&first.listen, "a").contains("hit"));
    assert_eq!(origin.asked(), 1);
    let output = purge(&first.admin, folder.path(), &["--host", "a", "--id", "mine"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&answer["state"], &answer["durable"]), (&"in-force".into(), &true.into()));
    assert!(get(&first.listen, "a").ends_with("page"));
    assert_eq!(origin.asked(), 2);
    let later =
        purge(&first.admin, folder.path(), &["--all", "--at", "2126-01-01T00:00:00Z", "--id", "later"]);
    assert_eq!(later.status.code(), Some(0), "{}", text(&later.stderr));

    // SIGKILL.
    first.process.kill().expect("killed");
    first.process.wait().expect("dead");
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
    let url = origin().url();
    let certificate = path("site.pem");
    let args = ["edge", "--listen", "127.0.0.1:0", "--origin", &url, "--tls-listen", "127.0.0.1:0"];
    let args = [&args[..], &["--tls-certificate", &certificate, "--json"]].concat();
    let mut command = program(&args);
    command.stderr(Stdio::piped()).env("REFERENCE_CDN_LOG", "info");
    let (mut child, ready) = Running::start_json(&mut command);
    assert!(TcpStream::connect(ready["tls"].as_str().expect("tls")).is_ok());
    let mut log = BufReader::new(child.stderr.take().expect("piped"));
    let mut hang_up = |says: &str| {
        child.signal(Signal::HUP);
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
fn a_store_that_is_larger_than_its_file_system_is_warned_of() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().to_str().expect("path");
    let url = origin().url();
    for (size, warned) in [("1024GiB", true), ("1GiB", false)] {
        let args = ["edge", "--listen", "127.0.0.1:0", "--origin", &url, "--disk", path, "--disk-size", size];
        let mut command = program(&[&args[..], &["--json"]].concat());
        command.stderr(Stdio::piped());
        let (mut child, _) = Running::start_json(&mut command);
        let log = child.stderr.take().expect("piped");
        child.signal(Signal::TERM);
        let said = std::io::read_to_string(log).expect("log");
        assert_eq!(said.contains("less room than disk.size"), warned, "{size}: {said}");
    }
}

#[test]
fn an_edge_can_do_without_a_listener_in_the_clear() {
    let folder = tempfile::tempdir().expect("folder");
    let made = rcgen::generate_simple_self_signed(["site.test".to_owned()]).expect("certificate");
    let certificate = folder.path().join("site.pem");
    std::fs::write(&certificate, made.cert.pem() + &made.signing_key.serialize_pem()).expect("write");
    let url = origin().url();
    let certificate = certificate.to_str().expect("path");
    let args = ["edge", "--listen", "off", "--origin", &url, "--tls-listen", "127.0.0.1:0"];
    let args = [&args[..], &["--tls-certificate", certificate]].concat();
    let says = |more: &[&str]| Running::start(&mut program(&[&args[..], more].concat())).1;
    let ready: serde_json::Value = serde_json::from_str(&says(&["--json"])).expect("JSON");
    assert!(ready["listen"].is_null() && ready["tls"].is_string(), "{ready}");
    let line = says(&[]);
    assert!(line.starts_with("reference-cdn edge: https://127.0.0.1:"), "{line}");
    fails(&["edge", "--listen", "off", "--origin", &url], "there is nowhere for clients to connect");
}

#[test]
fn what_cannot_work_is_said_in_one_clear_message() {
    let origin = origin();
    let (taken, url) = (origin.address.to_string(), origin.url());
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
        &["mapper", "--help"],
        &["map", "build", "--help"],
        &["map", "diff", "--help"],
        &["map", "simulate", "--help"],
        &["explain-dns", "--help"],
    ] {
        let output = run(command);
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).to_lowercase().contains("example"), "{command:?}");
    }
    let all = text(&run(&["--help"]).stdout);
    for example in
        ["reference-cdn edge --listen", "reference-cdn mapper --config", "reference-cdn map simulate"]
    {
        assert!(all.contains(example), "no {example} in {all}");
    }
}

/// What bash completes when these words have been typed, the last of them in part.
fn completed(script: &Path, words: &[&str]) -> Vec<String> {
    let ask = r#"
        source "$1"; shift
        function=$(complete -p "$1"); function=${function##*-F }; function=${function%% *}
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        "$function" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let output = std::process::Command::new("bash")
        .args(["--norc", "-c", ask, "bash"])
        .arg(script)
        .args(words)
        .output()
        .expect("bash runs");
    assert_eq!(text(&output.stderr), "", "{words:?}");
    text(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_and_options_at_every_level() {
    let folder = tempfile::tempdir().expect("folder");
    let script = folder.path().join("reference-cdn.bash");
    std::fs::write(&script, run(&["completions", "bash"]).stdout).expect("write");
    let cases: [(&[&str], &[&str]); 7] = [
        (&["ma"], &["mapper", "map"]),
        (&["map", ""], &["-h", "--help", "build", "diff", "simulate", "help"]),
        (&["map", "sim"], &["simulate"]),
        (&["map", "simulate", "--life"], &["--lifetimes"]),
        (&["mapper", "--wr"], &["--write-example"]),
        (&["explain-dns", "--cl"], &["--client"]),
        (&["completions", "z"], &["zsh"]),
    ];
    for (words, expected) in cases {
        let words = [&["reference-cdn"], words].concat();
        assert_eq!(completed(&script, &words), expected, "{words:?}");
    }
}

/// Runs a shell; `None`, said aloud: it is not installed.
fn in_shell(shell: &str, arguments: &[&str]) -> Option<String> {
    match std::process::Command::new(shell).args(arguments).output() {
        Ok(output) => {
            assert_eq!(text(&output.stderr), "", "{shell} {arguments:?}");
            Some(text(&output.stdout))
        }
        Err(error) => {
            eprintln!("not run: {shell} is not installed: {error}");
            None
        }
    }
}

/// Lines as they are typed, and what is offered then, in the order of the alphabet.
const LINES: [(&str, &[&str]); 10] = [
    ("ma", &["map", "mapper"]),
    ("map ", &["build", "diff", "help", "simulate"]),
    ("map sim", &["simulate"]),
    ("map simulate --life", &["--lifetimes"]),
    ("mapper --wr", &["--write-example"]),
    ("explain-dns --cl", &["--client"]),
    ("help ma", &["map", "mapper"]),
    ("help map s", &["simulate"]),
    ("completions z", &["zsh"]),
    ("completions ", &["bash", "elvish", "fish", "powershell", "zsh"]),
];

#[test]
fn fish_completes_commands_options_and_values_at_every_level() {
    let folder = tempfile::tempdir().expect("folder");
    let script = folder.path().join("reference-cdn.fish");
    std::fs::write(&script, run(&["completions", "fish"]).stdout).expect("write");
    for (line, expected) in LINES {
        let ask = format!("source {}; complete -C 'reference-cdn {line}'", script.display());
        let Some(said) = in_shell("fish", &["--no-config", "-c", &ask]) else { return };
        let mut found: Vec<&str> = said.lines().filter_map(|line| line.split('\t').next()).collect();
        found.sort_unstable();
        assert_eq!(found, expected, "{line:?}");
    }
}

/// Zsh completes only what is typed on a terminal: it is given one, and tells what it was about to offer.
#[test]
fn zsh_completes_commands_options_and_values_at_every_level() {
    const ASK: &str = r#"
        zmodload zsh/zpty
        zpty shell zsh -f -i
        say() { zpty -w shell "$1" }
        until_there() {
            heard=
            while zpty -r shell part; do heard+=$part; [[ $heard == *"<$1>"* ]] && return; done
        }
        say "PROMPT= RPROMPT=; stty -echo; fpath=($1 \$fpath)"
        say 'autoload -Uz compinit; compinit -u -D; bindkey "^I" complete-word'
        say 'note() { print -r -- "<$1>" }; before() { note begin }; after() { note end; exit }'
        say 'compprefuncs=(before); comppostfuncs=(after)'
        say 'compadd() {
            if [[ ${@[1,(i)(-|--)]} == *-[OAD]* ]] { builtin compadd "$@"; return $? }
            local -a found; builtin compadd -A found "$@"; print -rl -- "offered "$^found; builtin compadd "$@"
        }'
        say 'note rea""dy'
        until_there ready
        zpty -w -n shell "$2"$'\t'
        until_there end
        for line in ${(f)${${heard#*<begin>}%%<end>*}//$'\r'/}; do
            [[ $line == "offered "* ]] && print -r -- ${line#offered }
        done
        true"#;
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("_reference-cdn"), run(&["completions", "zsh"]).stdout).expect("write");
    let functions = folder.path().display().to_string();
    for (line, expected) in LINES {
        let typed = format!("reference-cdn {line}");
        let Some(said) = in_shell("zsh", &["-f", "-c", ASK, "zsh", &functions, &typed]) else { return };
        let mut found: Vec<&str> = said.lines().collect();
        found.sort_unstable();
        assert_eq!(found, expected, "{line:?}");
    }
}

/// By the shells themselves, where they are installed.
#[test]
fn completion_scripts_are_what_their_shells_read() {
    let folder = tempfile::tempdir().expect("folder");
    for (shell, check) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let script = run(&["completions", shell]).stdout;
        assert!(text(&script).contains("reference-cdn"), "{shell}");
        let path = folder.path().join(shell);
        std::fs::write(&path, script).expect("write");
        match std::process::Command::new(shell).arg(check).arg(&path).output() {
            Ok(output) => assert!(output.status.success(), "{shell}: {}", text(&output.stderr)),
            Err(_) => eprintln!("not run: {shell} is not installed"),
        }
    }
}
