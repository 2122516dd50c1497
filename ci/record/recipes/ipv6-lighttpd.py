"""curl and wget against lighttpd over IPv6: pages, ranges, conditional requests, compression, redirects, a listing,
errors, and a literal IPv6 address in Host.

Why: the other address family, a third server's spelling, and `Host: [address]`.
"""


def record(lab):
    client, server = lab.pair(client6="fd77::2", servers6=("fd77::80",))
    lab.names({"fd77::80": ["edge.example.test"]})
    lab.note(
        peers=[
            {"role": "client", "software": "curl", "addresses": ["fd77::2"]},
            {"role": "client", "software": "wget", "addresses": ["fd77::2"]},
            {"role": "server", "software": "lighttpd", "addresses": ["[fd77::80]:80"]},
        ],
        captured_at="the server's end of a virtual cable, with offloading on",
    )
    lab.lighttpd(server, "[fd77::80]:80")
    edge = "http://edge.example.test"
    with server.capture("s0", "ipv6-lighttpd.pcap", tool="tcpdump"):
        client.curl(f"{edge}/ {edge}/assets/site.css {edge}/img/shapes.svg")
        client.curl(f"-g -6 'http://[fd77::80]/about.html'")
        client.curl(f"--compressed {edge}/ {edge}/assets/site.js")
        client.curl(f"-H 'Accept-Encoding: deflate' {edge}/assets/site.css")
        client.curl(f"-r 0-99 {edge}/files/medium.bin --next -r -100 {edge}/files/medium.bin --next -r 99999- {edge}/files/medium.bin")
        client.curl(f"-r 0-1,5-6 {edge}/files/notes.txt")
        client.curl(f"--etag-save tag.txt {edge}/files/items.json")
        client.curl(f"--etag-compare tag.txt {edge}/files/items.json")
        client.curl(f"-I {edge}/files/medium.bin --next {edge}/old --next {edge}/files --next {edge}/files/ --next {edge}/none")
        client.curl(f"-X OPTIONS {edge}/ --next -X DELETE {edge}/about.html --next -d a=1 {edge}/about.html")
        client.curl(f"-0 {edge}/about.html")
        client.wget(f"-6 -p -nH {edge}/index.html")
        client.wget(f"-6 -N -nH {edge}/index.html")
