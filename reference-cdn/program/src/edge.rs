//! `reference-cdn edge`: runs one edge until it is told to stop.

use std::io::Write;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use edge::store::disk::DiskLimits;
use edge::{Clock, Host, Server, bind};
use http_cache::{Decisions, Standard};
use tokio::signal::unix::{SignalKind, signal};

use crate::config::Checked;
use crate::config::file::Settings;
use crate::config::value::Given;

/// The command could not do what it was asked to.
const FAILED: u8 = 2;

/// How to start an edge: a file for everything, flags for the simple case. A flag wins over the file.
#[derive(Args, Clone, Debug, Default)]
pub struct EdgeArgs {
    /// Configuration file (TOML); `reference-cdn config --explain` lists its fields
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where clients connect in the clear, or off; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT|off")]
    pub listen: Option<String>,
    /// Where the content comes from
    #[arg(long, value_name = "URL", required_unless_present = "config")]
    pub origin: Option<String>,
    /// Whether Cache-Control and Pragma in requests are obeyed: honor or ignore [default: ignore]
    #[arg(long, value_name = "honor|ignore")]
    pub client_directives: Option<String>,
    /// Name of this CDN in Via, CDN-Loop and Cache-Status [default: reference-cdn]
    #[arg(long, value_name = "TOKEN")]
    pub name: Option<String>,
    /// Memory for stored responses [default: 256MiB]
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<String>,
    /// Folder for stored responses, which a restart keeps [default: off]
    #[arg(long, value_name = "FOLDER")]
    pub disk: Option<PathBuf>,
    /// Octets of the files in it [default: 10GiB]
    #[arg(long, value_name = "SIZE")]
    pub disk_size: Option<String>,
    /// Where operators connect: purge, health, metrics, status [default: off]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub admin: Option<String>,
    /// File with the secret of the admin listener, at least 16 characters
    #[arg(long, value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
    /// Folder of the purge log; without it, purges end with the process [default: none]
    #[arg(long, value_name = "FOLDER")]
    pub purge_folder: Option<PathBuf>,
    /// Where clients connect with TLS, for HTTP/2 and HTTP/1.1 [default: off]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub tls_listen: Option<String>,
    /// Certificate with those that vouch for it (PEM); repeat it for several, chosen by the name that clients ask for
    #[arg(long, value_name = "FILE")]
    pub tls_certificate: Vec<PathBuf>,
    /// Private key (PEM) of each certificate, in the same order; not needed if the certificate files hold them
    #[arg(long, value_name = "FILE")]
    pub tls_key: Vec<PathBuf>,
    /// Append one JSON line for each request to this file; - for standard output [default: off]
    #[arg(long, value_name = "FILE")]
    pub access_log: Option<PathBuf>,
    /// Print the bound addresses as one JSON line on standard output when ready
    #[arg(long)]
    pub json: bool,
}

impl EdgeArgs {
    /// The configuration that the file and the flags give.
    ///
    /// # Errors
    /// What is wrong with them, for people.
    pub fn resolve(&self) -> Result<Checked, String> {
        let colored = std::io::IsTerminal::is_terminal(&std::io::stderr());
        let mut settings = match &self.config {
            Some(path) => Settings::read(path).map_err(|faults| faults.render(colored))?,
            None => Settings::default(),
        };
        let path = |path: &PathBuf| path.to_string_lossy().into_owned();
        let flags = [
            ("--listen", "listen", self.listen.clone()),
            ("--origin", "origin.url", self.origin.clone()),
            ("--client-directives", "client-directives", self.client_directives.clone()),
            ("--name", "name", self.name.clone()),
            ("--memory", "store.memory", self.memory.clone()),
            ("--disk", "disk.path", self.disk.as_ref().map(path)),
            ("--disk-size", "disk.size", self.disk_size.clone()),
            ("--admin", "admin.listen", self.admin.clone()),
            ("--admin-token-file", "admin.token-file", self.admin_token_file.as_ref().map(path)),
            ("--purge-folder", "purge.folder", self.purge_folder.as_ref().map(path)),
            ("--tls-listen", "tls.listen", self.tls_listen.clone()),
            ("--access-log", "access-log", self.access_log.as_ref().map(path)),
        ];
        for (flag, field, text) in flags {
            if let Some(text) = text {
                settings.flag(flag, field, Given::Text(&text));
            }
        }
        let lists = [
            ("--tls-certificate", "tls.certificate", &self.tls_certificate),
            ("--tls-key", "tls.key", &self.tls_key),
        ];
        for (flag, field, paths) in lists {
            let paths: Vec<String> = paths.iter().map(path).collect();
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            if !paths.is_empty() {
                settings.flag(flag, field, Given::List(&paths));
            }
        }
        // A small store given by a flag brings the limits for one response and for a slice of one down with it.
        if self.memory.is_some() {
            let draft = settings.draft_mut();
            let store = &mut draft.config.store;
            store.object = store.object.min(store.memory / 2);
            let most = store.object;
            draft.settings.slice =
                draft.settings.slice.and_then(|slice| NonZeroU64::new(slice.get().min(most)));
        }
        settings.finish().map_err(|faults| faults.render(colored))
    }
}

/// Files, sockets included, that may be open at once.
fn descriptors(config: &edge::Config) -> u64 {
    let customers = config.customers.iter();
    let origins = customers.map(|it| it.origin.limits.connections * it.origin.origins.len()).sum::<usize>();
    let disk = config
        .disk
        .path
        .is_some()
        .then(|| DiskLimits::new(config.disk.size, config.store.object, config.store.memory).files());
    config.connections as u64 + 2 * origins as u64 + disk.unwrap_or(0) + 64
}

/// Runs an edge until SIGTERM or SIGINT, its decisions those of the RFCs, wrapped by `wrap`.
pub fn run(args: &EdgeArgs, wrap: impl Fn(Arc<dyn Decisions>) -> Arc<dyn Decisions>) -> ExitCode {
    crate::log::start();
    let result = args.resolve().and_then(|checked| {
        crate::log::raise_descriptor_limit(descriptors(&checked.config));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("error: cannot start the runtime: {error}\n"))?;
        let decide = |settings: &http_cache::Settings| wrap(Arc::new(Standard::new(settings.clone())));
        let cut = runtime.block_on(serve(args, checked, decide))?;
        runtime.shutdown_background();
        Ok(cut)
    });
    match result {
        Ok(0) => ExitCode::SUCCESS,
        Ok(cut) => {
            anstream::eprintln!("stopped; {cut} connections did not finish in time and were cut");
            ExitCode::SUCCESS
        }
        Err(text) => {
            anstream::eprint!("{text}");
            ExitCode::from(FAILED)
        }
    }
}

async fn serve(
    args: &EdgeArgs,
    checked: Checked,
    decide: impl Fn(&http_cache::Settings) -> Arc<dyn Decisions>,
) -> Result<usize, String> {
    // Asked for before anybody is told that the edge is ready.
    let signals = |kind| signal(kind).map_err(|error| format!("error: cannot wait for signals: {error}\n"));
    let mut terminate = signals(SignalKind::terminate())?;
    let mut interrupt = signals(SignalKind::interrupt())?;
    let mut hangup = signals(SignalKind::hangup())?;
    let rest = checked.config.customers.iter().find(|customer| customer.hosts.contains(&Host::Any));
    let origin = rest.map(|customer| customer.origin.origins[0].authority.to_string());
    let customers = checked.config.customers.len();
    let server =
        bind(checked.config, decide, Clock::system()).map_err(|error| format!("error: {error}\n"))?;
    let server = server.keep_process_within(edge::memory::resident);
    announce(args.json, &server, origin.as_deref(), customers)
        .map_err(|error| format!("error: cannot write to standard output: {error}\n"))?;
    let reload = server.reload();
    let stop = async {
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => {
                    let reload = Arc::clone(&reload);
                    // What came of it is in the log.
                    let _ = tokio::task::spawn_blocking(move || reload.all()).await;
                }
            }
        }
        tracing::info!("stopping: requests in flight may finish");
    };
    Ok(server.serve(stop).await.cut)
}

/// `origin` is that of the hosts that no customer has, where there is one.
fn announce(json: bool, server: &Server, origin: Option<&str>, customers: usize) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        let line = serde_json::json!({
            "listen": server.listen().map(|address| address.to_string()),
            "tls": server.tls().map(|address| address.to_string()),
            "admin": server.admin().map(|address| address.to_string()),
            "origin": origin,
        });
        writeln!(out, "{line}")?;
    } else {
        let clear = server.listen().map(|address| format!("http://{address}"));
        let tls = server.tls().map(|address| format!("https://{address}"));
        let first = clear.as_ref().or(tls.as_ref()).map_or("", String::as_str);
        write!(out, "reference-cdn edge: {first} in front of ")?;
        match origin {
            Some(origin) if customers == 1 => writeln!(out, "http://{origin}")?,
            _ => writeln!(out, "the origins of {customers} customers")?,
        }
        if let Some(tls) = tls.filter(|_| clear.is_some()) {
            writeln!(out, "with TLS: {tls}")?;
        }
        if let Some(admin) = server.admin() {
            writeln!(out, "admin: http://{admin}/status")?;
        }
    }
    out.flush()
}
