"""wget against Apache: a page with all that it needs, a recursive copy, an update of it (-N), a resumed download,
robots.txt, a listing, compression, redirects, authentication that is not asked for, posting.

Why: another client's habits (a HEAD or conditional GET before a copy, Range from the size on disk, Keep-Alive spelled
its way) against another server's (strong tags of its own form, Expires, `Keep-Alive: timeout`, Vary on negotiation).
Offloading is on, so one captured packet may hold what many packets carry on a wire, and its checksums are unfinished.
"""


def record(lab):
    client, server = lab.pair(servers=("10.77.0.81",))
    lab.names({"10.77.0.81": ["legacy.example.test"]})
    lab.note(
        peers=[
            {"role": "client", "software": "wget", "addresses": ["10.77.0.2"]},
            {"role": "server", "software": "apache2", "addresses": ["10.77.0.81:80"]},
        ],
        captured_at="the client's end of a virtual cable, with offloading on (segments up to 64 KiB, checksums unfinished)",
    )
    lab.apache(server, "10.77.0.81:80")
    site = "http://legacy.example.test"
    with client.capture("c0", "wget-apache.pcapng"):
        client.wget(f"-p -nH -P copy {site}/")
        client.wget(f"-r -l2 -nH -P copy {site}/about.html")
        client.wget(f"-N -nH -P copy -p {site}/index.html")
        client.wget(f"--no-if-modified-since -N -nH -P copy {site}/assets/site.css")
        client.wget(f"--compression=gzip -O zipped.css {site}/assets/site.css")
        client.wget(f"--no-http-keep-alive {site}/files/notes.txt {site}/files/items.json")
        client.wget(f"-O medium.bin {site}/files/medium.bin")
        with open(lab.scratch / "medium.bin", "r+b") as part:
            part.truncate(30_000)
        client.wget(f"-c -O medium.bin {site}/files/medium.bin")
        client.wget(f"-c -O medium.bin {site}/files/medium.bin")
        client.wget(f"--start-pos=48000 -O tail.bin {site}/files/medium.bin")
        client.wget(f"--spider {site}/files/large.bin")
        client.wget(f"--spider {site}/files/none", ok=(8,))
        client.wget(f"--max-redirect=0 {site}/old", ok=(8,))
        client.wget(f"{site}/old {site}/gone", ok=(8,))
        client.wget(f"-O listing.html {site}/files/")
        client.wget(f"--header='Accept-Language: fr' -O greeting.html {site}/greeting.fr.html")
        client.wget(f"--user=someone --password=example --auth-no-challenge {site}/about.html")
        client.wget(f"--post-data='a=1&b=2' -O posted.html {site}/about.html")
        client.wget(f"--method=DELETE {site}/about.html", ok=(8,))
        client.wget(f"--user-agent= --referer={site}/ --header='Cookie: theme=dark' {site}/about.html")
        client.wget(f"--no-cache {site}/about.html")
        client.wget(f"-i - -P list", stdin=f"{site}/img/dot.gif\n{site}/img/shapes.svg\n".encode())
