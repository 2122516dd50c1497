"""Real captures with their TCP segments treated badly by a seeded rewriter: reordered, doubled, cut, overlapping,
renumbered past 2**32, and lost by the capture although the peer received them.

Why: each of these happens to captures; the messages must come out the same, or be reported as not rebuilt.
"""

import dataclasses
import random

import pcapfile
import segments


def shuffled(packets, seed=7):
    """Data segments change places with near ones, some come twice, some in two pieces, some overlap the next."""
    rng = random.Random(seed)
    made = []
    for packet in packets:
        found = segments.parse(packet)
        if found is None or found.size < 8:
            made.append(packet)
            continue
        throw = rng.random()
        if throw < 0.15:
            made += segments.cut(packet, found, rng.randrange(1, found.size))
        elif throw < 0.25:
            # Two pieces with some bytes in both, the later one first.
            at = rng.randrange(4, found.size)
            back = rng.randrange(1, min(at, 40))
            head = segments.cut(packet, found, at)[0]
            made += [segments.cut(packet, found, at - back)[1], head]
        elif throw < 0.32:
            made += [packet, packet]
        else:
            made.append(packet)
    return in_time(swapped(made, rng))


def swapped(packets, rng):
    """Within a flow, one data segment in eight goes behind the next one of its flow."""
    order = list(packets)
    flows = [(found.flow if (found := segments.parse(packet)) and found.size else None) for packet in order]
    number = 0
    while number < len(order) - 1:
        if flows[number] and flows[number] == flows[number + 1] and rng.random() < 0.3:
            order[number], order[number + 1] = order[number + 1], order[number]
            number += 1
        number += 1
    return order


def in_time(packets):
    """The packets with the times they have, sorted, so that a capture's times still rise."""
    times = sorted(packet.time for packet in packets)
    return [dataclasses.replace(packet, time=time) for packet, time in zip(packets, times)]


def lost(packets, seed=11, share=0.02):
    """Some data segments were never written down."""
    rng = random.Random(seed)
    return [packet for packet in packets if not ((found := segments.parse(packet)) and found.size and rng.random() < share)]


def headless(packets):
    """Only what came after the first third."""
    return packets[len(packets) // 3 :]


def record(lab):
    lab.derive(
        "curl-uploads.pcapng", "derived-shuffled.pcapng", shuffled,
        transformation="seed 7: data segments split, overlapped, doubled and exchanged with their neighbours",
        contains="Uploads whose segments come in pieces, twice, overlapping and out of order; nothing is missing.",
        why="however segments fall, the stream is the same: what is found here must equal what is found in the source.",
        same_messages_as="curl-uploads.pcapng",
        write=lambda path, packets: pcapfile.write_ng(path, packets, names=("s0",)),
    )
    lab.derive(
        "pipelined.pcap", "derived-sequence-wrap.pcap",
        lambda packets: segments.renumbered(packets, before_wrap=700),
        transformation="sequence numbers moved so that they pass 2**32 after 700 bytes in each direction",
        contains="Pipelined requests whose sequence numbers wrap within the first messages.",
        why="sequence numbers are compared modulo 2**32; what is found here must equal what is found in the source.",
        same_messages_as="pipelined.pcap",
        write=pcapfile.write_pcap,
    )
    lab.derive(
        "wget-apache.pcapng", "derived-lost-packets.pcap", lambda packets: lost(packets, share=0.06),
        transformation="seed 11: 6 of 100 data segments left out, though the peers received them",
        contains="wget against Apache as a capture that dropped packets shows it: holes that no retransmission fills.",
        why="messages in the holes must be reported with the reason, those around them found.",
        tshark_differs="after a hole tshark may take the middle of a body for the start of something, or drop what a reader can still find.",
        write=lambda path, packets: pcapfile.write_pcap(path, packets, nanoseconds=True),
    )
    lab.derive(
        "chromium-nginx.pcapng", "derived-late-start.pcap", headless,
        transformation="the first third of the packets left out",
        contains="Chromium against nginx from a third of the way on: connections without their beginning.",
        why="a browser's keep-alive connections as a capture started late finds them.",
        write=pcapfile.write_pcap,
    )
