"""What all of ci/bench shares: processes on cores of their own, their CPU time, and how a figure is reported."""

import atexit
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
READY = 20


class Unable(Exception):
    """Something kept us from measuring."""


# Processes: started on a core, ended by their id, and their CPU time.


class Processes:
    def __init__(self, folder):
        self.folder = folder
        self.started = []
        atexit.register(self.end)

    def start(self, core, command, **options):
        log = open(os.path.join(self.folder, f"{len(self.started)}.log"), "wb")
        pin = ["taskset", "-c", str(core)]
        try:
            process = subprocess.Popen(pin + command, stderr=log, **{"stdin": subprocess.DEVNULL, **options})
        except OSError as error:
            raise Unable(f"{command[0]} cannot be started: {error}") from error
        process.log = log.name
        self.started.append(process)
        return process

    def end(self):
        for process in self.started:
            if process.poll() is None:
                process.terminate()
        for process in self.started:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def said(process):
    with open(process.log, errors="replace") as log:
        return log.read()[-2000:].strip()


def tree(pid):
    """A process and all that it started."""
    pids = [pid]
    for parent in pids:
        try:
            for thread in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{thread}/children") as children:
                    pids += [int(child) for child in children.read().split()]
        except OSError:
            pass
    return pids


def cpu(pid):
    """Seconds of CPU time of a process tree so far."""
    ticks = 0
    for member in tree(pid):
        try:
            with open(f"/proc/{member}/stat") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
                ticks += int(fields[11]) + int(fields[12])
        except OSError:
            pass
    return ticks / os.sysconf("SC_CLK_TCK")


def free_port():
    """A port that is free for UDP and TCP, below those that the system gives to whoever asks for any."""
    for _ in range(1000):
        port = random.randrange(10_000, 30_000)
        with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagram:
            try:
                stream.bind(("127.0.0.1", port))
                datagram.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass
    raise Unable("no port is free for both UDP and TCP")


def wait_for(port, process):
    end = time.monotonic() + READY
    while time.monotonic() < end:
        if process.poll() is not None:
            raise Unable(f"{process.args[3]} ended with status {process.returncode}\n{said(process)}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise Unable(f"{process.args[3]} did not listen within {READY} s\n{said(process)}")


def write(path, text):
    with open(path, "w") as file:
        file.write(text)
    return path


def cores():
    """One core for servers and one for load; the same where there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        print("only one core: servers and load share it, and the figures are rough", file=sys.stderr)
    os.sched_setaffinity(0, {allowed[-1]})
    return allowed[0], allowed[-1]


def program(given, package="reference-cdn", example=None):
    """A program, built if none is given."""
    if given:
        return given
    built = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "quick", f"examples/{example}" if example else package)
    command = ["cargo", "build", "--locked", "--profile", "quick", "--package", package, "--manifest-path", os.path.join(ROOT, "Cargo.toml")]
    command += ["--example", example] if example else []
    if subprocess.run(command, stdout=sys.stderr).returncode != 0:
        raise Unable("the program cannot be built; give one with --program")
    return built


def report(as_json, name, ours, theirs, unit, target):
    """One line: both figures, and how they relate, round by round."""
    mine, others = statistics.median(ours), statistics.median(theirs)
    ratios = sorted(a / b for a, b in zip(ours, theirs) if b > 0)
    ratio = statistics.median(ratios) if ratios else None
    if as_json:
        line = {"case": name, "ours": round(mine, 3), "peer": round(others, 3), "ratio": ratio and round(ratio, 3), "unit": unit, "target": target}
        print(json.dumps(line), flush=True)
    else:
        spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}" if ratios else "-"
        print(f"{name:22} {mine:10.2f} {others:10.2f} {ratio or 0:7.2f}  {spread:14} {target or '-':>6}  {unit}", flush=True)
