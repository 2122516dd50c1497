"""curl and wget against Caddy, captured on all interfaces in the older cooked form (SLL).

Why: a fourth server's habits (zstd and gzip, listings in JSON, its own tags), and a link type with a 16-byte header.
"""


def record(lab):
    client, server = lab.pair(offload=False)
    lab.names({"10.77.0.80": ["shop.example.test"]})
    lab.note(
        peers=[
            {"role": "client", "software": "curl", "addresses": ["10.77.0.2"]},
            {"role": "client", "software": "wget", "addresses": ["10.77.0.2"]},
            {"role": "server", "software": "caddy", "addresses": ["10.77.0.80:80"]},
        ],
        captured_at="the pseudo-interface `any` at the client's end of a virtual cable",
    )
    lab.serve(server, "Caddyfile", "caddy run --adapter caddyfile --config {config}", "10.77.0.80:80", address="10.77.0.80")
    shop = "http://shop.example.test"
    with client.capture("any", "caddy-cooked.pcap", tool="tcpdump", options="-y LINUX_SLL"):
        client.curl(f"{shop}/ {shop}/assets/site.css {shop}/img/plain.png {shop}/hello")
        client.curl(f"-H 'Accept-Encoding: zstd' {shop}/assets/site.css --next --compressed {shop}/assets/site.js")
        client.curl(f"-r 0-99 {shop}/files/medium.bin --next -r 0-9,20-29 {shop}/files/notes.txt --next -r 999999- {shop}/files/medium.bin")
        client.curl(f"--etag-save tag.txt {shop}/files/items.json --next --etag-compare tag.txt {shop}/files/items.json")
        client.curl(f"-H 'Accept: application/json' {shop}/files/ --next {shop}/files --next -L {shop}/old --next {shop}/none --next {shop}/teapot")
        client.curl(f"-I {shop}/files/medium.bin --next -X POST -d a=1 {shop}/about.html --next -X DELETE {shop}/about.html")
        client.wget(f"-p -nH {shop}/index.html")
