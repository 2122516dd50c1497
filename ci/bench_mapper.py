"""Measures what our name server costs: ours and its peers take turns in one run, and the ratio of CPU time per query is printed."""

import dataclasses
import json
import os
import random
import re
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

from bench_processes import READY, Processes, Unable, cores, cpu, free_port, program, report, said, write

EXAMPLES = """\
Examples:
  ci/bench mapper                                    # every case against every peer that is here
  ci/bench mapper --case a-ecs --peer gdnsd --rounds 9
  ci/bench mapper --floor --json                     # our sockets around a responder that does next to nothing

Servers run on one core with one thread for UDP, dnsperf on another. CPU time is utime + stime of a server's processes,
divided by the queries that dnsperf saw answered; a run with lost queries or other answers than the case's does not count.
Below 1, ours takes less. `CASE/fastest` compares with the fastest of gdnsd, Knot and NSD.

  a-ecs     1 000 names, 10 000 client prefixes (EDNS Client Subnet), two addresses that depend on the prefix
  a         the same names, with EDNS and without a client subnet
  a-signed  the same with DO, signed: ours against ours unsigned
  nxdomain  names that are not there
  tcp       as `a`, over 32 connections, pipelined
  latency   as `a-ecs`, 20 000 queries a second whatever the answers: percentiles in microseconds, of four times the rounds
  map-swap  the same latency while a new map comes every second, against ours without

Everybody is asked the same. What peers do for a-ecs: gdnsd has one map with all prefixes for all names, as ours. PowerDNS (geoip)
has a database (MMDB) that gives each prefix a country, and addresses by country. Knot (mod-geoip) has a map for each name; each
name has ten of the prefixes there, and others get what is there for everybody: less to look through than ours. PowerDNS runs
twice: with the threads that it has by default (`pdns`), and with one that receives and looks up (`pdns-alone`). NSD answers from a
static zone and does not look at the client subnet.

Nothing is installed. On Debian: apt-get install dnsperf gdnsd knot knot-module-geoip nsd pdns-server pdns-backend-geoip;
bind9-utils (dnssec-keygen) for a-signed

Exit status: 0 measured, 2 something that is needed is missing or failed.
"""

COST = "us of CPU for each query"
MICROSECONDS = "us"
NAMES, PREFIXES = 1000, 10000
#: Prefixes of one name where each name has a map of its own.
EACH = PREFIXES // NAMES
ZONE = "g.example"
OUTSTANDING = 100
RATE = 20000
CONNECTIONS = 32
PAIRS = [("192.0.2.1", "192.0.2.2"), ("192.0.2.3", "192.0.2.4"), ("192.0.2.5", "192.0.2.6")]
FASTEST = ["gdnsd", "knot", "nsd"]
A, OPT, ECS = 1, 41, 8
NOERROR, NXDOMAIN = 0, 3
RCODES = {NOERROR: "NOERROR", NXDOMAIN: "NXDOMAIN"}


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    ecs: bool = False
    tcp: bool = False
    absent: bool = False
    do: bool = False
    latency: bool = False
    #: Peers to measure, and the most that ours may take of each.
    targets: dict = dataclasses.field(default_factory=lambda: {"fastest": 1.10})

    @property
    def rcode(self):
        return NXDOMAIN if self.absent else NOERROR


CASES = {
    case.name: case
    for case in [
        Case("a-ecs", ecs=True, targets={"fastest": 1.10, "pdns": 0.3}),
        Case("a"),
        Case("a-signed", do=True, targets={"unsigned": 1.4}),
        Case("nxdomain", absent=True),
        Case("tcp", tcp=True),
        Case("latency", ecs=True, latency=True, targets={"fastest": 1.0}),
        Case("map-swap", ecs=True, latency=True, targets={"still": 2.0}),
    ]
}
AGAINST_OURSELVES = ["a-signed", "map-swap"]


# Queries, as dnsperf -B reads them: each with its length before it.


def prefix(number):
    """One of the client prefixes, all of 24 bits."""
    block, rest = divmod(number, 2500)
    return 10 + 7 * block, rest >> 8, rest & 255


def prefix_text(number):
    return ".".join(map(str, prefix(number))) + ".0/24"


def pair(number):
    return PAIRS[number % len(PAIRS)]


def query(name, subnet=None, do=False):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    option = b"" if subnet is None else struct.pack("!HHHBB3B", ECS, 7, 1, 24, 0, *prefix(subnet))
    opt = b"\0" + struct.pack("!HHIH", OPT, 1232, 0x8000 if do else 0, len(option)) + option
    return struct.pack("!6H", 0, 0, 1, 0, 0, 1) + labels + struct.pack("!HH", A, 1) + opt


def queries(case):
    """What is asked: any name, for any client."""
    chance = random.Random(7)
    for _ in range(100000):
        number = chance.randrange(NAMES)
        subnet = chance.randrange(PREFIXES) if case.ecs else None
        yield query(f"{'x' if case.absent else 'a'}{number}.{ZONE}", subnet, case.do)


def query_file(folder, case):
    path = os.path.join(folder, f"{case.name}.queries")
    if not os.path.exists(path):
        with open(path, "wb") as file:
            for message in queries(case):
                file.write(struct.pack("!H", len(message)) + message)
    return path


# Servers.


@dataclasses.dataclass
class Server:
    name: str
    pid: int
    port: int
    #: Answers depend on the client subnet.
    ecs: bool = True
    #: Has a new map published, where it can be.
    publish: object = None


def folder_for(processes, name):
    folder = os.path.join(processes.folder, name)
    os.makedirs(folder)
    return folder


def static_zone(folder):
    """A zone file with every name, each with two addresses."""
    lines = [f"@ 3600 SOA ns1.{ZONE}. hostmaster.{ZONE}. 1 3600 600 86400 60", f"@ 3600 NS ns1.{ZONE}.", "ns1 3600 A 127.0.0.1"]
    lines += [f"a{number} 20 A {address}" for number in range(NAMES) for address in pair(0)]
    return write(os.path.join(folder, "zone"), f"$ORIGIN {ZONE}.\n" + "\n".join(lines) + "\n")


def start_ours(processes, core, options, signed=False):
    if options.floor:
        process = processes.start(core, [program(None, "mapper", "answer_fixed"), "127.0.0.1:0", "1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        publish = None
    else:
        command, publish = our_command(processes, program(options.program), signed)
        process = processes.start(core, command, stdout=subprocess.PIPE)
    line = process.stdout.readline()
    if not line:
        process.wait(READY)
        raise Unable(f"{process.args[3]} did not start\n{said(process)}")
    ready = json.loads(line)
    address = ready.get("dns") or ready["listen"]
    address = address[0] if isinstance(address, list) else address
    return Server("ours", process.pid, int(address.rsplit(":", 1)[1]), publish=publish)


SITES = ["one", "two", "three"]


def our_command(processes, path, signed):
    """How to start ours, and what has it make a new map. The one place that knows our configuration."""
    folder = folder_for(processes, "ours-signed" if signed else "ours")
    sites = "".join(f'[[site]]\nname = "{name}"\n' for name in SITES)
    servers = "".join(
        f'[[server]]\nname = "{name}-{at}"\nsite = "{name}"\naddresses = ["{address}"]\n'
        for name, both in zip(SITES, PAIRS)
        for at, address in enumerate(both)
    )
    service = f'[[service]]\nname = "all"\nhosts = ["a{{0..{NAMES - 1}}}"]\ncopies = 2\nnear = 2\nelsewhere = 0\nttl = 20\norder = "fixed"\n'
    write(os.path.join(folder, "network.toml"), sites + servers + service)
    zone = f"$ORIGIN {ZONE}.\n@ 3600 SOA ns1.{ZONE}. hostmaster.{ZONE}. 1 3600 600 86400 60\n@ 3600 NS ns1.{ZONE}.\nns1 3600 A 127.0.0.1\n"
    write(os.path.join(folder, "zone"), zone)
    config = f"""listen = ["127.0.0.1:0"]
threads = 1
[tcp]
per-client = 1000
[[zone]]
apex = "{ZONE}"
file = "zone"
role = "low"
{signing_key(folder) if signed else ""}
[map]
folder = "maps"
keep = 10
most-churn = 1000
[inputs]
network = ["network.toml"]
probes = ["probes.jsonl"]
[build]
every = 1
"""
    file = write(os.path.join(folder, "mapper.toml"), config)
    turns = 0

    def publish():
        """Measurements that put every client nearer to another site than before."""
        nonlocal turns
        now = int(time.time())
        with open(os.path.join(folder, "probes.new"), "w") as probes:
            for number in range(PREFIXES):
                for at, site in enumerate(SITES):
                    rtt = 5 if at == (number + turns) % len(SITES) else 100
                    probes.write(json.dumps({"site": site, "target": prefix_text(number), "rtt": rtt, "time": now}) + "\n")
        os.rename(os.path.join(folder, "probes.new"), os.path.join(folder, "probes.jsonl"))
        turns += 1

    publish()
    return [path, "mapper", "--config", file, "--json"], publish


def signing_key(folder):
    """Makes a key; the line of our configuration that names it."""
    keys = os.path.join(folder, "keys")
    os.makedirs(keys)
    try:
        command = ["dnssec-keygen", "-q", "-K", keys, "-a", "ECDSAP256SHA256", "-f", "KSK", ZONE]
        subprocess.run(command, check=True, capture_output=True, timeout=READY)
    except (OSError, subprocess.SubprocessError) as error:
        raise Unable(f"dnssec-keygen makes no key (apt-get install bind9-utils): {error}") from error
    return 'keys = "keys"'


def start_gdnsd(processes, core):
    folder, port = folder_for(processes, "gdnsd"), free_port()
    for sub in ("etc/geoip", "etc/zones", "run", "state"):
        os.makedirs(os.path.join(folder, sub))
    centres = ["one", "two", "three"]
    nets = [f"{prefix_text(number)} => [ {centres[number % 3]} ]" for number in range(PREFIXES)]
    write(os.path.join(folder, "etc/geoip/nets"), "\n".join(nets) + "\n")
    addresses = " ".join(f"{name} => {{ addrs_v4 => [ {', '.join(both)} ] }}" for name, both in zip(centres, PAIRS))
    config = f"""options => {{
  run_dir => {folder}/run, state_dir => {folder}/state, listen => 127.0.0.1:{port}, udp_threads => 1, tcp_threads => 1
}}
plugins => {{ geoip => {{
  maps => {{ m => {{ datacenters => [ {', '.join(centres)} ], nets => nets }} }}
  resources => {{ r => {{ map => m, service_types => up, dcmap => {{ {addresses} }} }} }}
}} }}
"""
    write(os.path.join(folder, "etc/config"), config)
    zone = ["@ 3600 SOA ns1 hostmaster ( 1 3600 600 86400 60 )", "@ 3600 NS ns1", "ns1 3600 A 127.0.0.1"]
    zone += [f"a{number} 20 DYNA geoip!r" for number in range(NAMES)]
    write(os.path.join(folder, "etc/zones", ZONE), "\n".join(zone) + "\n")
    process = processes.start(core, ["gdnsd", "-c", f"{folder}/etc", "start"], stdout=subprocess.DEVNULL)
    return Server("gdnsd", process.pid, port)


def start_knot(processes, core):
    folder, port = folder_for(processes, "knot"), free_port()
    maps = []
    for name in range(NAMES):
        maps.append(f"a{name}.{ZONE}:\n")
        maps += [f"  - net: {prefix_text(n)}\n    A: [ {', '.join(pair(n))} ]\n" for n in range(name * EACH, name * EACH + EACH)]
    write(os.path.join(folder, "geo.conf"), "".join(maps))
    config = f"""server:
  rundir: {folder}
  listen: 127.0.0.1@{port}
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
  edns-client-subnet: on
database:
  storage: {folder}
log:
  - target: stderr
    any: warning
mod-geoip:
  - id: geo
    config-file: {folder}/geo.conf
    ttl: 20
    mode: subnet
zone:
  - domain: {ZONE}
    file: {static_zone(folder)}
    module: mod-geoip/geo
"""
    file = write(os.path.join(folder, "knot.conf"), config)
    process = processes.start(core, ["knotd", "-c", file], stdout=subprocess.DEVNULL)
    return Server("knot", process.pid, port)


def start_nsd(processes, core):
    folder, port = folder_for(processes, "nsd"), free_port()
    config = f"""server:
  server-count: 1
  ip-address: 127.0.0.1
  port: {port}
  username: ""
  zonesdir: "{folder}"
  zonelistfile: "{folder}/zone.list"
  database: ""
  pidfile: "{folder}/pid"
  xfrdfile: "{folder}/xfrd.state"
  xfrdir: "{folder}"
  # Limits on rates are on by default.
  rrl-ratelimit: 0
  rrl-whitelist-ratelimit: 0
remote-control:
  control-enable: no
zone:
  name: {ZONE}
  zonefile: {static_zone(folder)}
"""
    file = write(os.path.join(folder, "nsd.conf"), config)
    process = processes.start(core, ["nsd", "-d", "-c", file], stdout=subprocess.DEVNULL)
    return Server("nsd", process.pid, port, ecs=False)


COUNTRIES = ["aa", "bb", "cc"]


def geoip_database():
    """A MaxMind DB that puts each client prefix into one of three countries (https://maxmind.github.io/MaxMind-DB/)."""

    def value(item):
        if isinstance(item, dict):
            return bytes([7 << 5 | len(item)]) + b"".join(value(key) + value(of) for key, of in item.items())
        if isinstance(item, list):
            return bytes([len(item), 11 - 7]) + b"".join(map(value, item))
        if isinstance(item, str):
            return bytes([2 << 5 | len(item)]) + item.encode()
        return item

    def short(number):
        return bytes([5 << 5 | 2]) + struct.pack("!H", number)

    def word(number):
        return bytes([6 << 5 | 4]) + struct.pack("!I", number)

    def long(number):
        return bytes([8, 9 - 7]) + struct.pack("!Q", number)

    nodes = [[None, None]]
    data, places = b"", []
    for country in COUNTRIES:
        places.append(len(data))
        data += value({"country": {"iso_code": country.upper()}})
    for number in range(PREFIXES):
        at = 0
        first, second, third = prefix(number)
        bits = [(first << 16 | second << 8 | third) >> shift & 1 for shift in range(23, -1, -1)]
        for bit in bits[:-1]:
            if nodes[at][bit] is None:
                nodes[at][bit] = len(nodes)
                nodes.append([None, None])
            at = nodes[at][bit]
        nodes[at][bits[-1]] = ("data", places[number % len(COUNTRIES)])

    def record(child):
        if child is None:
            return len(nodes)
        # Behind the tree are 16 octets that part it from the data.
        return child if isinstance(child, int) else len(nodes) + 16 + child[1]

    tree = b"".join(record(child).to_bytes(3, "big") for node in nodes for child in node)
    about = {"binary_format_major_version": short(2), "binary_format_minor_version": short(0), "build_epoch": long(int(time.time()))}
    about |= {"database_type": "Clients", "description": {"en": "Clients of a benchmark"}, "languages": ["en"]}
    about |= {"ip_version": short(4), "node_count": word(len(nodes)), "record_size": short(24)}
    return tree + bytes(16) + data + b"\xab\xcd\xefMaxMind.com" + value(about)


def start_pdns(processes, core, called="pdns", threads=()):
    folder, port = folder_for(processes, called), free_port()
    database = os.path.join(folder, "clients.mmdb")
    with open(database, "wb") as file:
        file.write(geoip_database())
    pools = "".join(f"    {pool}.{ZONE}:\n" + "".join(f"      - a: {address}\n" for address in both) for pool, both in zip(COUNTRIES, PAIRS))
    # Who has no country is of this one.
    pools += f"    unknown.{ZONE}:\n" + "".join(f"      - a: {address}\n" for address in PAIRS[0])
    services = "".join(f"    a{name}.{ZONE}: \"%cc.{ZONE}\"\n" for name in range(NAMES))
    zones = f"""domains:
- domain: {ZONE}
  ttl: 20
  records:
    {ZONE}:
      - soa: ns1.{ZONE} hostmaster.{ZONE} 1 3600 600 86400 60
      - ns: ns1.{ZONE}
    ns1.{ZONE}:
      - a: 127.0.0.1
{pools}  services:
{services}"""
    zones = write(os.path.join(folder, "zones.yaml"), zones)
    command = ["pdns_server", f"--config-dir={folder}", "--daemon=no", "--guardian=no", "--launch=geoip", f"--geoip-zones-file={zones}"]
    command += [f"--geoip-database-files=mmdb:{database}", "--edns-subnet-processing=yes", "--local-address=127.0.0.1", f"--local-port={port}"]
    command += [f"--socket-dir={folder}", "--max-tcp-connections=100", "--disable-syslog", "--module-dir=" + pdns_modules(), *threads]
    process = processes.start(core, command, stdout=subprocess.DEVNULL)
    return Server(called, process.pid, port)


def start_pdns_alone(processes, core):
    """Without threads that look up what another one has received: what PowerDNS recommends where its back end is fast."""
    return start_pdns(processes, core, "pdns-alone", ["--receiver-threads=1", "--distributor-threads=1"])


def pdns_modules():
    for root in ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"):
        if os.path.exists(os.path.join(root, "pdns", "libgeoipbackend.so")):
            return os.path.join(root, "pdns")
    raise Unable("PowerDNS has no geoip backend here (apt-get install pdns-backend-geoip)")


#: How to start each, its program, and its package.
PEERS = {
    "gdnsd": (start_gdnsd, "gdnsd", "gdnsd"),
    "knot": (start_knot, "knotd", "knot knot-module-geoip"),
    "nsd": (start_nsd, "nsd", "nsd"),
    "pdns": (start_pdns, "pdns_server", "pdns-server pdns-backend-geoip"),
    "pdns-alone": (start_pdns_alone, "pdns_server", "pdns-server pdns-backend-geoip"),
}


# Load.


def ask(server, message):
    """One query; the answer, or nothing within a quarter of a second."""
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(0.25)
        client.connect(("127.0.0.1", server.port))
        try:
            client.send(message)
            return client.recv(4096)
        except OSError:
            return None


def wait_until_it_answers(server, processes):
    end = time.monotonic() + READY
    process = next(process for process in processes.started if process.pid == server.pid)
    while time.monotonic() < end:
        if process.poll() is not None:
            raise Unable(f"{server.name} ended with status {process.returncode}\n{said(process)}")
        if ask(server, query(f"a0.{ZONE}")):
            return
        time.sleep(0.05)
    raise Unable(f"{server.name} did not answer within {READY} s\n{said(process)}")


def check(case, server, floor):
    """The server answers the case as it should, or measuring it means nothing."""
    subnets = [0, 1, 2] if case.ecs else [None]
    answers = []
    for subnet in subnets:
        answer = ask(server, query(f"{'x' if case.absent else 'a'}0.{ZONE}", subnet, case.do))
        if answer is None:
            raise Unable(f"{server.name} does not answer {case.name}")
        rcode, count = answer[3] & 15, struct.unpack("!H", answer[6:8])[0]
        least = 0 if case.absent else 3 if case.do else 2
        if rcode != case.rcode or count < least:
            raise Unable(f"{server.name} answers {case.name} with response code {rcode} and {count} records")
        answers.append(answer)
    addresses = {tuple(sorted(re.findall(rb"\xc0\x00\x02(.)", answer, re.S))) for answer in answers}
    if case.ecs and server.ecs and not (server.name == "ours" and floor):
        if len(addresses) != len(subnets):
            raise Unable(f"{server.name} answers clients of different subnets alike")
        # A source of 24 bits, and a scope of 1 to 24.
        if not all(re.search(struct.pack("!H", ECS) + rb"\x00\x07\x00\x01\x18[\x01-\x18]", answer) for answer in answers):
            raise Unable(f"{server.name} does not say for which clients its answers are (RFC 7871)")


def dnsperf(case, server, folder, core, seconds):
    file = query_file(folder, case)
    command = ["taskset", "-c", str(core), "dnsperf", "-s", "127.0.0.1", "-p", str(server.port), "-d", file, "-B", "-l", str(seconds)]
    command += ["-m", "tcp", "-c", str(CONNECTIONS)] if case.tcp else ["-c", "8"]
    command += ["-q", "1000000", "-Q", str(RATE), "-v"] if case.latency else ["-q", str(OUTSTANDING)]
    path = os.path.join(folder, "dnsperf.out")
    with open(path, "w") as out:
        try:
            done = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, timeout=seconds + 30)
        except subprocess.TimeoutExpired as error:
            raise Unable(f"dnsperf against {server.name} did not end within {seconds + 30} s") from error
    with open(path) as out:
        text = out.read()
    os.remove(path)
    numbers = {key: int(found[1]) if (found := re.search(rf"Queries {key}:\s+(\d+)", text)) else 0 for key in ("sent", "completed", "lost")}
    codes = re.search(r"Response codes:\s+(.*)", text)
    if done.returncode != 0 or not numbers["completed"] or codes is None:
        raise Unable(f"dnsperf against {server.name} failed:\n{text[-2000:]}".strip())
    if numbers["sent"] != numbers["completed"]:
        raise Unable(f"{server.name} was asked {numbers['sent']} times and answered {numbers['completed']} times")
    if not re.fullmatch(rf"{RCODES[case.rcode]} \d+ \(100\.00%\)", codes[1].strip()):
        raise Unable(f"{server.name} answers {case.name} with {codes[1]}")
    return numbers["completed"], text


def cost(case, server, folder, core, seconds):
    """Microseconds of CPU time for each query."""
    before = cpu(server.pid)
    answered, _ = dnsperf(case, server, folder, core, seconds)
    spent = cpu(server.pid) - before
    # Below that, a tick of the system's clock weighs too much.
    if spent < 0.1:
        raise Unable(f"{server.name} answered {answered} queries in {spent:.2f} s of CPU time, which is too little to measure")
    return spent * 1e6 / answered


#: A single one may be many times another; their median needs more of them.
LATENCY_ROUNDS = 4
PERCENTILES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}


def latency(case, server, folder, core, seconds):
    """Percentiles of the time to an answer, in microseconds."""
    _, text = dnsperf(case, server, folder, core, seconds)
    times = sorted(float(time) * 1e6 for time in re.findall(r"^> \S+ .* (\d+\.\d+)$", text, re.M))
    if len(times) < 1000:
        raise Unable(f"dnsperf tells {len(times)} times only")
    return {name: times[min(int(len(times) * share), len(times) - 1)] for name, share in PERCENTILES.items()}


# The command.


class Context:
    def __init__(self, options, processes):
        self.options, self.processes = options, processes
        self.server_core, self.load_core = cores()
        self.ours = self.ready(start_ours(processes, self.server_core, options))
        self.peers = []
        for name in options.peer or PEERS:
            starter, command, package = PEERS[name]
            try:
                if shutil.which(command) is None:
                    raise Unable(f"{command} is missing (apt-get install {package})")
                self.peers.append(self.ready(starter(processes, self.server_core)))
            except Unable as error:
                if options.peer:
                    raise
                print(f"{name}: not measured: {error}", file=sys.stderr, flush=True)

    def ready(self, server):
        wait_until_it_answers(server, self.processes)
        return server

    def report(self, name, ours, peer, unit, target):
        report(self.options.json, name, ours, peer, unit, target)

    def warm(self, case, server):
        """Has a server answer the case, checks how, and lets its caches fill."""
        check(case, server, self.options.floor)
        dnsperf(case, server, self.processes.folder, self.load_core, 1)

    def rounds(self, asked, measure):
        """What `measure` says of each of them, round by round."""
        figures = [[] for _ in asked]
        for _ in range(self.options.rounds * (LATENCY_ROUNDS if measure is latency else 1)):
            for (case, server), into in zip(asked, figures):
                into.append(self.turn(measure, case, server))
        return figures

    def turn(self, measure, case, server):
        """One figure; of a peer, nothing where it fails in one turn (Knot now and then answers next to nothing over TCP)."""
        try:
            return measure(case, server, self.processes.folder, self.load_core, self.options.seconds)
        except Unable as error:
            if server.name == "ours":
                raise
            print(f"{case.name}/{server.name}: a round does not count: {error}", file=sys.stderr, flush=True)
            return None


def against_peers(context, case):
    servers = [context.ours]
    context.warm(case, context.ours)
    for peer in context.peers:
        try:
            context.warm(case, peer)
            servers.append(peer)
        except Unable as error:
            print(f"{case.name}/{peer.name}: not measured: {error}", file=sys.stderr, flush=True)
    ours, *peers = context.rounds([(case, server) for server in servers], latency if case.latency else cost)
    named = dict(zip((server.name for server in servers[1:]), peers))
    if case.latency:
        for which in PERCENTILES:
            pick = lambda figures: [figure and figure[which] for figure in figures]
            target = case.targets if which == "p99" else {}
            compare(context, f"{case.name}-{which}", pick(ours), {name: pick(figures) for name, figures in named.items()}, MICROSECONDS, target)
    else:
        compare(context, case.name, ours, named, COST, case.targets)


def compare(context, name, ours, peers, unit, targets):
    medians = {}
    for peer, figures in peers.items():
        pairs = [(mine, theirs) for mine, theirs in zip(ours, figures) if theirs is not None]
        if len(pairs) * 2 < len(ours):
            print(f"{name}/{peer}: too few rounds count", file=sys.stderr, flush=True)
            continue
        medians[peer] = statistics.median(theirs for _, theirs in pairs), pairs
        report_pairs(context, f"{name}/{peer}", pairs, unit, targets.get(peer))
    fast = [medians[peer] for peer in FASTEST if peer in medians]
    if fast:
        report_pairs(context, f"{name}/fastest", min(fast)[1], unit, targets.get("fastest"))


def report_pairs(context, name, pairs, unit, target):
    context.report(name, [mine for mine, _ in pairs], [theirs for _, theirs in pairs], unit, target)


def signed(context, case):
    if context.options.floor:
        raise Unable("the floor signs nothing")
    server = context.ready(start_ours(context.processes, context.server_core, context.options, signed=True))
    context.warm(case, server)
    context.warm(CASES["a"], context.ours)
    ours, plain = context.rounds([(case, server), (CASES["a"], context.ours)], cost)
    context.report(f"{case.name}/unsigned", ours, plain, COST, case.targets["unsigned"])


def map_swap(context, case):
    if context.ours.publish is None:
        raise Unable("this server takes no new maps")

    def swapping(*given):
        over = threading.Event()

        def publish():
            while not over.wait(1):
                context.ours.publish()

        publisher = threading.Thread(target=publish)
        publisher.start()
        try:
            return latency(*given)
        finally:
            over.set()
            publisher.join()

    context.warm(case, context.ours)
    swapped, still = [], []
    for _ in range(context.options.rounds):
        given = case, context.ours, context.processes.folder, context.load_core, max(context.options.seconds, 5)
        still.append(latency(*given)["p99.9"])
        swapped.append(swapping(*given)["p99.9"])
    context.report(f"{case.name}-p99.9/still", swapped, still, MICROSECONDS, case.targets["still"])


def mapper(options):
    if options.quick:
        options.rounds, options.seconds = 2, 1
    for tool, package in {"taskset": "util-linux", "dnsperf": "dnsperf"}.items():
        if shutil.which(tool) is None:
            raise Unable(f"{tool} is missing (apt-get install {package})")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        # Daemons that give up their rights must reach their files.
        os.chmod(folder, 0o755)
        processes = Processes(folder)
        try:
            context = Context(options, processes)
            if not options.json:
                print(f"{'case':22} {'ours':>10} {'peer':>10} {'ratio':>7}  {'rounds':14} {'target':>6}  unit", flush=True)
            for name in options.case or CASES:
                attempt(context, CASES[name])
        finally:
            processes.end()


def attempt(context, case):
    """Goes on with the other cases where one cannot be measured, unless it was asked for by name."""
    how = {"a-signed": signed, "map-swap": map_swap}.get(case.name, against_peers)
    try:
        how(context, case)
    except Unable as error:
        if context.options.case:
            raise
        print(f"{case.name:22} not run: {error}", file=sys.stderr, flush=True)


def add_arguments(parser):
    parser.add_argument("--case", action="append", choices=CASES, metavar="NAME", help="only this case; may be repeated")
    parser.add_argument("--peer", action="append", choices=PEERS, help="only this peer; may be repeated")
    parser.add_argument("--floor", action="store_true", help="instead of the product, its sockets around a responder that does next to nothing")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 1 s: does it all work?")
    parser.set_defaults(run=mapper, names=list(CASES))
