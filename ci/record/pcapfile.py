"""Reads and writes capture files, just enough for recipes that derive one capture from another.

    pcap:    global header, then records of (seconds, fraction, kept length, original length, bytes)
    pcapng:  blocks of (type, total length, body, total length); of these SHB, IDB, EPB, SPB and the rest verbatim
"""

import dataclasses
import struct

SHB, IDB, SPB, EPB = 0x0A0D0D0A, 1, 3, 6
LINK_NAMES = {0: "NULL", 1: "ETHERNET", 101: "RAW", 113: "LINUX_SLL", 276: "LINUX_SLL2"}
OPT_END, SHB_HARDWARE, SHB_OS, IF_NAME, IF_TSRESOL, IF_FILTER, IF_OS = 0, 2, 3, 2, 9, 11, 12


class BadCapture(Exception):
    """Not a capture file, or one of a kind that this module does not read."""


@dataclasses.dataclass(frozen=True)
class Packet:
    time: int  # nanoseconds since 1970
    data: bytes
    length: int  # on the wire; more than len(data) where the capture cut it
    link: int


@dataclasses.dataclass
class Form:
    """How a file is laid out."""

    kind: str  # "pcap" or "pcapng"
    order: str  # "<" or ">"
    resolution: str  # "microseconds", "nanoseconds"
    links: list


def read(path):
    """Returns (Form, [Packet])."""
    raw = path.read_bytes()
    if len(raw) < 24:
        raise BadCapture(f"{path}: {len(raw)} bytes are no capture file")
    return _read_ng(path, raw) if struct.unpack_from("<I", raw)[0] == SHB else _read_pcap(path, raw)


def _read_pcap(path, raw):
    magic = raw[:4]
    known = {
        b"\xd4\xc3\xb2\xa1": ("<", 1000), b"\xa1\xb2\xc3\xd4": (">", 1000),
        b"\x4d\x3c\xb2\xa1": ("<", 1), b"\xa1\xb2\x3c\x4d": (">", 1),
    }
    if magic not in known:
        raise BadCapture(f"{path}: begins with {magic.hex()}, which is neither pcap nor pcapng")
    order, unit = known[magic]
    link = struct.unpack_from(order + "I", raw, 20)[0] & 0xFFFF
    packets, at = [], 24
    while at < len(raw):
        seconds, fraction, kept, length = struct.unpack_from(order + "IIII", raw, at)
        packets.append(Packet(seconds * 10**9 + fraction * unit, raw[at + 16 : at + 16 + kept], length, link))
        at += 16 + kept
    return Form("pcap", order, "nanoseconds" if unit == 1 else "microseconds", [link]), packets


def blocks(raw):
    """Yields (type, body, byte order) of each block of a pcapng file."""
    at, order = 0, "<"
    while at < len(raw):
        if struct.unpack_from("<I", raw, at)[0] == SHB:
            order = "<" if struct.unpack_from("<I", raw, at + 8)[0] == 0x1A2B3C4D else ">"
        kind, total = struct.unpack_from(order + "II", raw, at)
        if total < 12 or at + total > len(raw):
            raise BadCapture(f"block at byte {at} claims {total} bytes")
        yield kind, raw[at + 8 : at + total - 4], order
        at += total


def options(body, at, order):
    """Yields (code, value) of a block's option list that starts at `at`."""
    while at + 4 <= len(body):
        code, length = struct.unpack_from(order + "HH", body, at)
        if code == OPT_END:
            return
        yield code, body[at + 4 : at + 4 + length]
        at += 4 + (length + 3) // 4 * 4


def _read_ng(path, raw):
    packets, interfaces, form = [], [], None
    for kind, body, order in blocks(raw):
        if kind == SHB:
            interfaces, form = [], form or Form("pcapng", order, "microseconds", [])
        elif kind == IDB:
            link = struct.unpack_from(order + "H", body)[0]
            unit = next((value[0] for code, value in options(body, 8, order) if code == IF_TSRESOL), 6)
            interfaces.append((link, 10 ** (9 - unit)))
            form.links.append(link)
            form.resolution = {6: "microseconds", 9: "nanoseconds"}.get(unit, f"10^-{unit} s")
        elif kind == EPB:
            interface, high, low, kept, length = struct.unpack_from(order + "IIIII", body)
            link, unit = interfaces[interface]
            packets.append(Packet(((high << 32) | low) * unit, body[20 : 20 + kept], length, link))
        elif kind == SPB:
            raise BadCapture(f"{path}: simple packet blocks carry no time")
    return form, packets


def write_pcap(path, packets, order="<", nanoseconds=False, link=None):
    unit = 1 if nanoseconds else 1000
    magic = 0xA1B23C4D if nanoseconds else 0xA1B2C3D4
    link = packets[0].link if link is None else link
    with open(path, "wb") as out:
        out.write(struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262144, link))
        for packet in packets:
            seconds, rest = divmod(packet.time, 10**9)
            out.write(struct.pack(order + "IIII", seconds, rest // unit, len(packet.data), packet.length))
            out.write(packet.data)


def _block(order, kind, body):
    body += b"\0" * (-len(body) % 4)
    return struct.pack(order + "II", kind, len(body) + 12) + body + struct.pack(order + "I", len(body) + 12)


def _option(order, code, value):
    return struct.pack(order + "HH", code, len(value)) + value + b"\0" * (-len(value) % 4)


def write_ng(path, packets, order="<", names=("lo",), application=b"ci/record-corpus"):
    """One section; an interface for each link type among the packets, in nanoseconds."""
    links = list(dict.fromkeys(packet.link for packet in packets))
    end = _option(order, OPT_END, b"")
    with open(path, "wb") as out:
        head = struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1) + _option(order, 4, application) + end
        out.write(_block(order, SHB, head))
        for number, link in enumerate(links):
            name = names[min(number, len(names) - 1)].encode()
            body = struct.pack(order + "HHI", link, 0, 262144)
            out.write(_block(order, IDB, body + _option(order, IF_NAME, name) + _option(order, IF_TSRESOL, b"\x09") + end))
        for packet in packets:
            head = struct.pack(
                order + "IIIII", links.index(packet.link), packet.time >> 32, packet.time & 0xFFFFFFFF,
                len(packet.data), packet.length,
            )
            out.write(_block(order, EPB, head + packet.data))


def anonymise(path):
    """Takes out of a pcapng file what names the machine that captured it: processor, kernel, capture filter."""
    raw = path.read_bytes()
    if struct.unpack_from("<I", raw)[0] != SHB:
        return
    out = bytearray()
    for kind, body, order in blocks(raw):
        if kind == SHB:
            kept = [pair for pair in options(body, 16, order) if pair[0] not in (SHB_HARDWARE, SHB_OS)]
            body = body[:16] + b"".join(_option(order, *pair) for pair in kept) + _option(order, OPT_END, b"")
        elif kind == IDB:
            kept = [pair for pair in options(body, 8, order) if pair[0] not in (IF_OS, IF_FILTER)]
            body = body[:8] + b"".join(_option(order, *pair) for pair in kept) + _option(order, OPT_END, b"")
        out += _block(order, kind, body)
    path.write_bytes(out)
