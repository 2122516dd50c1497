//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use crate::edge::EdgeArgs;
use crate::map::{ExplainArgs, MapCommand};
use crate::mapper::MapperArgs;
use crate::purge::PurgeArgs;

const EXAMPLES: &str = "\
Edge, for example:
  # A cache in front of the origin on port 9000; see what it did in Cache-Status
  reference-cdn edge --listen 127.0.0.1:8080 --origin http://127.0.0.1:9000
  curl -i http://127.0.0.1:8080/

  # With a configuration file: write one with all defaults, set origin.url, check it, run
  reference-cdn config > edge.toml
  reference-cdn check edge.toml
  reference-cdn edge --config edge.toml

  # What each field means
  reference-cdn config --explain

Mapper, for example:
  # Name servers for two sites: write files to begin with, and run them; what is written says how to ask
  reference-cdn mapper --write-example first
  reference-cdn mapper --config first/mapper.toml

  # Why a client is given these servers
  reference-cdn explain-dns www.g.cdn.example --client 10.2.7.1 --map first/maps

  # What a flash crowd would do to them
  reference-cdn map simulate first/surge.toml --config first/mapper.toml --html surge.html

  # What each field of its configuration means
  reference-cdn mapper --example

Each command has --help with more.";

const PURGE_EXAMPLES: &str = "\
Examples:
  # All variants of a page; the edge's answer is printed as JSON
  reference-cdn purge --admin http://127.0.0.1:9901 --token-file token --url http://www.example.com/a

  # Everything with a tag becomes stale: it is revalidated, and served while that takes if the origin allows
  reference-cdn purge --admin http://127.0.0.1:9901 --token-file token --tag product-42 --soft

  # A part of a site at midnight, under an id; then what became of it
  reference-cdn purge --admin http://127.0.0.1:9901 --token-file token \\
      --prefix http://www.example.com/sale --at 2027-01-01T00:00:00Z --id end-of-sale
  reference-cdn purge --admin http://127.0.0.1:9901 --token-file token --show end-of-sale

Exit status: 0 accepted, 1 refused, 2 the edge could not be asked or could not do it.";

const EDGE_EXAMPLES: &str = "\
Examples:
  # In front of an origin on this machine
  reference-cdn edge --origin http://127.0.0.1:9000

  # On a free port, with an admin listener, addresses as JSON for a script
  reference-cdn edge --listen 127.0.0.1:0 --origin http://127.0.0.1:9000 \\
      --admin 127.0.0.1:0 --admin-token-file token.txt --json

  # With TLS beside it: HTTP/2 and HTTP/1.1; kill -HUP makes it read the certificate again
  reference-cdn edge --origin http://127.0.0.1:9000 --tls-listen 127.0.0.1:8443 \\
      --tls-certificate site.pem --tls-key site.key

  # For http-cache-tests and others who want a client's no-cache and max-age to be obeyed
  reference-cdn edge --origin http://127.0.0.1:9000 --client-directives honor

  # Everything from a file, with more memory than it says
  reference-cdn edge --config edge.toml --memory 2GiB

SIGTERM or SIGINT stops it: requests in flight finish first. Set REFERENCE_CDN_LOG=info (or debug) for more log.";

const MAPPER_EXAMPLES: &str = "\
Examples:
  # A small mapper to begin with: writes its files into a folder and says how to ask it
  reference-cdn mapper --write-example first
  reference-cdn mapper --config first/mapper.toml

  # A configuration with every field and what it means; what yours says is checked before it runs
  reference-cdn mapper --example
  reference-cdn mapper --config mapper.toml --check

  # Ask it as a client of 192.0.2.0/24 would be answered
  dig @127.0.0.1 -p 5300 a1.g.cdn.example +subnet=192.0.2.0/24

SIGTERM or SIGINT stops it; SIGHUP makes it read certificate, zones, keys and token again, as POST /reload does. Set REFERENCE_CDN_LOG=debug for more log.

Exit status: 0 it was told to stop, or --check found nothing wrong; 1 --check found zones, keys or inputs wrong; 2 it could not start, or the configuration cannot be read.";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  # Each candidate, its score, and why it was chosen or not
  reference-cdn explain-dns a1.g.cdn.example --client 192.0.2.1 --map maps

  # What the map of an epoch said, as JSON
  reference-cdn explain-dns a1.g.cdn.example --client 192.0.2.1 --map maps --epoch 1795800000 --json -

  # What was said at a time
  reference-cdn explain-dns a1.g.cdn.example --client 192.0.2.1 --map maps --at 2026-11-27T16:00:00Z

Exit status: 0 explained, 2 the name or the map is not there.";

/// A CDN: edges that cache as the HTTP RFCs say, and name servers that give each client the servers near it
///
/// `reference-cdn edge` is a caching proxy between clients and the origins of one customer or several: RFC 9110 (HTTP), 9111 (caching), 9112 (HTTP/1.1),
/// 9113 (HTTP/2), 9211 (Cache-Status), with TLS, purge, metrics and an access log. It can be configured by flags or by a file.
///
/// `reference-cdn mapper` is name servers (RFC 1035, EDNS Client Subnet of RFC 7871, DNSSEC) that answer from a map: which servers are near
/// a client, have what it asks for, are well and have room. `map` builds, compares and plays maps, `explain-dns` says why an answer is as it is.
///
/// Both are for production, to compare others with, and to develop against.
#[derive(Debug, Parser)]
#[command(name = "reference-cdn", version, about, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run an edge: a caching proxy in front of an origin
    #[command(after_help = EDGE_EXAMPLES)]
    Edge(Box<EdgeArgs>),
    /// Purge content from a running edge
    #[command(after_help = PURGE_EXAMPLES)]
    Purge(Box<PurgeArgs>),
    /// Run name servers that give each client the servers near it
    #[command(after_help = MAPPER_EXAMPLES)]
    Mapper(MapperArgs),
    /// Build, compare and try maps: what name servers answer from
    #[command(subcommand)]
    Map(MapCommand),
    /// Explain why a client is given these servers for a name
    #[command(after_help = EXPLAIN_EXAMPLES)]
    ExplainDns(Box<ExplainArgs>),
    /// Check an edge's configuration file and explain each error
    #[command(
        after_help = "Example:\n  reference-cdn check edge.toml\n\nExit status: 0 it is valid, 1 it has errors, 2 it cannot be read."
    )]
    Check {
        /// Configuration file
        file: PathBuf,
    },
    /// Show what can be configured
    #[command(after_help = "Examples:\n  reference-cdn config --explain\n  reference-cdn config > edge.toml")]
    Config {
        /// Explain every field; without it, print a file with all defaults
        #[arg(long)]
        explain: bool,
    },
    /// Print a completion script for a shell
    #[command(
        after_help = "Example:\n  reference-cdn completions bash > /etc/bash_completion.d/reference-cdn"
    )]
    Completions {
        /// The shell
        shell: Shell,
    },
}
