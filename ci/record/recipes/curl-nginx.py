"""curl's everyday options against nginx over loopback: ranges, a resumed download, conditional requests, gzip,
redirects, HEAD, cookies, several connections and one, errors.

Why: the smallest complete set of what a plain client and the commonest server say to each other.
"""


def record(lab):
    net = lab.network
    lab.note(peers=[
        {"role": "client", "software": "curl", "addresses": ["127.0.0.1"]},
        {"role": "server", "software": "nginx", "addresses": ["127.0.0.1:80"]},
    ])
    lab.names({"127.0.0.1": ["www.example.test", "shop.example.test", "static.example.test"]})
    lab.nginx(net)
    www, shop = "http://www.example.test", "http://shop.example.test"
    with net.capture("lo", "curl-nginx.pcap", tool="tcpdump", capture_filter="tcp port 80"):
        net.curl(f"{www}/")
        net.curl(f"--compressed {www}/")
        net.curl(f"-H 'Accept-Encoding: br;q=1.0, gzip;q=0.8, *;q=0.1' {www}/assets/site.css")
        net.curl(f"-I {www}/files/large.bin")
        # One connection for three requests, then a request that asks for its end.
        net.curl(f"{www}/assets/site.css {www}/assets/site.js {www}/img/plain.png")
        net.curl(f"-H 'Connection: close' {www}/about.html")
        net.curl(f"{www}/close")
        # Ranges: one, a suffix, several at once, one that cannot be had, and one under If-Range.
        net.curl(f"-r 0-99 {www}/files/medium.bin")
        net.curl(f"-r -500 {www}/files/medium.bin")
        net.curl(f"-r 0-9,100-109,40000-40099 {www}/files/medium.bin")
        net.curl(f"-r 999999- {www}/files/medium.bin")
        etag = head(net, f"{www}/files/medium.bin", "etag")
        net.curl(f"-r 10-19 -H 'If-Range: {etag}' {www}/files/medium.bin")
        net.curl(f"""-r 10-19 -H 'If-Range: "another"' {www}/files/notes.txt""")
        # A download cut after 20 000 bytes, and its rest.
        net.curl(f"-r 0-19999 -o part.bin {www}/files/medium.bin")
        net.curl(f"-C - -o part.bin {www}/files/medium.bin")
        # Conditional requests that hold and that do not.
        modified = head(net, f"{www}/files/medium.bin", "last-modified")
        net.curl(f"-H 'If-None-Match: {etag}' {www}/files/medium.bin")
        net.curl(f"-H 'If-None-Match: W/{etag}' {www}/files/medium.bin")
        net.curl(f"-H 'If-Modified-Since: {modified}' {www}/files/medium.bin")
        net.curl(f"""-H 'If-Match: "another"' {www}/files/medium.bin""")
        net.curl(f"-H 'If-Unmodified-Since: Thu, 01 Jan 1998 00:00:00 GMT' {www}/files/medium.bin")
        net.curl(f"--etag-save etag.txt {www}/files/items.json")
        net.curl(f"--etag-compare etag.txt {www}/files/items.json")
        net.curl(f"-z '2038-01-01' {www}/files/notes.txt")
        # Redirects, followed and not, also to another host.
        net.curl(f"{www}/old")
        net.curl(f"-L {www}/old {www}/see-other {www}/temporary {www}/permanent")
        net.curl(f"-L {www}/moved")
        # Statuses.
        net.curl(f"{www}/no-such-page {www}/gone {www}/teapot {www}/empty {www}/files/empty.txt")
        net.curl(f"--path-as-is {www}/../etc")
        net.curl(f"-X OPTIONS {www}/")
        net.curl(f"-X TRACE {www}/")
        # Negotiation and cookies.
        for language in ("de-DE,de;q=0.9", "fr", "en-GB,en;q=0.5"):
            net.curl(f"-H 'Accept-Language: {language}' {www}/greeting")
        net.curl(f"{shop}/greeting {shop}/ {shop}/assets/site.css")
        net.curl(f"-c jar.txt {www}/account")
        net.curl(f"-b jar.txt -b 'theme=dark; q=\"a b\"' {www}/account")
        net.curl(f"-A '' -H 'Accept:' {www}/about.html")
        net.curl(f"-H 'X-Empty;' -H 'x-lower-CASE: kept' -e {www}/ --url-query 'q=caf%C3%A9' {www}/about.html", ok=None)
        net.curl(f"'{www}/about.html?a=1&b=2&a=3' '{www}/about.html?'")
        net.curl(f"-u someone:secret {www}/about.html")
        net.curl(f"--http1.0 {www}/about.html")
        net.curl(f"--http2 {www}/about.html")
        # Four downloads over connections of their own at the same time.
        net.curl(f"-Z --parallel-immediate --remote-name-all {www}/img/plain.png "
                 f"{www}/img/noise.png {www}/files/notes.txt {www}/files/items.json")


def head(net, url, field):
    """The value of one field of the answer to a HEAD."""
    for line in net.curl(f"-I {url}").decode().splitlines():
        if line.lower().startswith(field + ":"):
            return line.split(":", 1)[1].strip()
    raise LookupError(f"{url}: no {field}")
