"""curl and wget talk to nginx through a relay that loses 4 of 100 packets, delays 5 so that others overtake them and
doubles 2, captured at the same time at the client (pcapng) and at the server (pcap).

Why: real retransmissions, reordered and doubled segments, and selective acknowledgements, seen from both sides: each
side's capture holds packets that the other lacks, and both must give the same messages.
"""


def record(lab):
    client, server = lab.relayed(seed=20, loss=0.04, reorder=0.05, duplicate=0.02, delay_ms=4)
    lab.names({"10.78.0.80": ["www.example.test", "shop.example.test"]})
    lab.note(
        peers=[
            {"role": "client", "software": "curl", "addresses": ["10.78.0.2"]},
            {"role": "client", "software": "wget", "addresses": ["10.78.0.2"]},
            {"role": "server", "software": "nginx", "addresses": ["10.78.0.80:80"]},
        ],
        about={
            "lossy-client.pcapng": {"captured_at": "the client's TUN device"},
            "lossy-server.pcap": {"captured_at": "the server's TUN device", "same_messages_as": "lossy-client.pcapng"},
        },
    )
    lab.nginx(server, "10.78.0.80:80")
    www = "http://www.example.test"
    (lab.scratch / "upload.bin").write_bytes((lab.site / "www/files/medium.bin").read_bytes())
    with (
        client.capture("tun0", "lossy-client.pcapng"),
        server.capture("tun0", "lossy-server.pcap", tool="tcpdump", options="--nano"),
    ):
        client.curl(f"--compressed {www}/ {www}/assets/site.css {www}/assets/site.js {www}/img/plain.png {www}/img/noise.png")
        client.curl(f"{www}/files/medium.bin --next -r 100000-229999 {www}/files/large.bin --next {www}/about.html")
        client.wget(f"-p -nH {www}/index.html")
        client.curl(f"-T upload.bin {www}/dav/upload.bin --next {www}/dav/upload.bin --next -X DELETE {www}/dav/upload.bin")
        client.curl(f"-Z --parallel-immediate --remote-name-all {www}/files/notes.txt {www}/files/items.json {www}/img/shapes.svg")
