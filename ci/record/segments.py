"""TCP segments inside captured packets: found, changed and put back with right lengths and checksums."""

import dataclasses
import struct

import pcapfile

ETHERNET, RAW, NULL = 1, 101, 0


@dataclasses.dataclass(frozen=True)
class Segment:
    """Where a packet's headers lie, and what its TCP header says."""

    ip: int  # offset of the IP header
    tcp: int  # offset of the TCP header
    data: int  # offset of the payload
    end: int  # offset behind the payload (Ethernet may pad)
    version: int
    flow: tuple  # (source, destination), each address and port in bytes
    sequence: int
    acknowledgement: int
    flags: int

    @property
    def size(self):
        return self.end - self.data


SYN, ACK = 0x02, 0x10


def parse(packet):
    """The TCP segment in a packet, or None."""
    raw = packet.data
    if packet.link == ETHERNET:
        ip, kind = 14, struct.unpack_from("!H", raw, 12)[0]
        if kind not in (0x0800, 0x86DD):
            return None
    elif packet.link == RAW:
        ip = 0
    else:
        return None
    version = raw[ip] >> 4
    if version == 4:
        if raw[ip + 9] != 6:
            return None
        tcp, end = ip + (raw[ip] & 15) * 4, ip + struct.unpack_from("!H", raw, ip + 2)[0]
        source, destination = raw[ip + 12 : ip + 16], raw[ip + 16 : ip + 20]
    else:
        if raw[ip + 6] != 6:
            return None
        tcp, end = ip + 40, ip + 40 + struct.unpack_from("!H", raw, ip + 4)[0]
        source, destination = raw[ip + 8 : ip + 24], raw[ip + 24 : ip + 40]
    ports = raw[tcp : tcp + 4]
    sequence, acknowledgement = struct.unpack_from("!II", raw, tcp + 4)
    return Segment(
        ip, tcp, tcp + (raw[tcp + 12] >> 4) * 4, end, version,
        (source + ports[:2], destination + ports[2:]), sequence, acknowledgement, raw[tcp + 13],
    )


def total(data):
    """The Internet checksum of RFC 1071, before its complement."""
    data += b"\0" * (len(data) % 2)
    value = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while value >> 16:
        value = (value & 0xFFFF) + (value >> 16)
    return value


def rebuild(packet, found, payload=None, sequence=None, acknowledgement=None):
    """The packet with another payload or other numbers; lengths and checksums follow."""
    payload = packet.data[found.data : found.end] if payload is None else payload
    tcp = bytearray(packet.data[found.tcp : found.data])
    struct.pack_into("!II", tcp, 4, found.sequence if sequence is None else sequence,
                     found.acknowledgement if acknowledgement is None else acknowledgement)
    struct.pack_into("!H", tcp, 16, 0)
    length = len(tcp) + len(payload)
    ip = bytearray(packet.data[found.ip : found.tcp])
    if found.version == 4:
        struct.pack_into("!H", ip, 2, len(ip) + length)
        struct.pack_into("!H", ip, 10, 0)
        struct.pack_into("!H", ip, 10, total(bytes(ip)) ^ 0xFFFF)
        pseudo = bytes(ip[12:20]) + struct.pack("!HH", 6, length)
    else:
        struct.pack_into("!H", ip, 4, length)
        pseudo = bytes(ip[8:40]) + struct.pack("!II", length, 6)
    struct.pack_into("!H", tcp, 16, total(pseudo + bytes(tcp) + payload) ^ 0xFFFF)
    data = packet.data[: found.ip] + bytes(ip) + bytes(tcp) + payload
    return dataclasses.replace(packet, data=data, length=len(data))


def cut(packet, found, at):
    """One segment as two that follow each other; `at` counts payload bytes."""
    payload = packet.data[found.data : found.end]
    first = rebuild(packet, found, payload[:at])
    second = rebuild(packet, found, payload[at:], sequence=(found.sequence + at) % 2**32)
    return first, dataclasses.replace(second, time=packet.time + 1000)


def renumbered(packets, before_wrap):
    """Every direction of every connection gets sequence numbers that pass 2**32 after `before_wrap` bytes."""
    shift, changed = {}, []
    for packet in packets:
        found = parse(packet)
        if found is None:
            changed.append(packet)
            continue
        back = found.flow[::-1]
        if found.flags & SYN:
            shift[found.flow] = 2**32 - before_wrap - found.sequence
        sequence = (found.sequence + shift.get(found.flow, 0)) % 2**32
        acknowledgement = (found.acknowledgement + shift.get(back, 0)) % 2**32 if found.flags & ACK else 0
        changed.append(rebuild(packet, found, sequence=sequence, acknowledgement=acknowledgement))
    return changed


def tagged(packets, vlan):
    """Ethernet frames with an 802.1Q tag."""
    tag = struct.pack("!HH", 0x8100, vlan)
    return [
        dataclasses.replace(packet, data=packet.data[:12] + tag + packet.data[12:], length=packet.length + 4)
        for packet in packets
    ]


def null_link(packets, order):
    """Ethernet frames as BSD's loopback has them: the address family in the host's byte order, then IP."""
    families = {0x0800: 2, 0x86DD: 30}
    changed = []
    for packet in packets:
        kind = struct.unpack_from("!H", packet.data, 12)[0]
        if kind in families:
            data = struct.pack(order + "I", families[kind]) + packet.data[14:]
            changed.append(pcapfile.Packet(packet.time, data, packet.length - 10, NULL))
    return changed


def shortened(packets, kept):
    """As captured with a snapshot length."""
    return [dataclasses.replace(packet, data=packet.data[:kept]) for packet in packets]
