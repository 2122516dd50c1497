//! Fuzz targets: for every parser of bytes from outside, what must hold whatever the bytes are.
//!
//! A [`Target`] is a function of bytes that panics where a property does not hold. It knows no fuzzing engine: `tests/`
//! runs a bounded number of mutated seeds through each with every `cargo test`, `guided/` links them to libFuzzer for
//! long runs. `README.md` tells how to run both, and how to add a target.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "targets are tests: what cannot go on fails")]

mod cache_decisions;
mod capture_packets;
mod capture_records;
mod compare_answers;
mod disk_folder;
mod disk_segments;
mod edge_forwarded;
mod edge_http1;
mod edge_http2;
mod edge_purge;
mod input;
mod mapper_inputs;
mod mapper_map;
mod mapper_queries;
mod report_forms;
mod seeds;
mod settings_files;
mod stored_head;
mod structured_fields;
mod text;
mod tool_files;
mod wire_connection;
mod wire_flows;
mod wire_parser;

pub use seeds::DICTIONARY;

/// A parser, or several on the same bytes, with what must hold.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Names the target for `FUZZ_TARGET`.
    pub name: &'static str,
    /// Inputs to begin with. Each of them is also a test of its own.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Panics where a property does not hold.
    pub run: fn(&[u8]),
    /// Inputs that one smoke run tries.
    pub smoke: u32,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "wire_requests", seeds: seeds::requests, run: wire_parser::requests, smoke: 4000 },
    Target { name: "wire_responses", seeds: seeds::responses, run: wire_parser::responses, smoke: 4000 },
    Target { name: "wire_connection", seeds: seeds::connections, run: wire_connection::run, smoke: 3000 },
    Target { name: "wire_flows", seeds: wire_flows::seeds, run: wire_flows::run, smoke: 4000 },
    Target { name: "edge_forwarded", seeds: edge_forwarded::seeds, run: edge_forwarded::run, smoke: 3000 },
    Target { name: "edge_http1", seeds: seeds::requests, run: edge_http1::run, smoke: 8000 },
    Target { name: "edge_http2", seeds: edge_http2::seeds, run: edge_http2::run, smoke: 2500 },
    Target { name: "capture_packets", seeds: seeds::packets, run: capture_packets::run, smoke: 1500 },
    Target {
        name: "capture_damaged",
        seeds: capture_records::seeds,
        run: capture_records::damaged,
        smoke: 600,
    },
    Target { name: "capture_bytes", seeds: capture_records::files, run: capture_records::bytes, smoke: 600 },
    Target { name: "compare_answers", seeds: compare_answers::seeds, run: compare_answers::run, smoke: 600 },
    Target { name: "cache_decisions", seeds: cache_decisions::seeds, run: cache_decisions::run, smoke: 4000 },
    Target { name: "stored_head", seeds: stored_head::seeds, run: stored_head::run, smoke: 8000 },
    Target {
        name: "digest_fields",
        seeds: structured_fields::digest_seeds,
        run: structured_fields::digests,
        smoke: 4000,
    },
    Target {
        name: "proxy_status",
        seeds: structured_fields::proxy_seeds,
        run: structured_fields::proxy_status,
        smoke: 4000,
    },
    Target {
        name: "targeted_fields",
        seeds: structured_fields::targeted_seeds,
        run: structured_fields::targeted,
        smoke: 3000,
    },
    Target {
        name: "tag_fields",
        seeds: structured_fields::tag_seeds,
        run: structured_fields::tags,
        smoke: 4000,
    },
    Target {
        name: "disk_damaged",
        seeds: disk_segments::damage_seeds,
        run: disk_segments::damaged,
        smoke: 500,
    },
    Target { name: "disk_octets", seeds: disk_segments::octet_seeds, run: disk_segments::octets, smoke: 300 },
    Target { name: "report_json", seeds: report_forms::seeds, run: report_forms::json, smoke: 300 },
    Target { name: "report_text", seeds: seeds::texts, run: report_forms::hostile, smoke: 200 },
    Target { name: "text", seeds: seeds::texts, run: text::run, smoke: 4000 },
    Target {
        name: "waivers",
        seeds: settings_files::waiver_seeds,
        run: settings_files::waivers,
        smoke: 3000,
    },
    Target {
        name: "profile",
        seeds: settings_files::profile_seeds,
        run: settings_files::profile,
        smoke: 3000,
    },
    Target {
        name: "edge_config",
        seeds: settings_files::config_seeds,
        run: settings_files::config,
        smoke: 3000,
    },
    Target { name: "purge_orders", seeds: edge_purge::order_seeds, run: edge_purge::orders, smoke: 3000 },
    Target { name: "purge_log", seeds: edge_purge::log_seeds, run: edge_purge::log, smoke: 600 },
    Target { name: "purge_tokens", seeds: edge_purge::token_seeds, run: edge_purge::tokens, smoke: 2000 },
    Target { name: "mapper_inputs", seeds: mapper_inputs::seeds, run: mapper_inputs::run, smoke: 2000 },
    Target { name: "mapper_map", seeds: mapper_map::seeds, run: mapper_map::run, smoke: 3000 },
    Target { name: "mapper_queries", seeds: mapper_queries::seeds, run: mapper_queries::run, smoke: 8000 },
    Target {
        name: "mapper_zone_file",
        seeds: mapper_queries::zone_seeds,
        run: mapper_queries::zone_file,
        smoke: 3000,
    },
    Target { name: "tool_files", seeds: tool_files::seeds, run: tool_files::run, smoke: 200 },
];

/// The target of this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().copied().find(|target| target.name == name)
}
