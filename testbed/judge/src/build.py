"""Packets, built and read by scapy. One JSON request a line on stdin, one JSON answer a line on stdout.

{"build": {...}}  -> {"frame": hex}
{"read": hex}     -> what the frame says, field by field, and whether its checksums are right
{"checksums": hex}-> the inner frame's own: true, false, or null for none
An error is answered as {"error": text}.
"""
import json
import logging
import sys

logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.config import conf

conf.ipv6_enabled = True
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop
from scapy.layers.inet6 import IPv6ExtHdrRouting, PadN
from scapy.layers.l2 import GRE, Dot1AD, Dot1Q, Ether
from scapy.packet import Raw, bind_layers

GRE_IN_UDP = 4754
bind_layers(UDP, GRE, dport=GRE_IN_UDP)
IP_GRE, IP_UDP = 47, 17

EXTENSIONS = {
    "hop": lambda: IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0" * 4)]),
    "destination": lambda: IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 4)]),
    "routing": lambda: IPv6ExtHdrRouting(type=0, segleft=0, addresses=[]),
}


def outer_ip(ip, protocol):
    """The outer IP header, with its options or extension headers."""
    if ":" not in ip["source"]:
        header = IP(src=ip["source"], dst=ip["destination"], tos=ip["tos"], ttl=ip["ttl"], id=ip["id"])
        header.flags = 2 * ip["dont_fragment"] + ip["more"]
        header.frag = ip["offset"]
        header.proto = protocol
        if ip["options"]:
            header.options = [Raw(bytes.fromhex(ip["options"]))]
        return header
    header = IPv6(src=ip["source"], dst=ip["destination"], tc=ip["tos"], hlim=ip["ttl"], fl=ip["flow_label"])
    layers = [EXTENSIONS[name]() for name in ip["extensions"]]
    if ip["more"] or ip["offset"]:
        layers.append(IPv6ExtHdrFragment(id=ip["id"], m=int(ip["more"]), offset=ip["offset"]))
    last = header
    for layer in layers:
        last.add_payload(layer)
        last = layer
    last.nh = protocol
    return header


def envelope(gre):
    """The GRE header. Its checksum is scapy's, unless the request has one."""
    header = GRE(proto=gre["protocol"], version=gre["version"])
    header.chksum_present = int(gre["checksum"] != "none")
    if isinstance(gre["checksum"], dict):
        header.chksum = gre["checksum"]["given"]
    if gre["key"] is not None:
        header.key_present, header.key = 1, gre["key"]
    if gre["sequence"] is not None:
        header.seqnum_present, header.sequence_number = 1, gre["sequence"]
    header.routing_present = int(gre["routing"])
    header.strict_route_source = int(gre["reserved"] >> 11 & 1)
    header.recursion_control = gre["reserved"] >> 8 & 7
    header.flags = gre["reserved"] >> 3 & 31
    return header


def build(request):
    payload = bytes(envelope(request["gre"]) / Raw(bytes.fromhex(request["inner"])))
    udp = request["udp"]
    packet = outer_ip(request["ip"], IP_UDP if udp else IP_GRE)
    if udp:
        datagram = UDP(sport=udp["source"], dport=udp["destination"])
        if not udp["checksum"]:
            datagram.chksum = 0
        packet = packet / datagram
    packet = packet / Raw(payload)
    frame = Ether(src=request["source"], dst=request["destination"])
    for tag in request["vlans"]:
        frame = frame / Dot1Q(vlan=tag)
    return {"frame": bytes(frame / packet).hex()}


def right(holds):
    return "right" if holds else "wrong"


def udp_checksum(datagram, rest):
    """What scapy says of the checksum, which covers the pseudo-header below."""
    if datagram.chksum == 0:
        return "none"
    again = UDP(sport=datagram.sport, dport=datagram.dport, len=datagram.len) / Raw(rest)
    again.underlayer = datagram.underlayer
    return right(bytes(again)[6:8] == bytes(datagram.original)[6:8])


def read(frame):
    ether = Ether(frame)
    seen = {"source": ether.src, "destination": ether.dst, "vlans": [], "udp": None, "gre": None, "inner": ""}
    layer = ether.payload
    while isinstance(layer, (Dot1Q, Dot1AD)):
        seen["vlans"].append(layer.vlan)
        layer = layer.payload
    if isinstance(layer, IP):
        layer = read_v4(seen, layer)
    elif isinstance(layer, IPv6):
        layer = read_v6(seen, layer)
    else:
        raise ValueError("neither IPv4 nor IPv6: " + layer.name)
    if isinstance(layer, UDP):
        rest = bytes(layer.original[8:layer.len])
        seen["udp"] = {
            "source": layer.sport,
            "destination": layer.dport,
            "length": layer.len,
            "checksum": udp_checksum(layer, rest),
        }
        layer = GRE(rest)
    if isinstance(layer, GRE):
        read_gre(seen, layer)
    return seen


def read_v4(seen, ip):
    length = len(ip.original)
    seen["ip"] = {
        "source": ip.src, "destination": ip.dst, "tos": ip.tos, "ttl": ip.ttl, "id": ip.id,
        "dont_fragment": bool(ip.flags.DF), "more": bool(ip.flags.MF), "offset": ip.frag,
        "options": bytes(ip.original[20:ip.ihl * 4]).hex(), "extensions": [], "flow_label": 0,
    }
    header = IP(bytes(ip.original[:ip.ihl * 4]))
    del header.chksum
    seen["ip_checksum"] = right(bytes(header)[10:12] == bytes(ip.original[10:12]))
    seen["trailing"] = length - ip.len
    return ip.payload


def read_v6(seen, ip):
    fields = {
        "source": ip.src, "destination": ip.dst, "tos": ip.tc, "ttl": ip.hlim, "id": 0,
        "dont_fragment": True, "more": False, "offset": 0,
        "options": "", "extensions": [], "flow_label": ip.fl,
    }
    seen["ip"], seen["ip_checksum"] = fields, "none"
    seen["trailing"] = len(ip.original) - 40 - ip.plen
    layer = ip.payload
    while True:
        if isinstance(layer, IPv6ExtHdrFragment):
            fields.update(id=layer.id, more=bool(layer.m), offset=layer.offset)
        elif isinstance(layer, IPv6ExtHdrHopByHop):
            fields["extensions"].append("hop")
        elif isinstance(layer, IPv6ExtHdrDestOpt):
            fields["extensions"].append("destination")
        elif isinstance(layer, IPv6ExtHdrRouting):
            fields["extensions"].append("routing")
        else:
            return layer
        layer = layer.payload


def read_gre(seen, gre):
    whole = bytes(gre.original)  # where the IP packet ends, it ends
    at = 4 + 4 * (gre.chksum_present + gre.key_present + gre.seqnum_present)
    checksum = "none"
    if gre.chksum_present:
        again = GRE(whole[:at]) / Raw(whole[at:])
        del again.chksum
        checksum = right(bytes(again)[4:6] == whole[4:6])
    seen["gre"] = {
        "checksum": checksum,
        "key": gre.key if gre.key_present else None,
        "sequence": gre.sequence_number if gre.seqnum_present else None,
        "protocol": gre.proto,
        "version": gre.version,
        "routing": bool(gre.routing_present),
        "reserved": gre.strict_route_source << 11 | gre.recursion_control << 8 | gre.flags << 3,
    }
    seen["inner"] = whole[at:].hex()


def checksums(frame):
    """Whether every checksum of a guest's own frame is right; none is not wrong."""
    layer = Ether(frame).payload
    while isinstance(layer, (Dot1Q, Dot1AD)):
        layer = layer.payload
    whole = layer.copy()
    for kind in (IP, TCP, UDP, ICMP):
        if whole.haslayer(kind) and not (kind is UDP and whole[UDP].chksum == 0):
            del whole[kind].chksum
    return {"checksums": right(bytes(whole) == bytes(layer.original))}


def answer(request):
    if "build" in request:
        return build(request["build"])
    if "read" in request:
        return read(bytes.fromhex(request["read"]))
    return checksums(bytes.fromhex(request["checksums"]))


for line in sys.stdin:
    try:
        said = answer(json.loads(line))
    except Exception as error:  # whatever scapy makes of it is an answer
        said = {"error": type(error).__name__ + ": " + str(error)}
    print(json.dumps(said), flush=True)
