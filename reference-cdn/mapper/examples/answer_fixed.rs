//! The server of the mapper around a responder that does next to nothing: the same two addresses for every name. What it costs is
//! what sockets cost, the floor for whatever answers. `ci/bench mapper` measures it as `floor`.
//!
//! Prints one line of JSON with its address, and answers until its standard input ends.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;

use mapper::respond::{Asked, Respond};
use mapper::server::{self, Config};

/// Octets of a header, of what follows the name of a question, and of an OPT record before its options.
const HEADER: usize = 12;
const TYPE_AND_CLASS: usize = 4;
const OPT: usize = 11;
/// Two records of type A for the name at octet 12, lifetime 20 s (RFC 1035 section 4.1.3).
const ANSWERS: [u8; 32] = [
    0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 20, 0, 4, 192, 0, 2, 1, //
    0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 20, 0, 4, 192, 0, 2, 2,
];

struct Fixed;

impl Respond for Fixed {
    fn respond(&mut self, asked: &Asked<'_>, response: &mut [u8]) -> Option<usize> {
        let query = asked.query;
        if query[2] & 0x80 != 0 || query[4..6] != [0, 1] {
            return None;
        }
        let mut end = HEADER;
        loop {
            let label = usize::from(*query.get(end)?);
            end += 1 + label;
            match label {
                0 => break,
                1..64 => {}
                _ => return None,
            }
        }
        end += TYPE_AND_CLASS;
        response[..end].copy_from_slice(query.get(..end)?);
        // An authoritative response with two answers.
        response[2] = query[2] & 1 | 0x84;
        response[3] = 0;
        response[6..12].copy_from_slice(&[0, 2, 0, 0, 0, 0]);
        let mut length = end + ANSWERS.len();
        response[end..length].copy_from_slice(&ANSWERS);
        if let Some(opt) = query.get(end..).filter(|rest| rest.len() >= OPT && rest[..3] == [0, 0, 41]) {
            // Back as it came, with 1232 octets; the scope of a client subnet is its source (RFC 7871 section 7.2.1).
            response[11] = 1;
            let into = &mut response[length..length + opt.len()];
            into.copy_from_slice(opt);
            into[3..5].copy_from_slice(&1232_u16.to_be_bytes());
            if opt.get(OPT..OPT + 2) == Some(&[0, 8]) && opt.len() >= OPT + 8 {
                into[OPT + 7] = opt[OPT + 6];
            }
            length += opt.len();
        }
        Some(length)
    }
}

fn main() {
    let mut options = std::env::args().skip(1);
    let listen: Vec<SocketAddr> = options.next().map_or_else(
        || vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        |list| list.split(',').map(|one| one.parse().expect("ADDRESS:PORT,…")).collect(),
    );
    let mut config = Config::listening(listen);
    config.udp.threads = options.next().map_or(1, |threads| threads.parse().expect("a number of threads"));
    config.streams.per_client = 20_000;
    let bound = server::bind(config).unwrap_or_else(|error| panic!("{error}"));
    let addresses: Vec<_> = bound.addresses().iter().map(|address| format!("\"{address}\"")).collect();
    println!("{{\"listen\":[{}]}}", addresses.join(","));
    std::io::stdout().flush().expect("standard output");
    let server = bound.run(|_| Fixed).unwrap_or_else(|error| panic!("{error}"));
    let _ = std::io::stdin().read(&mut [0]);
    let metrics = server.metrics();
    server.stop();
    let counts = server::Count::ALL.map(|count| format!("{} {}", count.name(), metrics.get(count)));
    eprintln!("{}", counts.join("\n"));
}
