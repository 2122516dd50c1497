//! What may be asked for on the command line.

use clap::{Parser, ValueHint};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  ci/quickstart                              an edge that ignores Vary: do not deploy
  ci/quickstart --deviation purge-ignored    another one of the ten; --list names them
  ci/quickstart --candidate reference        nothing to find: deploy
  ci/quickstart --candidate nginx            Debian's nginx with proxy_cache; varnish works too
  ci/quickstart --candidate http://127.0.0.1:8080 --origin-listen 127.0.0.1:8000
                                             your own, whose origin is port 8000; add --profile
                                             FILE so that purge is judged, too
  ci/quickstart --candidate http://cache.lab --origin-listen 0.0.0.0:8000 \\
                --origin-advertise http://this-host.lab:8000

Exit status: 0 deploy, 1 do not deploy, 2 could not judge.";

/// Shows the whole loop at work: starts a recorded world as origin, the reference CDN and a candidate in front of
/// it, tees traffic through the mirror, replays a real capture through both, runs the conformance suite on both,
/// and prints one verdict with its reasons.
#[derive(Debug, Parser)]
#[command(name = "quickstart", bin_name = "ci/quickstart", version, after_help = EXAMPLES)]
pub struct Cli {
    /// Who is judged: `deviating`, `reference`, `nginx`, `varnish`, or the URL of a build of your own
    #[arg(long, default_value = "deviating", value_name = "WHO", value_hint = ValueHint::Url)]
    pub candidate: String,

    /// Which rule the deviating candidate breaks [default: vary-ignored]
    #[arg(long, value_name = "NAME")]
    pub deviation: Option<String>,

    /// Name the deviations and stop
    #[arg(long)]
    pub list: bool,

    /// Address of the origin that both builds ask; a candidate given by URL must be pointed at it [default: a free
    /// port, or 127.0.0.1:8000 where the candidate is a URL]
    #[arg(long, value_name = "ADDR")]
    pub origin_listen: Option<std::net::SocketAddr>,

    /// URL under which the candidate reaches that origin, where it is another one (a container, another host)
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub origin_advertise: Option<String>,

    /// How a candidate given by URL is purged: a profile for the conformance suite
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub profile: Option<PathBuf>,

    /// The capture to replay [default: corpora/recordings/world-daily.pcapng]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub capture: Option<PathBuf>,

    /// Where the report goes [default: target/quickstart/report.html]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub html: Option<PathBuf>,

    /// Write the report as JSON too; `-` is standard output
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub json: Option<PathBuf>,

    /// Where the programs `reference-cdn`, `faulty-edge` and `mirror` are [default: beside this one]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub programs: Option<PathBuf>,

    /// Where the project is, to which the defaults above belong
    #[arg(long, value_name = "DIR", default_value = ".", hide = true)]
    pub root: PathBuf,
}

impl Cli {
    /// The rule that the deviating candidate breaks.
    pub fn deviation(&self) -> &str {
        self.deviation.as_deref().unwrap_or("vary-ignored")
    }

    /// The capture to replay.
    pub fn capture(&self) -> PathBuf {
        self.capture.clone().unwrap_or_else(|| self.root.join("corpora/recordings/world-daily.pcapng"))
    }

    /// Where the page goes.
    pub fn page(&self) -> PathBuf {
        self.html.clone().unwrap_or_else(|| self.usual_page())
    }

    /// Where the mirror's findings go, which the report names: beside the page.
    pub fn diffs(&self) -> PathBuf {
        let page = self.html.clone().filter(|page| page.as_os_str() != "-");
        page.unwrap_or_else(|| self.usual_page()).with_extension("mirror.jsonl")
    }

    fn usual_page(&self) -> PathBuf {
        self.root.join("target/quickstart/report.html")
    }
}
