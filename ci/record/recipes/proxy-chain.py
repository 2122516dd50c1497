"""curl asks HAProxy, which asks Varnish, which asks nginx; captured on all interfaces at once, so that each exchange
is seen on up to three connections, before and after the cache.

Why: what real intermediaries do to messages: Via, X-Forwarded-For, Age, X-Varnish, connections that are pooled, hits
that never reach the origin, and the cooked link type of captures on "any".
"""


def record(lab):
    net = lab.network
    lab.names({"127.0.0.1": ["www.example.test", "shop.example.test"]})
    lab.note(
        peers=[
            {"role": "client", "software": "curl", "addresses": ["127.0.0.1"]},
            {"role": "proxy", "software": "haproxy", "addresses": ["127.0.0.1:80"]},
            {"role": "cache", "software": "varnish", "addresses": ["127.0.0.1:3128"]},
            {"role": "server", "software": "nginx", "addresses": ["127.0.0.1:8080"]},
        ],
        captured_at="the pseudo-interface `any` of a network namespace",
    )
    lab.nginx(net, "127.0.0.1:8080")
    lab.serve(net, "default.vcl", f"varnishd -F -a 127.0.0.1:3128 -f {{config}} -n {lab.work}/varnish -s malloc,32m "
              "-j none -i cache.example.test", "127.0.0.1:3128")
    lab.serve(net, "haproxy.cfg", "haproxy -db -f {config}", "127.0.0.1:80")
    www, shop = "http://www.example.test", "http://shop.example.test"
    with net.capture("any", "proxy-chain.pcapng", capture_filter="tcp port 80 or 3128 or 8080"):
        for _ in range(2):
            net.curl(f"{www}/assets/site.css {shop}/assets/site.css {www}/img/tile.png")
            net.curl(f"--compressed {www}/assets/site.css")
            net.curl(f"-H 'Accept-Language: de' {www}/greeting --next -H 'Accept-Language: fr' {www}/greeting")
            net.curl(f"{www}/account {www}/no-such-page {www}/old")
        net.curl(f"-r 10-19 {www}/img/tile.png --next -r 0-9 {www}/files/medium.bin")
        net.curl(f"-I {www}/img/tile.png --next --etag-save tag.txt {www}/img/dot.png --next --etag-compare tag.txt {www}/img/dot.png")
        net.curl(f"-d a=1 {www}/about.html --next -T /dev/null {www}/dav/x --next -X DELETE {www}/dav/x")
        net.curl(f"-H 'Cache-Control: no-cache' {www}/img/tile.png --next {www}/forbidden/x --next -L {www}/here")
        net.curl(f"-H 'Connection: close' {www}/img/tile.png")
