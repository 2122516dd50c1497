"""Chromium loads a page with style sheets, scripts, pictures and a font from nginx, reloads it, reloads it past its
cache, opens another page, sends fetches of its own, and visits again with the same profile after a restart.

Why: a browser opens several connections at once, sends conditional requests on reload, and none at all for what its
cache still holds; its field order and spelling are its own.
"""


def record(lab):
    client, server = lab.pair(offload=False)
    lab.names({"10.77.0.80": ["www.example.test", "shop.example.test", "static.example.test"]})
    lab.note(
        peers=[
            {"role": "client", "software": "chromium", "addresses": ["10.77.0.2"]},
            {"role": "server", "software": "nginx", "addresses": ["10.77.0.80:80"]},
        ],
        captured_at="the client's end of a virtual cable, with offloading off (segments fit 1500 bytes)",
    )
    lab.nginx(server, "10.77.0.80:80")
    with client.capture("c0", "chromium-nginx.pcapng"):
        with lab.chromium(client) as browser:
            browser.visit("http://www.example.test/")
            browser.reload()
            browser.reload(past_cache=True)
            browser.visit("http://www.example.test/about.html")
            browser.run("fetch('/files/items.json').then(answer => answer.json()).then(found => found.items.length)")
            browser.run("fetch('/files/medium.bin', {headers: {Range: 'bytes=100-299'}}).then(a => a.arrayBuffer()).then(b => b.byteLength)")
            browser.run("fetch('/dav/note.txt', {method: 'PUT', body: 'written by a browser'}).then(a => a.status)")
        with lab.chromium(client) as browser:
            browser.visit("http://www.example.test/")
            browser.visit("http://shop.example.test/")
