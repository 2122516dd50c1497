"""HTTP/1.0: curl, wget and ApacheBench against Python's file server, which closes after each answer, and ApacheBench
with keep-alive against nginx, both over loopback.

Why: bodies and connections that end together, `Connection: keep-alive` as HTTP/1.0 has it, listings, and many short
connections from the same few ports.
"""


def record(lab):
    net = lab.network
    lab.names({"127.0.0.1": ["www.example.test"], "127.0.0.2": ["files.example.test"]})
    lab.note(peers=[
        {"role": "client", "software": "curl", "addresses": ["127.0.0.1"]},
        {"role": "client", "software": "wget", "addresses": ["127.0.0.1"]},
        {"role": "client", "software": "ab", "addresses": ["127.0.0.1"]},
        {"role": "server", "software": "python", "addresses": ["127.0.0.2:8080"]},
        {"role": "server", "software": "nginx", "addresses": ["127.0.0.1:80"]},
    ])
    lab.nginx(net, "127.0.0.1:80")
    lab.python(net, "127.0.0.2", 8080)
    files, www = "http://files.example.test:8080", "http://www.example.test"
    with net.capture("lo", "http10-python.pcap", tool="tcpdump", options="--nano"):
        net.curl(f"-0 {files}/about.html {files}/files/notes.txt")
        net.curl(f"{files}/files/ {files}/files {files}/nowhere")
        net.curl(f"-I {files}/files/medium.bin")
        net.curl(f"-L {files}/assets")
        net.curl(f"-r 0-99 {files}/files/notes.txt")
        net.curl(f"-d a=1 {files}/about.html")
        net.curl(f"-z '2038-01-01' {files}/files/notes.txt")
        net.curl(f"-0 -H 'Connection: keep-alive' {www}/about.html {www}/img/dot.gif {www}/files/empty.txt")
        net.curl(f"-0 {www}/files/items.json")
        net.wget(f"-p -nH {files}/index.html")
        net.client("ab", "-q", "-n", "6", "-c", "2", f"{files}/img/dot.png")
        net.client("ab", "-q", "-k", "-n", "10", "-c", "2", f"{www}/img/dot.png")
        net.client("ab", "-q", "-k", "-i", "-n", "3", f"{www}/files/items.json")
