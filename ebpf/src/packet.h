/* The headers steer.c looks at, as they stand on the wire: no compiler puts padding into these, and
 * numbers are in network order.
 *
 * Sources: IEEE 802.1Q (tag), RFC 791 (IPv4), RFC 8200 (IPv6, extension headers), RFC 768 (UDP),
 * RFC 792 and RFC 1191 (ICMP), RFC 4443 (ICMPv6), RFC 8086 (GRE-in-UDP).
 */
#ifndef GREYHOUND_PACKET_H
#define GREYHOUND_PACKET_H

#include "kernel.h"

enum {
	ETHERTYPE_IPV4 = 0x0800,
	ETHERTYPE_IPV6 = 0x86dd,
	ETHERTYPE_8021Q = 0x8100,
	ETHERTYPE_8021AD = 0x88a8,
};

/* IPv4's protocol, IPv6's next header. */
enum {
	HOP_BY_HOP = 0,
	ICMPV4 = 1,
	UDP = 17,
	ROUTING = 43,
	FRAGMENT = 44,
	GRE = 47,
	ICMPV6 = 58,
	DESTINATION_OPTIONS = 60,
};

/* The UDP port behind which GRE is. */
enum { GRE_IN_UDP = 4754 };

struct ethernet {
	u8 destination[6];
	u8 source[6];
	u16 type;
};

/* What stands behind a type that says tag. */
struct tag {
	u16 priority_and_vlan;
	u16 type;
};

struct ipv4 {
	u8 version_and_words;
	u8 service;
	u16 length;
	u16 id;
	u16 fragment;
	u8 ttl;
	u8 protocol;
	u16 checksum;
	u32 source;
	u32 destination;
};

/* In `ipv4.fragment`: more follow; where it starts, in units of 8 bytes. */
enum { IPV4_MORE = 0x2000, IPV4_OFFSET = 0x1fff };

struct address6 {
	u32 words[4];
};

struct ipv6 {
	u32 version_class_label;
	u16 length;
	u8 next;
	u8 hops;
	struct address6 source;
	struct address6 destination;
};

/* The first 8 bytes of an extension header, which each has. */
struct extension {
	u8 next;
	u8 units;     /* of 8 bytes, behind these 8; a fragment header has none */
	u16 fragment; /* of a fragment header */
	u32 rest;
};

/* In `extension.fragment`: more follow; where it starts, in units of 8 bytes. */
enum { IPV6_MORE = 0x0001, IPV6_OFFSET = 0xfff8 };

/* UDP's ports, which even an ICMP error that quotes no more than it must has. */
struct ports {
	u16 source;
	u16 destination;
};

/* An ICMP error, of either family. The packet that it is about stands behind it. */
struct icmp {
	u8 type;
	u8 code;
	u16 checksum;
	u32 mtu;
};

enum { ICMPV4_UNREACHABLE = 3, ICMPV4_TOO_BIG = 4, ICMPV6_TOO_BIG = 2 };

#endif
