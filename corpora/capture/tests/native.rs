//! The native format: what is written is read, whatever happens to the file in between is noticed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use capture::{About, Error, Ledger, Note, Reader, Record, Recorder, Writer};
use exchange::{
    Body, DnsExchange, DnsMessage, DnsTransport, Ending, Field, Fields, Request, Response, Seen, Sha256,
    Source, Time, Transaction, Version,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use std::net::SocketAddr;

fn bytes(max: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..max).prop_map(Bytes::from)
}

fn fields() -> BoxedStrategy<Fields> {
    vec((bytes(12), bytes(40)).prop_map(|(n, v)| Field::new(n, v)), 0..6).prop_map(Fields).boxed()
}

fn body() -> BoxedStrategy<Body> {
    let ending = prop_oneof![Just(Ending::Complete), Just(Ending::Truncated), Just(Ending::Reset)];
    (any::<u64>(), any::<[u8; 32]>(), option::of(bytes(3000)), ending)
        .prop_map(|(length, sha256, bytes, ending)| Body { length, sha256: Sha256(sha256), bytes, ending })
        .boxed()
}

fn time() -> impl Strategy<Value = Time> {
    any::<i64>().prop_map(Time)
}

fn address() -> impl Strategy<Value = SocketAddr> {
    any::<(std::net::IpAddr, u16)>().prop_map(SocketAddr::from)
}

fn seen() -> BoxedStrategy<Seen> {
    (
        any::<u64>(),
        any::<u64>(),
        option::of(address()),
        option::of(address()),
        time(),
        option::of(time()),
        option::of(time()),
    )
        .prop_map(|(connection, stream, from, to, start, head_end, end)| Seen {
            connection,
            stream,
            from,
            to,
            start,
            head_end,
            end,
        })
        .boxed()
}

fn version() -> impl Strategy<Value = Version> {
    prop_oneof![
        Just(Version::Http09),
        Just(Version::Http10),
        Just(Version::Http11),
        Just(Version::Http2),
        Just(Version::Http3)
    ]
}

fn request() -> BoxedStrategy<Request> {
    (version(), bytes(8), bytes(60), fields(), body(), fields(), seen())
        .prop_map(|(version, method, target, fields, body, trailers, seen)| Request {
            version,
            method,
            target,
            fields,
            body,
            trailers,
            seen,
        })
        .boxed()
}

fn response() -> BoxedStrategy<Response> {
    let one = || {
        (version(), any::<u16>(), bytes(9), fields(), body(), fields(), seen()).prop_map(
            |(version, status, reason, fields, body, trailers, seen)| Response {
                version,
                status,
                reason,
                fields,
                body,
                trailers,
                interim: Vec::new(),
                seen,
            },
        )
    };
    (one(), vec(one(), 0..3))
        .prop_map(|(mut response, interim)| {
            response.interim = interim;
            response
        })
        .boxed()
}

fn source() -> impl Strategy<Value = Source> {
    any::<(String, String)>().prop_map(|(tool, at)| Source { tool, at })
}

fn transaction() -> BoxedStrategy<Record> {
    (source(), option::of(request()), option::of(request()), option::of(response()), option::of(response()))
        .prop_map(|(source, client_request, origin_request, origin_response, client_response)| {
            Record::Transaction(Box::new(Transaction {
                source,
                client_request,
                origin_request,
                origin_response,
                client_response,
            }))
        })
        .boxed()
}

fn dns() -> BoxedStrategy<Record> {
    let transport = prop_oneof![
        Just(DnsTransport::Udp),
        Just(DnsTransport::Tcp),
        Just(DnsTransport::Tls),
        Just(DnsTransport::Https),
        Just(DnsTransport::Quic)
    ];
    let message = || option::of((time(), bytes(600)).prop_map(|(time, wire)| DnsMessage { time, wire }));
    (source(), transport, address(), address(), message(), message())
        .prop_map(|(source, transport, client, server, query, response)| {
            Record::Dns(DnsExchange { source, transport, client, server, query, response })
        })
        .boxed()
}

fn record() -> BoxedStrategy<Record> {
    let about = (any::<[String; 3]>(), option::of(time()), btree_map(any::<String>(), any::<String>(), 0..3))
        .prop_map(|([tool, version, source], created, more)| {
            Record::About(About { tool, version, source, created, more })
        });
    let ledger = (
        source(),
        option::of(time()),
        any::<(String, u64)>(),
        btree_map(any::<String>(), any::<u64>(), 0..4),
    )
        .prop_map(|(source, time, (unit, total), states)| {
            Record::Ledger(Ledger { source, time, unit, total, states })
        });
    let note =
        (option::of(time()), any::<String>()).prop_map(|(time, text)| Record::Note(Note { time, text }));
    prop_oneof![1 => about, 6 => transaction(), 2 => dns(), 1 => ledger, 1 => note].boxed()
}

fn write(records: &[Record]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new()).unwrap();
    records.iter().for_each(|record| writer.write(record).unwrap());
    writer.finish().unwrap()
}

/// Records up to the first error, and that error.
fn read(file: &[u8]) -> (Vec<Record>, Option<Error>) {
    let mut records = Vec::new();
    match Reader::new(file) {
        Err(error) => return (records, Some(error)),
        Ok(reader) => {
            for record in reader {
                match record {
                    Ok(record) => records.push(record),
                    Err(error) => return (records, Some(error)),
                }
            }
        }
    }
    (records, None)
}

fn sample(number: u8) -> Record {
    let response = Response {
        reason: Bytes::from_static(b"OK"),
        trailers: [("X-Sum", "1")].into_iter().collect(),
        ..Response::new(200, [("ETag", "\"x\"")].into_iter().collect(), Body::complete(vec![number; 300]))
    };
    Record::Transaction(Box::new(Transaction {
        source: Source { tool: "test".into(), at: "here".into() },
        client_request: Some(Request::new(
            "GET",
            format!("/{number}"),
            [("Host", "a")].into_iter().collect(),
        )),
        client_response: Some(response),
        ..Transaction::default()
    }))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read(records in vec(record(), 0..12)) {
        let (read, error) = read(&write(&records));
        prop_assert!(error.is_none(), "{error:?}");
        prop_assert_eq!(read, records);
    }

    #[test]
    fn any_changed_byte_is_noticed(records in vec(record(), 1..4), at: prop::sample::Index, flip in 1..=255_u8) {
        let mut file = write(&records);
        let at = at.index(file.len());
        file[at] ^= flip;
        let (read, error) = read(&file);
        prop_assert!(error.is_some(), "byte {at} changed and nothing was said");
        prop_assert!(read.len() < records.len() && records.starts_with(&read));
    }

    #[test]
    fn garbage_never_panics(bytes: Vec<u8>, with_header: bool) {
        let mut file = if with_header { write(&[]) } else { Vec::new() };
        file.extend(bytes);
        let _ = read(&file);
    }
}

#[test]
fn a_file_cut_anywhere_gives_all_records_before_the_cut() {
    let records: Vec<Record> = (0..5).map(sample).collect();
    let mut ends = vec![write(&[]).len()];
    ends.extend((1..=5).map(|count| write(&records[..count]).len()));
    let file = write(&records);
    for cut in 0..=file.len() {
        let whole = ends.iter().filter(|end| **end <= cut).count().saturating_sub(1);
        let (read, error) = read(&file[..cut]);
        assert_eq!(read, records[..whole], "cut at {cut}");
        match error {
            None => assert!(ends.contains(&cut), "cut at {cut} was not noticed"),
            Some(Error::Empty) => assert_eq!(cut, 0),
            Some(Error::Torn { offset, lost }) => {
                assert_eq!(offset + lost, cut as u64);
                assert!(cut < ends[0] || offset == ends[whole] as u64);
            }
            Some(other) => panic!("cut at {cut}: {other}"),
        }
    }
}

#[test]
fn appending_continues_after_the_last_whole_record() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.capture");
    let (mut writer, recovery) = Writer::append(&path).unwrap();
    assert_eq!((recovery.records, recovery.cut), (0, 0));
    (0..3).for_each(|n| writer.write(&sample(n)).unwrap());
    let end = writer.offset();
    writer.finish().unwrap();
    let file = std::fs::read(&path).unwrap();

    // Torn by a crash, also on a file system that leaves zeros behind, also inside the file's own header.
    for (cut, zeros, left) in [(7, 0, 2), (0, 0, 3), (0, 5000, 3), (0, 3, 3), (file.len() - 9, 0, 0)] {
        let mut torn = file[..file.len() - cut].to_vec();
        torn.extend(vec![0; zeros]);
        std::fs::write(&path, &torn).unwrap();
        let (mut writer, recovery) = Writer::append(&path).unwrap();
        assert_eq!(recovery.records, left, "{cut} cut, {zeros} zeros");
        assert_eq!(recovery.cut == 0, cut == 0 && zeros == 0);
        writer.write(&sample(9)).unwrap();
        writer.sync().unwrap();
        drop(writer);
        let (records, error) = read(&std::fs::read(&path).unwrap());
        assert!(error.is_none(), "{error:?}");
        let expected: Vec<Record> = (0..left as u8).chain([9]).map(sample).collect();
        assert_eq!(records, expected);
    }

    // Damage in the middle is not for a writer to repair.
    let mut damaged = file.clone();
    damaged[40] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    assert!(matches!(Writer::append(&path), Err(Error::Damaged { offset: 16, .. })));
    assert_eq!(std::fs::read(&path).unwrap(), damaged);
    assert_eq!(end, file.len() as u64);
}

#[test]
fn large_bodies_take_several_parts() {
    let noise: Vec<u8> =
        (0..5_000_000_u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
    let records: Vec<Record> = (0..3)
        .map(|n| {
            let Record::Transaction(mut t) = sample(n) else { unreachable!() };
            t.origin_response =
                Some(Response::new(200, Fields::new(), Body::complete(noise[usize::from(n)..].to_vec())));
            Record::Transaction(t)
        })
        .collect();
    let file = write(&records);
    let (read_back, error) = read(&file);
    assert!(error.is_none() && read_back == records);

    let mut reader = Reader::new(&file[..]).unwrap().limit(1 << 20);
    assert!(reader.read().unwrap().is_none());
    assert_eq!((reader.progress().records, reader.progress().oversized), (3, 3));
}

/// Gives one part with this kind and flags around these plain bytes, compressed apart from all others.
fn part(kind: u8, flags: u8, plain_length: u32, stored: &[u8]) -> Vec<u8> {
    let mut part = vec![kind, flags, 0, 0];
    part.extend((stored.len() as u32).to_le_bytes());
    part.extend(plain_length.to_le_bytes());
    part.extend(crc32fast::hash(stored).to_le_bytes());
    part.extend(crc32fast::hash(&part).to_le_bytes());
    part.extend(stored);
    part
}

#[test]
fn unknown_kinds_are_skipped_and_counted() {
    let plain = b"of a later version";
    let unknown = part(200, 3, plain.len() as u32, &zstd::bulk::compress(plain, 1).unwrap());
    let mut file = write(&[sample(1)]);
    file.extend(&unknown);
    file.extend(&unknown);
    file.extend(&write(&[sample(2)])[16..]);
    let mut reader = Reader::new(&file[..]).unwrap();
    let records: Vec<Record> = reader.by_ref().map(Result::unwrap).collect();
    assert_eq!(records, [sample(1), sample(2)]);
    assert_eq!(reader.progress().unknown.iter().collect::<Vec<_>>(), [(&200, &2)]);
    assert_eq!((reader.progress().records, reader.progress().offset), (4, file.len() as u64));
}

#[test]
fn records_that_hold_something_else_are_skipped_over() {
    let mut file = write(&[]);
    for plain in
        [&b"\x05\0\0\0\xff\xff\xff\xff\xff"[..], b"\xff\xff\xff\xff", b"abc", b"\x01\0\0\0\x80tail", b""]
    {
        file.extend(part(5, 3, plain.len() as u32, &zstd::bulk::compress(plain, 1).unwrap()));
    }
    file.extend(&write(&[sample(2)])[16..]);
    let mut reader = Reader::new(&file[..]).unwrap();
    let results: Vec<_> = reader.by_ref().collect();
    let wrong = results.iter().filter(|r| matches!(r, Err(Error::Malformed { kind: 5, .. }))).count();
    // The one whose head is longer than any head may be is skipped like every oversized record.
    assert_eq!((results.len(), wrong, reader.progress().oversized), (5, 4, 1));
    assert!(results.last().is_some_and(|r| r.as_ref().is_ok_and(|r| *r == sample(2))));
}

#[test]
fn bombs_are_bounded() {
    // 1 GiB of zeros in some 100 KiB: one part may not hold it.
    let bomb = zstd::bulk::compress(&vec![0; 1 << 26], 19).unwrap();
    let mut file = write(&[]);
    file.extend(part(5, 3, 1 << 20, &bomb));
    assert!(matches!(read(&file).1, Some(Error::Damaged { offset: 16, .. })));
    // A window larger than the format's.
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    std::io::Write::write_all(&mut encoder, &[0; 100]).unwrap();
    std::io::Write::flush(&mut encoder).unwrap();
    let mut file = write(&[]);
    file.extend(part(5, 3, 100, encoder.get_ref()));
    assert!(matches!(read(&file).1, Some(Error::Damaged { offset: 16, .. })));
    // A header that promises more than a part may hold, with a right checksum.
    let mut file = write(&[]);
    let mut header = part(5, 3, 10, b"");
    header[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    let crc = crc32fast::hash(&header[..16]);
    header[16..20].copy_from_slice(&crc.to_le_bytes());
    file.extend(header);
    assert!(matches!(read(&file).1, Some(Error::Damaged { offset: 16, .. })));
}

#[test]
fn other_files_are_refused_with_a_reason() {
    let mut newer = write(&[]);
    newer[8] = 2;
    let crc = crc32fast::hash(&newer[..12]);
    newer[12..16].copy_from_slice(&crc.to_le_bytes());
    let messages: Vec<String> = [&b""[..], b"GET / HTTP/1.1\r\n\r\n", &newer]
        .into_iter()
        .filter_map(|file| read(file).1.map(|error| error.to_string()))
        .collect();
    insta::assert_snapshot!(messages.join("\n"), @r"
    the file is empty: a capture starts with a header of 16 bytes; was its recording ended early?
    not a native capture: it starts with [47, 45, 54, 20, 2f, 20, 48, 54]
    the capture has format version 2; this build reads version 1: use a newer build
    ");
}

/// A destination that fails after some bytes.
struct Full(usize);

impl std::io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn nothing_is_written_after_a_failure() {
    let mut writer = Writer::new(Full(600)).unwrap();
    writer.write(&sample(1)).unwrap();
    while writer.write(&sample(2)).is_ok() {}
    assert!(writer.write(&sample(3)).is_err());
}

#[test]
fn a_recorder_writes_everything_it_took() {
    let recorder = Recorder::start(Writer::new(Vec::new()).unwrap(), 1 << 30).unwrap();
    (0..100).for_each(|n| recorder.offer(sample(n)).unwrap());
    let (file, written) = recorder.finish().unwrap();
    assert_eq!((written.records, written.bytes), (100, file.len() as u64));
    assert_eq!(read(&file).0, (0..100).map(sample).collect::<Vec<_>>());
}

#[test]
fn a_recorder_refuses_what_does_not_fit_and_reports_failures() {
    let recorder = Recorder::start(Writer::new(Full(16)).unwrap(), 1).unwrap();
    let refused = (0..100).filter(|n| recorder.offer(sample(*n)).is_err()).count();
    assert!(refused > 0);
    assert_eq!(recorder.finish().err().map(|e| e.kind()), Some(std::io::ErrorKind::StorageFull));
}

/// FORMAT.md shows this file byte by byte; a reader in another language can be tried on it.
#[test]
fn the_example_in_the_specification_is_true() {
    let transaction = Transaction {
        source: Source { tool: "t".into(), at: "a".into() },
        client_request: Some(Request::new("GET", "/", [("Host", "h")].into_iter().collect())),
        client_response: Some(Response::new(200, Fields::new(), Body::complete("hi"))),
        ..Transaction::default()
    };
    let note = Note { time: Some(Time(1)), text: "x".into() };
    let specification = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/FORMAT.md")).unwrap();
    let example = specification.split("```hex\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let bytes =
        example.lines().flat_map(|line| line.split('#').next().unwrap_or_default().split_whitespace());
    let shown: Vec<u8> = bytes.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    let (records, error) = read(&shown);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(records, [Record::Note(note), Record::Transaction(Box::new(transaction))]);
    // The layout, without what the compressor chooses: both headers, and the note's head as it is shown.
    let file = write(&records[..1]);
    assert_eq!((&file[..16], &file[16..20]), (&shown[..16], &shown[16..20]));
    let head = b"\x0e\0\0\0\xa2\x64time\x01\x64text\x61x";
    assert!(shown.windows(head.len()).any(|bytes| bytes == head));
}
