"""Real captures in other clothes: big-endian files, BSD's loopback link type, a VLAN tag, a snapshot length.

Why: what a reader meets on other machines and cannot be captured here.
"""

import pcapfile
import segments


def record(lab):
    lab.derive(
        "ipv6-lighttpd.pcap", "derived-big-endian-null.pcap", lambda packets: segments.null_link(packets, ">"),
        transformation="Ethernet headers replaced by the BSD loopback header; written in big-endian byte order",
        contains="curl and wget against lighttpd over IPv6, as a big-endian machine with BSD's loopback would have it.",
        why="the other byte order, and link type NULL, whose family numbers depend on the system (30 for IPv6 here).",
        same_messages_as="ipv6-lighttpd.pcap",
        write=lambda path, packets: pcapfile.write_pcap(path, packets, order=">"),
    )
    lab.derive(
        "upgrade.pcap", "derived-big-endian.pcapng", list,
        transformation="written as pcapng in big-endian byte order, times in nanoseconds",
        contains="Connections that switch protocols, in a big-endian pcapng file.",
        why="pcapng's byte order is told by each section, not by the file's name.",
        same_messages_as="upgrade.pcap",
        write=lambda path, packets: pcapfile.write_ng(path, packets, order=">"),
    )
    lab.derive(
        "pipelined.pcap", "derived-vlan.pcapng", lambda packets: segments.tagged(packets, 77),
        transformation="an 802.1Q tag (VLAN 77) put into every frame",
        contains="Pipelined requests in tagged frames.",
        why="a header between Ethernet and IP; this kernel has no VLAN devices to capture from.",
        same_messages_as="pipelined.pcap",
        write=lambda path, packets: pcapfile.write_ng(path, packets, names=("c0",)),
    )
    lab.derive(
        "http10-python.pcap", "derived-snapshot-length.pcap", lambda packets: segments.shortened(packets, 120),
        transformation="packets cut to 120 bytes, their true lengths kept",
        contains="HTTP/1.0 traffic of which only the first 120 bytes of each packet were kept.",
        why="what was not captured must be counted as such, not read as if the message ended there.",
        tshark_differs="tshark reads on behind the bytes that are missing, as if nothing were: its field lists and bodies are those of "
                       "what is left. It shows a message where its head is cut; a careful reader does not.",
        write=lambda path, packets: pcapfile.write_pcap(path, packets, nanoseconds=True),
    )
