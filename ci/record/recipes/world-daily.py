"""A day's traffic of a small CDN customer, in seconds: Chromium, curl, wget and aria2 ask nginx, Apache, lighttpd,
Python's server and an origin of our own for pages, pictures, a JSON interface, downloads and uploads, under seven
host names of which several share paths, over IPv4 and IPv6.

Why: the quickstart's recorded world. It holds repeated requests (so that hits happen), the same path under two hosts,
negotiation by encoding, language and device, ranges in and out of bounds, conditional requests, objects that change
between requests and must not be served stale, a POST and a PUT that invalidate, fields for one hop only, trailers,
interim responses, redirects, errors and private answers; so a cache that goes wrong in any of these answers otherwise
than a right one. What depends on order is on one connection each.
"""

NGINX, APACHE, ORIGIN, PYTHON, LIGHTTPD6 = "10.77.0.80", "10.77.0.81", "10.77.0.82", "10.77.0.83", "fd77::80"
WWW, SHOP, STATIC = "http://www.example.test", "http://shop.example.test", "http://static.example.test"
API, NEWS, LEGACY, FILES, EDGE = (f"http://{name}.example.test" for name in ("api", "news", "legacy", "files", "edge"))


def record(lab):
    client, server = lab.pair(
        servers=(NGINX, APACHE, ORIGIN, PYTHON), client6="fd77::2", servers6=(LIGHTTPD6,), offload=False)
    for address in ("10.77.0.3", "10.77.0.4", "10.77.0.5"):
        client.sh(f"ip addr add {address}/24 dev c0")
    lab.names({
        NGINX: ["www.example.test", "shop.example.test", "static.example.test"], APACHE: ["legacy.example.test"],
        ORIGIN: ["api.example.test", "news.example.test"], PYTHON: ["files.example.test"], LIGHTTPD6: ["edge.example.test"],
    })
    lab.nginx(server, f"{NGINX}:80")
    lab.apache(server, f"{APACHE}:80")
    lab.origin(server, ORIGIN)
    lab.python(server, PYTHON)
    lab.lighttpd(server, f"[{LIGHTTPD6}]:80")
    lab.note(
        peers=[
            {"role": "client", "software": "chromium", "addresses": ["10.77.0.2", "fd77::2"]},
            {"role": "client", "software": "curl", "addresses": ["10.77.0.3", "fd77::2"]},
            {"role": "client", "software": "wget", "addresses": ["10.77.0.4"]},
            {"role": "client", "software": "aria2", "addresses": ["10.77.0.5"]},
            {"role": "server", "software": "nginx", "addresses": [f"{NGINX}:80"]},
            {"role": "server", "software": "apache2", "addresses": [f"{APACHE}:80"]},
            {"role": "server", "software": "ci/record/origin.py", "addresses": [f"{ORIGIN}:80"]},
            {"role": "server", "software": "python", "addresses": [f"{PYTHON}:80"]},
            {"role": "server", "software": "lighttpd", "addresses": [f"[{LIGHTTPD6}]:80"]},
        ],
        captured_at="the clients' end of a virtual cable, with offloading off (segments fit 1500 bytes)",
    )

    def curl(arguments, **options):
        return client.curl(arguments, source="10.77.0.3", **options)

    def wget(arguments, **options):
        return client.wget(f"--bind-address=10.77.0.4 {arguments}", **options)

    with client.capture("c0", "world-daily.pcapng"):
        pages(lab, client)
        same_paths(curl)
        negotiation(curl)
        changing(curl)
        invalidation(lab, curl)
        downloads(curl, wget, client)
        conditionals(curl)
        redirects_and_errors(curl, wget)
        messages(lab, curl)
        repeated(curl, wget, client)


def pages(lab, client):
    """A browser visits two shops, reloads, and comes back."""
    with lab.chromium(client) as browser:
        browser.visit(f"{WWW}/")
        browser.reload()
        browser.visit(f"{SHOP}/")
        browser.visit(f"{WWW}/about.html")
        browser.visit(f"{NEWS}/news/front")
        browser.run("fetch('/news/hints').then(answer => answer.text())")
    with lab.chromium(client) as browser:
        browser.visit(f"{WWW}/")
        browser.reload()
        browser.visit(f"{SHOP}/")
        browser.reload(past_cache=True)


def same_paths(curl):
    """The same paths under several hosts are different objects."""
    for path in ("/", "/assets/site.css", "/assets/site.js", "/img/plain.png", "/greeting", "/files/notes.txt"):
        curl(f"{WWW}{path} {SHOP}{path}")
    curl(f"{API}/api/items {NEWS}/api/items")
    curl(f"{STATIC}/assets/print.css {WWW}/assets/print.css")


def negotiation(curl):
    """One URL, several representations: by encoding, by language, by both, by a device."""
    for encoding in ("gzip", "identity", "gzip"):
        curl(f"-H 'Accept-Encoding: {encoding}' {WWW}/assets/site.css {NEWS}/news/sport {API}/api/items")
    curl(f"--compressed {STATIC}/assets/print.css")
    for language in ("de-DE,de;q=0.9", "fr", "en-GB,en;q=0.5", "de-DE,de;q=0.9"):
        curl(f"-H 'Accept-Language: {language}' {WWW}/greeting {NEWS}/news/front")
    curl(f"-H 'Accept-Language: de' -H 'Accept-Encoding: gzip' {NEWS}/news/front {NEWS}/news/weather")
    for device in ("phone", "desktop", "phone"):
        curl(f"-H 'X-Device: {device}' {NEWS}/news/device")
    curl(f"{NEWS}/news/anything {NEWS}/news/anything")
    curl(f"'{API}/api/search?q=a&page=1' '{API}/api/search?page=1&q=a' '{API}/api/search?q=a&page=2' '{API}/api/search?q=a&page=1'")


def changing(curl):
    """Objects with other content at each request; none may be answered from a store."""
    curl(f"{API}/api/clock {API}/api/clock {API}/api/clock")
    curl(f"{API}/api/ticker {API}/api/ticker {API}/api/ticker")
    curl(f"{API}/api/private {API}/api/private")
    curl(f"-c one.txt {WWW}/account --next -b one.txt {WWW}/account")
    curl(f"{NEWS}/news/weak {NEWS}/news/weak")


def invalidation(lab, curl):
    """A POST makes the stored cart worthless, PUT and DELETE the stored note."""
    curl(f"{API}/api/cart {API}/api/cart --next -d item=7 {API}/api/cart --next {API}/api/cart {API}/api/cart")
    (lab.scratch / "note.txt").write_text("first version of the note\n")
    (lab.scratch / "note2.txt").write_text("second version, longer than the first one\n")
    note = f"{WWW}/dav/note.txt"
    curl(f"-T note.txt {note} --next {note} {note} --next -T note2.txt {note} --next {note} "
         f"--next -X DELETE {note} --next {note}")
    curl(f"--data-binary @note.txt -H 'Content-Type: text/plain' {API}/api/upload")
    curl(f"-F 'file=@note2.txt;type=text/plain' -F kind=note {API}/api/upload")
    curl(f"-L --post303 -d pay=now {API}/api/order")
    curl(f"-X PATCH -d '[]' -H 'Content-Type: application/json-patch+json' {API}/api/upload")
    curl(f"-H 'Expect: 100-continue' -T note2.txt {API}/api/upload")
    curl(f"-H 'Transfer-Encoding: chunked' -T - {API}/api/upload", stdin=b"a body of unknown length\n" * 40)


def downloads(curl, wget, client):
    """Whole, in part, resumed, and in parts at once."""
    large = f"{WWW}/files/large.bin"
    curl(f"-r 0-99 {WWW}/files/medium.bin")
    curl(f"{WWW}/files/medium.bin")
    curl(f"-r 0-99 {WWW}/files/medium.bin --next -r 1000-1999 {WWW}/files/medium.bin --next -r -500 {WWW}/files/medium.bin "
         f"--next -r 49000- {WWW}/files/medium.bin --next -r 0-0 {WWW}/files/medium.bin")
    curl(f"-r 999999- {WWW}/files/medium.bin")
    curl(f"-r 0-9,100-109,40000-40099 {WWW}/files/medium.bin")
    curl(f"-r 10-19 {SHOP}/files/medium.bin")
    wget(f"-O large.bin {large}")
    with open(f"{client.lab.scratch}/large.bin", "r+b") as part:
        part.truncate(260_000)
    wget(f"-c -O large.bin {large}")
    wget(f"-c -O large.bin {large}", ok=(0, 8))
    client.client(*f"aria2c -q --interface=10.77.0.5 --no-conf -Z --file-allocation=none {SHOP}/files/medium.bin {SHOP}/files/items.json".split())
    curl(f"-I {large}")
    curl(f"{FILES}/files/notes.txt")
    curl(f"{FILES}/files/notes.txt")


def conditionals(curl):
    """What a client with a copy of its own asks."""
    url = f"{WWW}/files/items.json"
    curl(f"--etag-save tag.txt {url}")
    curl(f"--etag-compare tag.txt {url}")
    curl(f"-H 'If-None-Match: \"other\"' {url}")
    curl(f"-H 'If-Modified-Since: Tue, 01 Dec 2026 00:00:00 GMT' {url}")
    curl(f"-H 'If-Modified-Since: Thu, 01 Jan 1998 00:00:00 GMT' {url}")
    curl(f"-r 5-14 -H 'If-Range: \"other\"' {url}")
    curl(f"-H 'If-Match: \"other\"' {url}")
    curl(f"-H 'Cache-Control: no-cache' {url}")
    curl(f"-H 'Cache-Control: max-age=0' -H 'If-None-Match: \"other\"' {url}")
    curl(f"--etag-save news.txt {NEWS}/news/sport --next --etag-compare news.txt {NEWS}/news/sport")
    curl(f"-H 'If-None-Match: W/\"loose\"' {NEWS}/news/weak")
    curl(f"-I {url}")
    curl(f"-I {API}/api/items")


def redirects_and_errors(curl, wget):
    """Elsewhere, nowhere, not now, not for you."""
    curl(f"-L {WWW}/old {WWW}/permanent {WWW}/see-other {WWW}/temporary")
    curl(f"-L {WWW}/moved")
    curl(f"{LEGACY}/old {LEGACY}/gone")
    curl(f"{WWW}/no-such-page {NEWS}/news/missing {NEWS}/news/missing {WWW}/gone {WWW}/teapot {WWW}/empty")
    curl(f"{API}/api/unstable {API}/api/unstable")
    curl(f"{API}/api/login --next -u someone:example {API}/api/login")
    curl(f"-X OPTIONS {API}/echo --next -X DELETE {API}/api/upload")
    wget(f"-O - {WWW}/no-such-page", ok=(8,))


def messages(lab, curl):
    """Framing and fields: what a relay must keep, and what it must not."""
    curl(f"{NEWS}/news/hop {NEWS}/news/hop {NEWS}/news/aged {NEWS}/news/expires")
    curl(f"-H 'Connection: X-Client-Hop' -H 'X-Client-Hop: only so far' -H 'X-Client-Kept: all the way' {API}/echo")
    curl(f"{NEWS}/news/live {NEWS}/news/live")
    curl(f"-H 'TE: trailers' {NEWS}/news/digest")
    curl(f"{NEWS}/news/hints {NEWS}/news/hints")
    curl(f"{NEWS}/news/cookie --next -b 'a=1; b=2' {NEWS}/news/cookie")
    curl(f"{API}/api/settings {API}/api/settings")
    curl(f"-H 'Connection: close' {WWW}/about.html")
    curl(f"--http1.0 {WWW}/about.html")
    curl(f"'{WWW}/about.html?tag={'x' * 1500}'")
    curl(f"-b 'long={'y' * 3000}' {WWW}/about.html")
    curl(f"{NEWS}/framing/until-close")


def repeated(curl, wget, client):
    """What is asked again and again, by several clients at once."""
    wget(f"-p -nH -P mirror {LEGACY}/index.html")
    wget(f"-N -nH -P mirror {LEGACY}/index.html")
    client.curl(f"-6 {EDGE}/ {EDGE}/assets/site.css {EDGE}/img/shapes.svg")
    client.curl(f"-6 --compressed {EDGE}/ {EDGE}/assets/site.css {EDGE}/old")
    for _ in range(2):
        curl(f"-Z --parallel-immediate --remote-name-all {WWW}/img/plain.png {WWW}/img/noise.png {SHOP}/img/shapes.svg "
             f"{SHOP}/img/drawn.webp {WWW}/fonts/squares.woff2 {LEGACY}/img/tile.png")
    curl(f"--compressed {WWW}/ {WWW}/assets/site.css {WWW}/assets/site.js {SHOP}/ {SHOP}/assets/site.css")
    curl(f"{NEWS}/news/front {NEWS}/news/sport {API}/api/items {API}/api/settings {NEWS}/news/hop")
