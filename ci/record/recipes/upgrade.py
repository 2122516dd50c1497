"""curl and a bare socket ask our origin to switch protocols; it does (101), and both sides go on in a protocol that is
not HTTP; one request asks nginx, which does not switch and answers 200.

Why: what follows a 101 is not HTTP and must not be read as if it were.
"""


def record(lab):
    net = lab.network
    lab.names({"127.0.0.1": ["api.example.test"], "127.0.0.2": ["www.example.test"]})
    lab.note(peers=[
        {"role": "client", "software": "curl", "addresses": ["127.0.0.1"]},
        {"role": "client", "software": "ci/record/say.py", "addresses": ["127.0.0.1"]},
        {"role": "server", "software": "ci/record/origin.py", "addresses": ["127.0.0.1:80"]},
        {"role": "server", "software": "nginx", "addresses": ["127.0.0.2:80"]},
    ])
    lab.origin(net)
    lab.nginx(net, "127.0.0.2:80")
    ask = "GET /interim/upgrade HTTP/1.1\\r\\nHost: api.example.test\\r\\nConnection: Upgrade\\r\\nUpgrade: shout\\r\\n\\r\\n"
    with net.capture("lo", "upgrade.pcap", tool="tcpdump", capture_filter="tcp port 80"):
        net.client("/usr/bin/python3", "-B", lab.here / "say.py", "127.0.0.1", "80", ask, "@wait",
                   "no more http here\\n", "GET / HTTP/1.1\\r\\nHost: not.a.request.example.test\\r\\n\\r\\n", "bye\\n", "@close")
        net.curl("-H 'Connection: Upgrade' -H 'Upgrade: shout' --max-time 1 http://api.example.test/interim/upgrade", ok=None)
        net.curl("-H 'Connection: Upgrade' -H 'Upgrade: shout' http://www.example.test/about.html http://www.example.test/img/dot.gif")
