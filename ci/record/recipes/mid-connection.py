"""A capture that starts while three connections are in use: one in the middle of a chunked answer, one between two
requests, one in the middle of an upload; each then carries whole transactions. A fourth connection is seen whole.

Why: captures on live systems start like this. What came before must be counted as not rebuilt, and what comes after
must be found.
"""

import time


def record(lab):
    client, server = lab.pair(offload=False)
    lab.names({"10.77.0.80": ["news.example.test", "api.example.test"]})
    lab.note(
        peers=[
            {"role": "client", "software": "curl", "addresses": ["10.77.0.2"]},
            {"role": "server", "software": "ci/record/origin.py", "addresses": ["10.77.0.80:80"]},
        ],
        captured_at="the server's end of a virtual cable, with offloading off",
    )
    lab.origin(server, "10.77.0.80")
    news, api = "http://news.example.test", "http://api.example.test"
    body = lab.scratch / "body.txt"
    body.write_text("one line of an upload that is under way\n" * 20)
    quiet = ("curl", "-q", "-sS", "-o", "/dev/null")
    running = [
        client.spawn(*quiet, f"{news}/framing/slow", "-o", "/dev/null", f"{news}/news/sport", "-o", "/dev/null", f"{news}/news/live", log="a"),
        client.spawn(*quiet, "--rate", "60/m", f"{api}/api/items?[1-4]", log="b"),
        client.spawn("bash", "-c", f"for n in 1 2 3 4 5 6 7 8; do cat {body}; sleep 0.3; done | {' '.join(quiet)} -T - {api}/api/upload "
                     f"--next -sS -o /dev/null {api}/api/clock --next -sS -o /dev/null {api}/api/settings", log="c"),
    ]
    time.sleep(1.3)
    with server.capture("s0", "mid-connection.pcap", tool="tcpdump"):
        client.curl(f"{news}/news/front {news}/news/weather")
        for process in running:
            process.wait(timeout=60)
