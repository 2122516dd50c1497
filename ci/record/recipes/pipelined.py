"""Requests sent before the answers to earlier ones have come, in one packet and in several that part anywhere, to
nginx, to Apache and to our origin; beside them curl with eight connections at once. In pipelined-head.pcap a HEAD is
among the requests sent ahead.

Why: a reader must pair answers with requests by order alone, also where HEAD, 204, 304 and 1xx have no body.
"""

import email.utils

GET = "GET {path} HTTP/1.1\\r\\nHost: {host}\\r\\n{more}\\r\\n"


def record(lab):
    client, server = lab.pair(servers=("10.77.0.80", "10.77.0.81", "10.77.0.82"), offload=False)
    lab.names({"10.77.0.80": ["www.example.test", "shop.example.test"], "10.77.0.81": ["legacy.example.test"],
               "10.77.0.82": ["news.example.test"]})
    lab.note(
        peers=[
            {"role": "client", "software": "ci/record/say.py", "addresses": ["10.77.0.2"]},
            {"role": "client", "software": "curl", "addresses": ["10.77.0.2"]},
            {"role": "server", "software": "nginx", "addresses": ["10.77.0.80:80"]},
            {"role": "server", "software": "apache2", "addresses": ["10.77.0.81:80"]},
            {"role": "server", "software": "ci/record/origin.py", "addresses": ["10.77.0.82:80"]},
        ],
        captured_at="the client's end of a virtual cable, with offloading off",
        about={"pipelined-head.pcap": {
            "contains": "Ten requests to nginx, and seven to our origin, sent ahead over one connection each; one of each is a HEAD.",
            "why": "the answer to HEAD has Content-Length and no content: only its request tells.",
            "tshark_differs": "tshark judges an answer by the latest request it has seen, not by the one that is answered, so it "
                              "takes the answers after the HEAD's for its content: it shows fewer responses than there are (17 and interim ones).",
        }},
    )
    lab.nginx(server, "10.77.0.80:80")
    lab.apache(server, "10.77.0.81:80")
    lab.origin(server, "10.77.0.82")

    def get(path, host, method="GET", more=""):
        return GET.format(path=path, host=host, more=more).replace("GET", method, 1)

    def say(address, *pieces):
        client.client("/usr/bin/python3", "-B", lab.here / "say.py", address, "80", *pieces)

    modified = email.utils.formatdate((lab.site / "www/files/items.json").stat().st_mtime, usegmt=True)

    def burst(host, head=False):
        return [
            get("/about.html", host), get("/img/plain.png", host, "HEAD" if head else "GET"), get("/img/dot.gif", host),
            get("/no-such-page", host), get("/files/notes.txt", host, more="Range: bytes=5-9\\r\\n"),
            get("/files/items.json", host, more=f"If-Modified-Since: {modified}\\r\\n"),
            get("/assets/site.css", host, more="Accept-Encoding: gzip\\r\\n"), get("/files/empty.txt", host),
            get("/old", host), get("/img/tile.png", host, more="Connection: close\\r\\n"),
        ]

    news = "news.example.test"
    with client.capture("c0", "pipelined.pcap"):
        for address, host in (("10.77.0.80", "www.example.test"), ("10.77.0.81", "legacy.example.test")):
            together = "".join(burst(host))
            say(address, together)
            # Cut inside the method, the version and the empty line.
            say(address, *together.replace("\\r\\n\\r\\nG", "\\r\\n\\r|\\nG").replace("HTTP", "HT|TP").split("|"))
        say("10.77.0.82", "".join([
            get("/news/hints", news), get("/news/live", news), get("/framing/no-content", news), get("/news/digest", news),
            get("/interim/several", news), get("/news/weak", news, more='If-None-Match: W/"loose"\\r\\n'),
            "POST /echo HTTP/1.1\\r\\nHost: news.example.test\\r\\nContent-Length: 7\\r\\n\\r\\na body\\n",
            "POST /echo HTTP/1.1\\r\\nHost: news.example.test\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n3\\r\\nGET\\r\\n4\\r\\n / H\\r\\n0\\r\\n\\r\\n",
            get("/news/front", news),
        ]))
        names = ("plain.png", "noise.png", "tile.png", "dot.png", "dot.gif", "shapes.svg", "drawn.webp")
        hosts = ("www.example.test", "shop.example.test")
        urls = " ".join(f"http://{host}/img/{name}" for name in names for host in hosts)
        client.curl(f"-Z --parallel-immediate --parallel-max 8 --remote-name-all {urls}")
    with client.capture("c0", "pipelined-head.pcap"):
        say("10.77.0.80", "".join(burst("www.example.test", head=True)))
        say("10.77.0.82", "".join([
            get("/news/front", news), get("/news/weak", news, "HEAD"), get("/news/hints", news), get("/news/live", news),
            get("/framing/no-content", news), get("/news/digest", news), get("/news/weak", news),
        ]))
