//! Inputs for builds: a writer of MMDB databases and one of MRT dumps, as small as the formats allow.

#![allow(dead_code, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::net::IpAddr;

/// A value in an MMDB database.
#[derive(Clone)]
pub enum Value {
    Map(Vec<(&'static str, Value)>),
    Text(String),
    Double(f64),
    Number(u32),
    Float(f32),
    /// Unsigned and signed ones of other widths, by their type and octets.
    Integer(u8, Vec<u8>),
    Bool(bool),
    Array(Vec<Value>),
}

fn control(kind: u8, size: usize, out: &mut Vec<u8>) {
    assert!(size < 285);
    let (short, more) = if size < 29 { (size as u8, None) } else { (29, Some((size - 29) as u8)) };
    if kind < 8 {
        out.push(kind << 5 | short);
    } else {
        out.extend([short, kind - 7]);
    }
    out.extend(more);
}

fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Map(pairs) => {
            control(7, pairs.len(), out);
            for (key, value) in pairs {
                encode(&Value::Text((*key).to_owned()), out);
                encode(value, out);
            }
        }
        Value::Text(text) => {
            control(2, text.len(), out);
            out.extend(text.as_bytes());
        }
        Value::Double(number) => {
            control(3, 8, out);
            out.extend(number.to_be_bytes());
        }
        Value::Float(number) => {
            control(15, 4, out);
            out.extend(number.to_be_bytes());
        }
        Value::Integer(kind, octets) => {
            control(*kind, octets.len(), out);
            out.extend(octets);
        }
        Value::Bool(value) => control(14, usize::from(*value), out),
        Value::Array(values) => {
            control(11, values.len(), out);
            values.iter().for_each(|value| encode(value, out));
        }
        Value::Number(number) => {
            control(6, 4, out);
            out.extend(number.to_be_bytes());
        }
    }
}

/// Where a city is.
pub fn city(latitude: f64, longitude: f64) -> Value {
    let location =
        Value::Map(vec![("latitude", Value::Double(latitude)), ("longitude", Value::Double(longitude))]);
    Value::Map(vec![("location", location)])
}

/// A database of an IPv6 tree, with IPv4 below `::/96`, in records of 32 bits.
pub fn mmdb(networks: &[(&str, Value)]) -> Vec<u8> {
    // Of each node: its two sides, which are nodes (even) or data (odd), each from 1.
    let mut nodes: Vec<[Option<(bool, usize)>; 2]> = vec![[None; 2]];
    let mut data = Vec::new();
    for (prefix, value) in networks {
        let (address, length) = prefix.split_once('/').unwrap();
        let (bits, length): (u128, u32) = match address.parse().unwrap() {
            IpAddr::V4(v4) => (u128::from(u32::from(v4)), length.parse::<u32>().unwrap() + 96),
            IpAddr::V6(v6) => (v6.into(), length.parse().unwrap()),
        };
        let offset = data.len();
        encode(value, &mut data);
        let mut node = 0;
        for depth in 0..length {
            let side = (bits >> (127 - depth) & 1) as usize;
            if depth + 1 == length {
                nodes[node][side] = Some((true, offset));
            } else if let Some((false, next)) = nodes[node][side] {
                node = next;
            } else {
                nodes.push([None; 2]);
                let next = nodes.len() - 1;
                nodes[node][side] = Some((false, next));
                node = next;
            }
        }
    }
    let count = nodes.len();
    let mut out = Vec::new();
    for node in &nodes {
        for side in node {
            let value = match side {
                None => count,
                Some((false, node)) => *node,
                Some((true, offset)) => count + 16 + offset,
            };
            out.extend((value as u32).to_be_bytes());
        }
    }
    out.extend([0; 16]);
    out.extend(data);
    out.extend(b"\xab\xcd\xefMaxMind.com");
    let number = |out: &mut Vec<u8>, key: &str, kind: u8, number: u64, octets: usize| {
        encode(&Value::Text(key.to_owned()), out);
        control(kind, octets, out);
        out.extend(&number.to_be_bytes()[8 - octets..]);
    };
    control(7, 9, &mut out);
    number(&mut out, "node_count", 6, count as u64, 4);
    number(&mut out, "record_size", 5, 32, 2);
    number(&mut out, "ip_version", 5, 6, 2);
    number(&mut out, "binary_format_major_version", 5, 2, 2);
    number(&mut out, "binary_format_minor_version", 5, 0, 2);
    number(&mut out, "build_epoch", 9, 1_789_000_000, 8);
    encode(&Value::Text("database_type".into()), &mut out);
    encode(&Value::Text("Test-City".into()), &mut out);
    encode(&Value::Text("languages".into()), &mut out);
    control(11, 0, &mut out);
    encode(&Value::Text("description".into()), &mut out);
    control(7, 0, &mut out);
    out
}

fn mrt_record(subtype: u16, body: &[u8], out: &mut Vec<u8>) {
    out.extend(1_789_999_000_u32.to_be_bytes());
    out.extend(13_u16.to_be_bytes());
    out.extend(subtype.to_be_bytes());
    out.extend((body.len() as u32).to_be_bytes());
    out.extend(body);
}

/// A table dump: prefixes with the paths of one or more peers; the last of a path is the origin.
pub fn mrt(routes: &[(&str, &[&[u32]])]) -> Vec<u8> {
    let mut out = Vec::new();
    let peers = routes.iter().map(|(_, paths)| paths.len()).max().unwrap_or(0);
    let mut index = vec![192, 0, 2, 1, 0, 0];
    index.extend((peers as u16).to_be_bytes());
    for peer in 0..peers as u8 {
        index.extend([2, 192, 0, 2, peer, 192, 0, 2, peer]);
        index.extend((65_000 + u32::from(peer)).to_be_bytes());
    }
    mrt_record(1, &index, &mut out);
    for ((prefix, paths), number) in routes.iter().zip(0_u32..) {
        let (address, length) = prefix.split_once('/').unwrap();
        let length: u8 = length.parse().unwrap();
        let (subtype, octets) = match address.parse().unwrap() {
            IpAddr::V4(v4) => (2, v4.octets().to_vec()),
            IpAddr::V6(v6) => (4, v6.octets().to_vec()),
        };
        let mut body = number.to_be_bytes().to_vec();
        body.push(length);
        body.extend(&octets[..usize::from(length).div_ceil(8)]);
        body.extend((paths.len() as u16).to_be_bytes());
        for (path, peer) in paths.iter().zip(0_u16..) {
            let mut attributes =
                vec![0x40, 1, 1, 0, 0x40, 2, (path.len() * 4 + 2) as u8, 2, path.len() as u8];
            path.iter().for_each(|asn| attributes.extend(asn.to_be_bytes()));
            attributes.extend([0x40, 3, 4, 192, 0, 2, 9]);
            body.extend(peer.to_be_bytes());
            body.extend(1_789_990_000_u32.to_be_bytes());
            body.extend((attributes.len() as u16).to_be_bytes());
            body.extend(attributes);
        }
        mrt_record(subtype, &body, &mut out);
    }
    out
}

/// Rankings by name, of the unit that an address belongs to: site, score, confidence.
pub fn ranking(network: &mapper::network::Network, address: &str) -> Vec<(String, u32, u8)> {
    let unit = match address.parse().unwrap() {
        IpAddr::V4(v4) => network.prefixes.unit_v4(v4),
        IpAddr::V6(v6) => network.prefixes.unit_v6(v6),
    };
    let ranking = network.units.ranking(unit.unwrap());
    ranking
        .iter()
        .map(|ranked| (network.sites[ranked.site.0 as usize].name.clone(), ranked.score, ranked.confidence))
        .collect()
}

/// Counts of things by name.
pub fn counts<T: Ord>(things: impl IntoIterator<Item = T>) -> BTreeMap<T, usize> {
    let mut counts = BTreeMap::new();
    things.into_iter().for_each(|thing| *counts.entry(thing).or_default() += 1);
    counts
}
