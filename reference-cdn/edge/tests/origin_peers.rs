//! Debian's nginx as origin: HTTP/1.1 and HTTP/2, in TLS and in clear text.
//!
//! Without nginx nothing is run and the test says so; with REQUIRE_PEERS=1 that is a failure.

#[path = "support/secure.rs"]
mod secure;
mod support;

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use edge::{OriginConfig, Protocol};
use secure::Authority;
use support::{Client, TestEdge, pattern, soon};

/// Where packages put it, for when it is not in the search path of ordinary users.
const PROGRAMS: [&str; 3] = ["nginx", "/usr/sbin/nginx", "/usr/local/sbin/nginx"];

struct Nginx {
    child: Child,
    address: SocketAddr,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Asked to, it ends its worker too.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

/// The program, unless it is not here and need not be.
fn program() -> Option<&'static str> {
    let found = PROGRAMS.into_iter().find(|program| Command::new(program).arg("-v").output().is_ok());
    if found.is_none() {
        assert!(std::env::var_os("REQUIRE_PEERS").is_none_or(|it| it != "1"), "nginx must be installed");
        println!("not run: nginx is not installed");
    }
    found
}

/// nginx cannot choose a port. It takes over a socket that is listening already; connections are queued from now on, and
/// nothing has to wait for it to be ready. `options` stand behind the address that it listens on.
fn start(program: &str, folder: &Path, options: &str) -> Nginx {
    let socket = TcpListener::bind("127.0.0.1:0").expect("bind");
    socket.set_nonblocking(true).expect("nonblocking");
    let address = socket.local_addr().expect("address");
    let dir = folder.join(address.port().to_string());
    std::fs::create_dir(&dir).expect("folder");
    let (root, dir) = (folder.display(), dir.display());
    let config = format!(
        "daemon off; worker_processes 1; user root; pid {dir}/pid; error_log {dir}/error.log;
         events {{ worker_connections 512; }}
         http {{
           access_log off; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;
           fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
           client_max_body_size 100m; keepalive_requests 50;
           root {root}/root;
           add_header X-Protocol $server_protocol; add_header X-Host $host; add_header Cache-Control no-store;
           server {{ listen {address} {options}; }}
         }}"
    );
    let file = format!("{dir}/nginx.conf");
    std::fs::write(&file, config).expect("write");
    let child = Command::new(program)
        .args(["-c", &file, "-p", &dir.to_string(), "-e", &format!("{dir}/error.log")])
        .env("NGINX", "0;")
        .stdin(Stdio::from(OwnedFd::from(socket)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nginx starts");
    Nginx { child, address }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_is_an_origin_in_every_protocol() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("folder"));
    let identity = authority.issue(&["site.test"]);
    let (certificate, key) = authority.files("nginx", &identity);
    let Some(program) = program() else { return };
    let folder = folder.path();
    std::fs::create_dir(folder.join("root")).expect("folder");
    std::fs::write(folder.join("root/page"), pattern(300_000)).expect("write");
    let h1 = start(program, folder, "");
    let h2 = start(program, folder, "http2");
    let files = format!("ssl_certificate {}; ssl_certificate_key {}", certificate.display(), key.display());
    let tls = start(program, folder, &format!("ssl http2; {files}"));
    let clear = |address: SocketAddr, protocol| {
        let mut origin = OriginConfig::new(address.to_string().parse().expect("authority"));
        origin.protocol = protocol;
        origin
    };
    for (origin, protocol) in [
        (clear(h1.address, Protocol::Auto), "HTTP/1.1"),
        (clear(h2.address, Protocol::H2), "HTTP/2.0"),
        (authority.origin(tls.address, Protocol::Auto), "HTTP/2.0"),
        (authority.origin(tls.address, Protocol::H2), "HTTP/2.0"),
        (authority.origin(tls.address, Protocol::H1), "HTTP/1.1"),
    ] {
        let shown = format!("{origin:?}");
        let edge =
            TestEdge::with(h1.address, |config| config.customers[0].origin.origins = vec![origin]).await;
        let response = edge.get("/page").await;
        assert_eq!(response.status, 200, "{shown}: {}", response.cache_status());
        assert_eq!(response.field("x-protocol"), Some(protocol), "{shown}");
        assert_eq!(response.field("x-host"), Some("site.test"), "{shown}");
        assert!(response.body == pattern(300_000), "{shown}");
        assert_eq!(
            edge.exchange("HEAD", "/page", "").await.field("content-length"),
            Some("300000"),
            "{shown}"
        );
        assert_eq!(edge.get("/none").await.status, 404, "{shown}");
        let response = edge.exchange("GET", "/page", "Range: bytes=1000-1999\r\n").await;
        assert!(response.status == 206 && response.body == pattern(300_000)[1000..2000], "{shown}");
        // Its answer to an upload that it does not want comes before the upload's end.
        let mut client = edge.client().await;
        client.send("PUT /page HTTP/1.1\r\nHost: site.test\r\nContent-Length: 3\r\n\r\nabc").await;
        assert_eq!(client.response().await.status, 405, "{shown}");
        // It says GOAWAY, or closes, after fifty requests on a connection: nothing of that is seen.
        let mut loads = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let address = edge.address;
            loads.spawn(async move {
                let mut client = Client::connect(address).await;
                for _ in 0..20 {
                    client.send("GET /page HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
                    let response = client.response().await;
                    assert_eq!(response.status, 200, "{}", response.cache_status());
                    assert!(response.complete && response.body.len() == 300_000);
                }
            });
        }
        while let Some(load) = soon("the load", loads.join_next()).await {
            load.unwrap_or_else(|error| panic!("{shown}: {error}"));
        }
        assert!(edge.metric("edge_origin_connections_opened_total") >= 3, "{shown}");
    }
}
