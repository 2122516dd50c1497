"""Carries packets between the TUN devices of two network namespaces, and treats some of them badly.

    relay.py SEED LOSS REORDER DUPLICATE DELAY_MS

Loss, reordering and duplication are shares from 0 to 1. The kernels at both ends notice and repair it as they would
on a real path: retransmissions, duplicate and selective acknowledgements are theirs. At SIGTERM it prints what it did.
"""

import ctypes
import fcntl
import heapq
import json
import os
import random
import selectors
import signal
import struct
import sys
import time

TUNSETIFF, IFF_TUN, IFF_NO_PI, CLONE_NEWNET = 0x400454CA, 0x0001, 0x1000, 0x40000000


def enter(namespace):
    libc = ctypes.CDLL(None, use_errno=True)
    with open(namespace) as handle:
        if libc.setns(handle.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")


def open_tun(namespace, name):
    enter(f"/run/netns/{namespace}")
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return device


def main():
    seed, loss, reorder, duplicate, delay = (float(argument) for argument in sys.argv[1:])
    rng = random.Random(int(seed))
    client, server = open_tun("client", "tun0"), open_tun("server", "tun0")
    done = {"carried": 0, "lost": 0, "reordered": 0, "duplicated": 0}
    waiting, order = [], 0
    selector = selectors.DefaultSelector()
    for device, other in ((client, server), (server, client)):
        selector.register(device, selectors.EVENT_READ, other)
    running = True

    def stop(*_):
        nonlocal running
        running = False

    signal.signal(signal.SIGTERM, stop)
    print("ready", flush=True)
    while running:
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, _, other, packet = heapq.heappop(waiting)
            os.write(other, packet)
            done["carried"] += 1
        for key, _ in selector.select(max(0, waiting[0][0] - now) if waiting else 0.05):
            packet = os.read(key.fd, 65536)
            if rng.random() < loss:
                done["lost"] += 1
                continue
            # A packet held three times as long is overtaken by those behind it.
            late = rng.random() < reorder
            done["reordered"] += late
            twice = rng.random() < duplicate
            done["duplicated"] += twice
            due = time.monotonic() + delay / 1000 * (3 if late else 1)
            for extra in range(1 + twice):
                order += 1
                heapq.heappush(waiting, (due + extra * 0.001, order, key.data, packet))
    print(json.dumps(done), flush=True)


if __name__ == "__main__":
    main()
