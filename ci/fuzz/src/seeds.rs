//! Inputs to begin with: messages and packets of `corpora/recordings`, and small ones that are wrong on purpose.

use replay::extract::{Options, Recorded, load};
use std::path::PathBuf;
use std::sync::OnceLock;

/// What the parsers under test know, to be put anywhere.
pub const DICTIONARY: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"\n\n",
    b"\0",
    b"\t",
    b" ",
    b":",
    b": ",
    b",",
    b";",
    b"=",
    b"\"",
    b"\\",
    b"/",
    b"*",
    b"#",
    b"?",
    b"@",
    b"[::1]",
    b"GET / HTTP/1.1\r\n",
    b"GET",
    b"HEAD ",
    b"POST ",
    b"OPTIONS * HTTP/1.1\r\n",
    b"CONNECT a:1 HTTP/1.1\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b" HTTP/1.1\r\n",
    b" HTTP/1.0\r\n",
    b" HTTP/1.2\r\n",
    b" HTTP/2.0\r\n",
    b" http/1.1\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 101 \r\n\r\n",
    b"HTTP/1.1 204 \r\n\r\n",
    b"HTTP/1.1 304 \r\n\r\n",
    b"http://a.test/",
    b"https://b",
    b"http://u@h:80?q",
    b"Host: a\r\n",
    b"Host:\r\n",
    b"Host: a@b\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: +5\r\n",
    b"Content-Length: 5, 5\r\n",
    b"Content-Length: 18446744073709551616\r\n",
    b"Content-Length: 0x5\r\n",
    b"Content-Length : 5\r\n",
    b"Content-Length:\x0b5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: Chunked \r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding: chunked, identity\r\n",
    b"Transfer-Encoding: chunked;a=b\r\n",
    b"Transfer-Encoding:\r\n chunked\r\n",
    b"Transfer-Encoding: \x0bchunked\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b"Transfer_Encoding: chunked\r\n",
    b"Transfer-Encoding: \"chunked\"\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Connection: transfer-encoding\r\n",
    b"Connection: upgrade\r\nUpgrade: x\r\n",
    b"Expect: 100-continue\r\n",
    b"Trailer: a\r\n",
    b" folded\r\n",
    b"\tfolded\r\n",
    b"x\r\n",
    b"0\r\n\r\n",
    b"0\r\nA: b\r\n\r\n",
    b"5\r\nhello\r\n",
    b"5;a=\"\n\"\r\nhello\r\n",
    b"5 ;a\r\n",
    b"00000000000000005\r\nhello\r\n",
    b"ffffffffffffffff\r\n",
    b"10000000000000000\r\n",
    b"0x5\r\n",
    b"-1\r\n",
    b"+5\r\n",
    b"5_0\r\n",
    b"max-age=",
    b"s-maxage=0",
    b"no-store",
    b"no-cache=\"a\"",
    b"private",
    b"must-understand",
    b"stale-while-revalidate=60",
    b"stale-if-error=60",
    b"only-if-cached",
    b"cdn-cache-control: ",
    b"reference-cdn-cache-control: ",
    b"max-age=5;a=\"b\"",
    b"no-store=?0",
    b"content-digest: ",
    b"repr-digest: ",
    b"want-content-digest: ",
    b"sha-256=",
    b"sha-512=",
    b":47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:",
    b"surrogate-key: ",
    b"cache-tag: ",
    b"cache-groups: ",
    b"(\"a\" \"b\")",
    b"proxy-status: ",
    b"bytes=0-0",
    b"bytes=-1",
    b"bytes 0-3/10",
    b"bytes */10",
    b"W/\"a\"",
    b"Sat, 21 Nov 2026 12:00:00 GMT",
    b"Saturday, 21-Nov-26 12:00:00 GMT",
    b"Sat Nov 21 12:00:00 2026",
    b"99999999999999999999",
    b"-1",
    b"1e999",
    b"0.5",
    b"\xc3\xa9",
    b"\xff",
    b"\xf0\x9f\x92\xa9",
    b"\n%%\n",
    b"cache-control: ",
    b"vary: *\n",
    b"etag: \"a\"\n",
    b"age: ",
    b"date: ",
    b"expires: 0\n",
    b"set-cookie: a=b; Path=/\n",
    b"content-encoding: gzip\n",
    b"content-type: application/json\n",
    b"connection: x\n",
    b"<script>",
    b"]]>",
    b"&#x1b;",
    b"\x1b[2J",
    b"\xc2\x9b",
    b"\xe2\x80\xae",
    b"</pre>",
    b"\"><img src=x>",
    b"<![CDATA[",
    b"{",
    b"}",
    b"[",
    b"]",
    b"null",
    b"\\u0000",
    b"\\x41",
    b"\\x",
    b"true",
    b"[[waiver]]\n",
    b"[purge]\n",
    b"[origin]\n",
    b"= \"\"\"",
    b"'''",
    b"{env:CDN}",
    b"{env:",
    b"2027-02-29",
    b"0000-00-00",
    b"{secret}",
    b"http://[::1]:99999/",
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x01\0\0\0",
    b"\x0a\x0d\x0d\x0a",
    b"\x06\0\0\0",
    b"\x08\0",
    b"\x86\xdd",
    b"\x81\0",
];

/// Wrong on purpose, one liberty each.
const REQUESTS: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nX-T: 1\r\nAge: 1\r\n\r\nHEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://A.test:80?q HTTP/1.1\r\nHost: b\r\nX: 1\r\nx: 2\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: [::1]:8080\r\nMax-Forwards: 1\r\n\r\n",
    b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
    b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n",
    b"\r\n\r\nGET /  HTTP/1.1\r\nHost : a\r\n fold\r\nbad line\r\n\r\n",
    b"GET / HTTP/1.1\nHost: a\n\n",
    b"GET /old\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nshort",
];

const RESPONSES: &[&[u8]] = &[
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n2\r\nhi\r\n0\r\nX: 1\r\n\r\n",
    b"HTTP/1.0 200\r\n\r\nuntil the end",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nbytes of another protocol",
    b"HTTP/1.1 200 OK\nTransfer-Encoding: gzip\n\nuntil close",
    b"HTTP/1.1 999 \r\nContent-Length: 1, 1\r\n\r\nx",
];

fn recording(file: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../corpora/recordings")).join(file)
}

/// Small recorded exchanges, of several clients and servers.
fn recorded() -> &'static [Recorded] {
    static RECORDED: OnceLock<Vec<Recorded>> = OnceLock::new();
    RECORDED.get_or_init(|| {
        let files = [
            "curl-quirks.pcapng",
            "curl-framing.pcapng",
            "chromium-nginx.pcapng",
            "http10-python.pcap",
            "proxy-chain.pcapng",
            "upgrade.pcap",
        ];
        let mut all = Vec::new();
        for file in files {
            let (recorded, _) = load(&recording(file), &Options { keep_body: 300 }).unwrap();
            let small = |one: &Recorded| {
                let bodies = [one.request().map(|r| &r.body), one.response().map(|r| &r.body)];
                bodies.into_iter().flatten().all(|body| body.whole().is_some())
            };
            // Not all: what is alike teaches nothing new.
            let step = recorded.len().div_ceil(8).max(1);
            all.extend(recorded.into_iter().filter(small).step_by(step));
        }
        assert!(all.len() >= 20, "{} recorded exchanges", all.len());
        all
    })
}

/// Bytes in front of an input that choose what is done with it.
fn chosen(choice: &[u8], bytes: &[u8]) -> Vec<u8> {
    [choice, bytes].concat()
}

pub(crate) fn requests() -> Vec<Vec<u8>> {
    let recorded =
        recorded().iter().filter_map(Recorded::request).map(|request| wire::write::request(request).to_vec());
    let written = REQUESTS.iter().map(|bytes| bytes.to_vec());
    written.chain(recorded).map(|bytes| chosen(&[7, 0, 0], &bytes)).collect()
}

pub(crate) fn responses() -> Vec<Vec<u8>> {
    let recorded =
        recorded().iter().filter_map(Recorded::response).map(|r| wire::write::response(r).to_vec());
    let written = RESPONSES.iter().map(|bytes| bytes.to_vec());
    written.chain(recorded).map(|bytes| chosen(&[7, 0, 0xe0, 0], &bytes)).collect()
}

/// Requests and the answers to them, two exchanges each.
pub(crate) fn connections() -> Vec<Vec<u8>> {
    let both = |one: &Recorded| {
        let (request, response) = (one.request()?, one.response()?);
        let response = wire::write::response_to(&request.method, response);
        Some((wire::write::request(request).to_vec(), response.to_vec()))
    };
    let recorded: Vec<_> = recorded().iter().filter_map(both).collect();
    let written = REQUESTS.iter().zip(RESPONSES.iter().cycle()).map(|(a, b)| (a.to_vec(), b.to_vec()));
    let pairs = recorded
        .windows(2)
        .map(|two| ([&two[0].0[..], &two[1].0].concat(), [&two[0].1[..], &two[1].1].concat()));
    written
        .chain(pairs)
        .map(|(requests, responses)| {
            chosen(&[7, 0, 9, 0, 0x55, 0xaa, 1], &[&requests[..], b"\n%%\n", &responses].concat())
        })
        .collect()
}

/// The first packets of recordings of each format and link type.
pub(crate) fn packets() -> Vec<Vec<u8>> {
    let files = [
        "curl-nginx.pcap",
        "curl-quirks.pcapng",
        "caddy-cooked.pcap",
        "derived-big-endian.pcapng",
        "derived-big-endian-null.pcap",
        "derived-vlan.pcapng",
        "derived-snapshot-length.pcap",
        "ipv6-lighttpd.pcap",
        "proxy-chain.pcapng",
        "lossy-client.pcapng",
        "upgrade.pcap",
    ];
    files
        .map(|file| {
            let bytes = std::fs::read(recording(file)).unwrap();
            chosen(&[40], &bytes[..bytes.len().min(4000)])
        })
        .into()
}

pub(crate) fn texts() -> Vec<Vec<u8>> {
    let transaction = serde_json::to_vec(&recorded()[0].transaction).unwrap();
    let mut texts: Vec<Vec<u8>> = [
        "plain",
        "a\\x41 \\x5c",
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "-9223372036854775808",
        "9223372036854775807",
        "<b>\u{1b}[31m\u{202e}</b>]]>&amp;\r\n\t\u{feff}",
        "{{ 7 * 7 }}{% raw %}",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into();
    texts.push(transaction);
    texts.push(b"\xff\xfe\x00\\".to_vec());
    texts
}
