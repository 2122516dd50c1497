"""curl and wget send bodies to nginx and to our origin: PUT, POST, PATCH, DELETE, forms, several parts, chunked, with
and without Expect: 100-continue; large and empty; JSON and compressed.

Why: the request's side of framing, and the interim 100.
"""

import gzip


def record(lab):
    client, server = lab.pair(servers=("10.77.0.80", "10.77.0.82"), offload=False)
    lab.names({"10.77.0.80": ["www.example.test"], "10.77.0.82": ["api.example.test"]})
    lab.note(
        peers=[
            {"role": "client", "software": "curl", "addresses": ["10.77.0.2"]},
            {"role": "client", "software": "wget", "addresses": ["10.77.0.2"]},
            {"role": "server", "software": "nginx", "addresses": ["10.77.0.80:80"]},
            {"role": "server", "software": "ci/record/origin.py", "addresses": ["10.77.0.82:80"]},
        ],
        captured_at="the server's end of a virtual cable, with offloading off",
    )
    lab.nginx(server, "10.77.0.80:80")
    lab.origin(server, "10.77.0.82")
    text = (lab.site / "www/files/notes.txt").read_bytes()
    (lab.scratch / "small.txt").write_bytes(b"a small file\n")
    (lab.scratch / "text.txt").write_bytes(text)
    (lab.scratch / "large.bin").write_bytes((lab.site / "www/files/large.bin").read_bytes()[:90_000])
    (lab.scratch / "text.gz").write_bytes(gzip.compress(text, mtime=0))
    (lab.scratch / "empty").write_bytes(b"")
    api, dav = "http://api.example.test", "http://www.example.test/dav"
    with server.capture("s0", "curl-uploads.pcapng"):
        for host in (f"{api}/api/upload", f"{dav}/file"):
            client.curl(f"-T small.txt {host}")
            client.curl(f"-T large.bin {host}")
            client.curl(f"-T empty {host}")
            client.curl(f"-H 'Expect:' -T text.txt {host}")
            client.curl(f"-H 'Expect: 100-continue' -T text.txt {host}")
        client.curl(f"-T - {api}/api/upload", stdin=text)
        client.curl(f"-T - -H 'Expect:' {dav}/file", stdin=text, ok=None)
        client.curl(f"-d a=1 -d b=2 --data-urlencode 'c=x y&z' {api}/api/upload")
        client.curl(f"-d '' {api}/api/upload --next -X POST {api}/api/upload")
        client.curl(f"-G -d q=words -d page=2 {api}/echo")
        client.curl(f"-F name=value -F 'file=@text.txt;type=text/plain;filename=notes.txt' -F 'more=<small.txt' {api}/api/upload")
        client.curl(f"--json '{{\"a\": [1, 2, 3]}}' {api}/api/upload")
        client.curl(f"--data-binary @text.gz -H 'Content-Encoding: gzip' {api}/api/upload")
        client.curl(f"-X PATCH -d '[]' {api}/api/upload")
        # One connection: bodies and no bodies in turn.
        client.curl(f"-T small.txt {dav}/a --next {dav}/a --next -X DELETE {dav}/a --next {dav}/a --next -X MKCOL {dav}/folder/ "
                    f"--next -X COPY -H 'Destination: {dav}/b' {dav}/file --next {dav}/b --next -X DELETE {dav}/b")
        client.wget(f"--post-file=text.txt -O - {api}/api/upload")
        client.wget(f"--method=PUT --body-file=small.txt -O - {dav}/c")
        client.wget(f"--method=DELETE -O - {dav}/c")
