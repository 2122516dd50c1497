"""curl and a bare socket against our own origin, which frames and spells as few servers do: chunk extensions, one-byte
chunks, trailers, bodies that end with the connection, HTTP/1.0, a head in pieces, 100, 102 and 103 before the answer,
repeated and empty fields, bytes above 127, no reason, a body on a GET, targets in every form. In curl-quirks.pcapng:
folded lines, methods that few know, bodies that are cut short, and bodies that are refused.

Why: what a parser must keep as it was, and (in curl-quirks.pcapng) what it must call incomplete.
"""

HOST = "http://api.example.test"


def record(lab):
    net = lab.network
    lab.names({"127.0.0.1": ["api.example.test"]})
    lab.note(peers=[
        {"role": "client", "software": "curl", "addresses": ["127.0.0.1"]},
        {"role": "client", "software": "ci/record/say.py", "addresses": ["127.0.0.1"]},
        {"role": "server", "software": "ci/record/origin.py", "addresses": ["127.0.0.1:80"]},
    ])
    lab.note(about={"curl-quirks.pcapng": {
        "contains": "Answers with folded field lines, requests with methods that few know, bodies cut short by length, within a "
                    "chunk and by a reset, uploads refused before their body, and a request that its client leaves half sent.",
        "why": "what a reader must call incomplete, with the reason, and where dissectors go wrong.",
        "tshark_differs": "tshark does not list requests with methods outside its table (BREW, PURGE, lower), nor those whose body never "
                          "came; it ends a head at a folded line; of bodies cut short it shows what it happened to have.",
    }})
    lab.origin(net)
    (lab.scratch / "body.bin").write_bytes((lab.site / "www/files/medium.bin").read_bytes())

    def say(*pieces):
        net.client("/usr/bin/python3", "-B", lab.here / "say.py", "127.0.0.1", "80", *pieces)

    with net.capture("lo", "curl-framing.pcapng", capture_filter="tcp port 80"):
        for path in ("chunked", "trailers", "one-byte-chunks", "slow-head", "two-lengths", "no-content", "bare-newlines"):
            net.curl(f"{HOST}/framing/{path}")
        net.curl(f"--tr-encoding -H 'TE: trailers' {HOST}/framing/trailers")
        net.curl(f"-I {HOST}/framing/chunked")
        # One connection, ends told in every way that keeps it open.
        net.curl(" ".join(f"{HOST}/framing/{path}" for path in ("chunked", "no-content", "trailers", "one-byte-chunks", "two-lengths")))
        for path in ("until-close", "http10"):
            net.curl(f"{HOST}/framing/{path}")
        for path in ("early-hints", "several"):
            net.curl(f"{HOST}/interim/{path}")
        net.curl(f"{HOST}/interim/early-hints {HOST}/interim/several {HOST}/interim/early-hints")
        for path in ("fields", "no-reason", "large-field"):
            net.curl(f"{HOST}/spelling/{path}")
        for method in ("M-SEARCH", "PROPFIND", "LOCK", "REPORT"):
            net.curl(f"-X {method} {HOST}/echo")
        net.curl(f"-H 'x-lower: a' -H 'X-LOWER: b' -H 'X-Empty;' -H 'X-Latin: caf\u00e9' -H 'X-Long: {'z' * 2000}' {HOST}/echo")
        net.curl(f"-X GET -d 'a body on a GET' {HOST}/echo")
        net.curl(f"--request-target '*' -X OPTIONS {HOST}/")
        net.curl(f"--request-target '{HOST}/echo?absolute=form' {HOST}/")
        # What curl does not send: pieces that part anywhere, trailers on a request, bare line ends, empty lines first.
        say("GET /echo HTTP/1.1\\r\\nHo", "st: api.example.test\\r", "\\n\\r\\n", "@wait", "GET /framing/no-content HTTP/1.1\\r\\nHost: api.example.test\\r\\n\\r\\n")
        say("\\r\\nGET /echo HTTP/1.1\\r\\nHost: api.example.test\\r\\nX-Padded: \\t both sides \\t \\r\\nConnection: close\\r\\n\\r\\n")
        say("POST /echo HTTP/1.1\\r\\nHost: api.example.test\\r\\nTransfer-Encoding: chunked\\r\\nTrailer: X-Sum\\r\\nConnection: close\\r\\n\\r\\n"
            "5;name=value\\r\\nhello\\r\\n", "00006\\r\\n world\\r\\n0\\r\\nX-Sum: eleven\\r\\n\\r\\n")
        say("GET /echo HTTP/1.1\\nHost: api.example.test\\nConnection: close\\n\\n")
        say("GET /echo HTTP/1.0\\r\\n\\r\\n")
    with net.capture("lo", "curl-quirks.pcapng", capture_filter="tcp port 80"):
        for method in ("BREW", "PURGE", "lower"):
            net.curl(f"-X {method} {HOST}/echo")
        net.curl(f"{HOST}/spelling/folded {HOST}/spelling/fields")
        # Cut short: by length, in a chunk, by a reset.
        for path in ("short", "cut-chunk", "reset"):
            net.curl(f"{HOST}/framing/{path}", ok=(18, 56))
        # Refused before the body: curl sends none when it has asked, and begins to when it has not.
        net.curl(f"-H 'Expect: 100-continue' -T body.bin {HOST}/refuse")
        net.curl(f"-H 'Expect:' -T body.bin {HOST}/refuse", ok=None)
        say("POST /api/upload HTTP/1.1\\r\\nHost: api.example.test\\r\\nContent-Length: 500\\r\\n\\r\\nonly this", "@close")
        say("GET /echo HTTP/1.1\\r\\nHost: api.exam")
        net.curl(f"--max-filesize 1000 {HOST}/framing/until-close {HOST}/news/front", ok=None)
        net.curl(f"{HOST}/echo {HOST}/api/items")
