"""A laboratory for one recording: network namespaces, real programs in them, and a capture beside them.

Runs inside namespaces of its own (network, mounts, processes, host name), made by `ci/record-corpus`. So nothing
that happens here is seen outside, and every process ends when the laboratory ends, however it ends.
"""

import contextlib
import os
import pathlib
import re
import shlex
import signal
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent

# Every name in the recordings. `.test` is reserved (RFC 6761), so no recording names anybody's host.
HOSTS = (
    "www.example.test shop.example.test static.example.test api.example.test news.example.test "
    "files.example.test legacy.example.test edge.example.test"
).split()


class LabError(Exception):
    """Something the recording needs did not work; the text says what."""


class Network:
    """One network namespace: programs run in it, and packets are captured in it."""

    def __init__(self, lab, name=None):
        self.lab, self.name = lab, name
        if name:
            self.prefix = ["ip", "netns", "exec", name]
            lab.sh(f"ip netns add {name}")
        else:
            self.prefix = []
        self.sh("ip link set lo up")

    def sh(self, command):
        """Runs a set-up command, which must succeed."""
        return self.lab.sh(command, self.prefix)

    def spawn(self, *argv, log=None, **options):
        """Starts a server; it ends with the laboratory."""
        path = self.lab.work / f"{log or pathlib.Path(argv[0]).name}.log"
        out = open(path, "ab")
        process = subprocess.Popen(
            [*self.prefix, *map(str, argv)], stdin=subprocess.DEVNULL, stdout=out, stderr=out, **options
        )
        process.log = path
        self.lab.processes.append(process)
        return process

    def client(self, *argv, stdin=None, ok=(0,), timeout=60):
        """Runs a client to its end in an empty directory; returns its output. `ok`: the exit statuses expected."""
        argv = [*self.prefix, *map(str, argv)]
        try:
            done = subprocess.run(
                argv, input=stdin or b"", cwd=self.lab.scratch, timeout=timeout,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.lab.environment(),
            )
        except subprocess.TimeoutExpired as error:
            raise LabError(f"{shlex.join(argv)}: no end after {timeout} s") from error
        if ok is not None and done.returncode not in ok:
            tail = done.stderr.decode(errors="replace")[-600:]
            raise LabError(f"{shlex.join(argv)}: exit status {done.returncode}\n{tail}")
        return done.stdout

    def curl(self, arguments, source=None, **options):
        """curl with the arguments as one would type them; quiet, from `source`, its own `.curlrc` left aside."""
        each = ["-sS", *(["--interface", source] if source else [])]
        argv = ["curl", "-q", *each]
        for argument in shlex.split(arguments):
            # What stands after --next starts from nothing.
            argv += [argument, *each] if argument == "--next" else [argument]
        return self.client(*argv, **options)

    def wget(self, arguments, **options):
        return self.client("wget", "--no-config", "-q", *shlex.split(arguments), **options)

    def wait_for(self, listen, server, timeout=20):
        """Waits until `server` listens. It looks at the kernel's table, so no connection is made for it."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if server.poll() is not None:
                raise LabError(f"{server.args}: ended at once\n{server.log.read_text()[-800:]}")
            if f"{listen} " in self.sh("ss -Hltn"):
                return
            time.sleep(0.05)
        raise LabError(f"{server.args}: does not listen on {listen}\n{server.log.read_text()[-800:]}")

    @contextlib.contextmanager
    def capture(self, interface, file, tool="dumpcap", options="", capture_filter="", settle=2.2):
        """Captures on an interface while the body of the `with` runs. `file` decides the format by its ending."""
        path = self.lab.captured / file
        if tool == "dumpcap":
            form = "" if file.endswith(".pcapng") else "-P "
            argv = f"dumpcap -q -B 32 {form}-i {interface} -w {path} {options}".split()
            argv += ["-f", capture_filter] if capture_filter else []
            ready = "Capturing on"
        else:
            argv = f"tcpdump -Z root -B 32768 -i {interface} -w {path} {options}".split()
            argv += [capture_filter] if capture_filter else []
            ready = "listening on"
        process = self.spawn(*argv, log=f"capture-{file}")
        end = time.monotonic() + 20
        while ready not in process.log.read_text(errors="replace") or not path.exists():
            if process.poll() is not None or time.monotonic() > end:
                raise LabError(f"{argv[0]} did not start\n{process.log.read_text()[-600:]}")
            time.sleep(0.05)
        time.sleep(0.3)
        try:
            yield path
        finally:
            # Both tools get packets from the kernel in blocks, at most a second old; a stop does not wait for the last one.
            time.sleep(settle)
            process.send_signal(signal.SIGINT)
            process.wait(timeout=20)
        lost = re.search(r"dropped on interface .*: \d+/(\d+)|(\d+) packets dropped by kernel", process.log.read_text())
        if lost is None or (lost[1] or lost[2]) != "0":
            raise LabError(f"{argv[0]} did not see every packet; record again\n{process.log.read_text()[-400:]}")
        self.lab.files.append(file)


class Lab:
    """The laboratory: its directories, its namespaces, and what was recorded in it."""

    def __init__(self, work):
        self.here = HERE
        self.work = pathlib.Path(work)
        self.captured = self.work / "captured"
        self.scratch = self.work / "scratch"
        self.site = self.work / "site"
        for directory in (self.captured, self.scratch, self.site):
            directory.mkdir(exist_ok=True)
        self.work.chmod(0o755)  # Apache reads the site as another user.
        self.processes, self.files, self.notes = [], [], {}
        self.sh("hostname recorder")
        self.sh("mount -t tmpfs none /run")
        for directory in ("/run/netns", "/run/lock", "/run/dbus"):
            os.makedirs(directory, exist_ok=True)
        self.network = Network(self)

    def environment(self):
        """What clients see of the world: nothing of this machine's user."""
        return {"PATH": os.environ["PATH"], "HOME": str(self.scratch), "LANG": "C.UTF-8", "TZ": "UTC"}

    def sh(self, command, prefix=()):
        done = subprocess.run([*prefix, *shlex.split(command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode:
            raise LabError(f"{command}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout.decode()

    def names(self, table):
        """Makes names known to every client here: a private /etc/hosts. `table`: address to names."""
        hosts = self.work / "hosts"
        hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{address} {' '.join(names)}\n" for address, names in table.items()))
        self.sh(f"mount --bind {hosts} /etc/hosts")

    def pair(self, client="10.77.0.2", servers=("10.77.0.80",), client6=None, servers6=(), offload=True):
        """Two namespaces joined by a cable (veth). Without `offload`, packets keep to the cable's 1500 bytes."""
        left, right = Network(self, "client"), Network(self, "server")
        self.sh("ip link add c0 netns client address 02:00:00:00:00:01 type veth "
                "peer name s0 netns server address 02:00:00:00:00:02")
        left.sh(f"ip addr add {client}/24 dev c0")
        for address in servers:
            right.sh(f"ip addr add {address}/24 dev s0")
        if client6:
            left.sh(f"ip -6 addr add {client6}/64 dev c0 nodad")
            for address in servers6:
                right.sh(f"ip -6 addr add {address}/64 dev s0 nodad")
        for network, interface in ((left, "c0"), (right, "s0")):
            # An address that is still being checked for doubles would change the network under a running browser.
            network.sh(f"sysctl -q -w net.ipv6.conf.{interface}.accept_dad=0")
            if not offload:
                network.sh(f"ethtool -K {interface} tso off gso off gro off tx off")
            network.sh(f"ip link set {interface} up")
        return left, right

    def relayed(self, seed, loss, reorder, duplicate, delay_ms, client="10.78.0.2", server="10.78.0.80"):
        """Two namespaces joined by TUN devices and a relay that loses, delays and doubles packets."""
        left, right = Network(self, "client"), Network(self, "server")
        relay = self.network.spawn(
            "/usr/bin/python3", "-B", HERE / "relay.py", seed, loss, reorder, duplicate, delay_ms, log="relay")
        end = time.monotonic() + 20
        while "ready" not in relay.log.read_text():
            if relay.poll() is not None or time.monotonic() > end:
                raise LabError(f"the relay did not start\n{relay.log.read_text()[-600:]}")
            time.sleep(0.05)
        for network, address in ((left, client), (right, server)):
            network.sh("sysctl -q -w net.ipv6.conf.tun0.disable_ipv6=1")
            network.sh(f"ip addr add {address}/24 dev tun0")
            network.sh("ip link set tun0 up")
        return left, right

    def serve(self, network, template, argv, listen, **values):
        """Starts a server from a configuration in `servers/`, with its `{name}` fields filled in.

        `listen` is ADDRESS:PORT as the server's configuration and `ss` both write it.
        """
        text = (HERE / "servers" / template).read_text()
        for key, value in {"site": self.site, "work": self.work, "listen": listen, **values}.items():
            text = text.replace("{" + key + "}", str(value))
        config = self.work / template
        config.write_text(text)
        server = network.spawn(*(part.replace("{config}", str(config)) for part in shlex.split(argv)), log=template)
        network.wait_for(listen, server)
        return server

    def nginx(self, network, listen="127.0.0.1:80"):
        return self.serve(network, "nginx.conf", "nginx -c {config} -e stderr", listen)

    def apache(self, network, listen="127.0.0.1:80"):
        return self.serve(network, "apache2.conf", "apache2 -DFOREGROUND -d /usr/lib/apache2 -f {config}", listen)

    def lighttpd(self, network, listen="127.0.0.1:80"):
        address, _, port = listen.rpartition(":")
        return self.serve(network, "lighttpd.conf", "lighttpd -D -f {config}", listen, address=address, port=port)

    def python(self, network, address="127.0.0.1", port=80):
        """Python's own file server: HTTP/1.0, one connection for each request."""
        server = network.spawn("/usr/bin/python3", "-m", "http.server", port, "-b", address, "-d", self.site / "www", log="python")
        network.wait_for(f"{address}:{port}", server)
        return server

    def origin(self, network, address="127.0.0.1", port=80):
        """Our own server, for what ordinary ones do not do (`origin.py`)."""
        server = network.spawn("/usr/bin/python3", "-B", HERE / "origin.py", address, port, log=f"origin-{port}")
        network.wait_for(f"{address}:{port}", server)
        return server

    def chromium(self, network, profile="profile"):
        """A Chromium to be driven, as a context manager; the same profile again is the same visitor again."""
        import chromium

        return chromium.Browser(self, network, profile)

    def derive(self, source, file, change, *, write, **about):
        """A capture made from another: `change` takes and gives packets, `write` puts them into a file.

        `about` tells the manifest its `transformation`, what it `contains` and `why` it is there.
        """
        import pcapfile

        if not (self.earlier / source).exists():
            raise LabError(f"{file} is derived from {source}, which is not in {self.earlier}: make that first")
        _, packets = pcapfile.read(self.earlier / source)
        write(self.captured / file, change(packets))
        self.files.append(file)
        self.notes.setdefault("about", {})[file] = {**about, "derived_from": source, "captured_at": f"where {source} was"}

    def note(self, **about):
        """What the manifest says about this recipe's captures beyond what is read from them."""
        self.notes.update(about)

