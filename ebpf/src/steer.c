/* steer: which frames of an interface are ours, and which the kernel's.
 *
 * Ours go to the AF_XDP socket of the queue they came in on; everything else goes on to the kernel
 * as if nothing were here. So does a frame of ours whose queue has no socket. No policy is in
 * here: the maps say what is ours, and the program is never replaced to change that.
 *
 * What holds, whatever arrives: no frame is dropped, changed or sent out again.
 *
 * Of an underlay, ours is what comes in our VLAN to one of our endpoints and is
 *
 * - GRE, any fragment of it;
 * - GRE-in-UDP, but for its later fragments: they do not say to which port they are;
 * - an ICMP error that says a packet was too big, and quotes one of those from that endpoint.
 *
 * A frame whose bytes, or whose first buffer, end before it is known whose it is, is the kernel's.
 * Lengths and checksums are the datapath's to check and count.
 *
 * Names and layouts of the maps are repeated in lib.rs.
 */
#include "packet.h"

#define INLINE static __attribute__((always_inline)) inline

/* The values of `steer_mode`. */
enum { NOTHING = 0, EVERYTHING = 1, TUNNELS = 2 };

/* In `steer_vlan`: the frames of no VLAN. */
#define UNTAGGED 0xffffffffu

/* The indices of `steered`. */
enum { TO_US = 0, TO_KERNEL = 1 };

/* What to take: one value. */
struct {
	NUMBER(type, BPF_MAP_TYPE_ARRAY);
	NUMBER(max_entries, 1);
	TYPE(key, u32);
	TYPE(value, u32);
} steer_mode SECTION(".maps");

/* The VLAN our tunnels' packets come in: one value, an identifier or UNTAGGED. */
struct {
	NUMBER(type, BPF_MAP_TYPE_ARRAY);
	NUMBER(max_entries, 1);
	TYPE(key, u32);
	TYPE(value, u32);
} steer_vlan SECTION(".maps");

/* Our tunnels' IPv4 addresses on this interface, as they stand in a packet. */
struct {
	NUMBER(type, BPF_MAP_TYPE_HASH);
	NUMBER(max_entries, 16);
	TYPE(key, u32);
	TYPE(value, u8);
} endpoints SECTION(".maps");

/* Our tunnels' IPv6 addresses on this interface, as they stand in a packet. */
struct {
	NUMBER(type, BPF_MAP_TYPE_HASH);
	NUMBER(max_entries, 16);
	TYPE(key, struct address6);
	TYPE(value, u8);
} endpoints6 SECTION(".maps");

/* Our sockets, by the queue they are bound to. */
struct {
	NUMBER(type, BPF_MAP_TYPE_XSKMAP);
	NUMBER(max_entries, 64);
	TYPE(key, u32);
	TYPE(value, u32);
} xsks SECTION(".maps");

/* How many frames went where, counted by each CPU for itself. */
struct {
	NUMBER(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	NUMBER(max_entries, 2);
	TYPE(key, u32);
	TYPE(value, u64);
} steered SECTION(".maps");

/* Whether a frame of `vlan` is in ours. One without a tag, or with one that gives only a priority
 * (802.1Q: VLAN 0), is of VLAN 0. A tag that the driver keeps beside the frame is not seen. */
INLINE int is_our_vlan(u32 vlan)
{
	u32 only = 0;
	u32 *ours = lookup(&steer_vlan, &only);

	return ours && vlan == (*ours == UNTAGGED ? 0 : *ours);
}

/* Whether GRE is behind the UDP header at `at`. */
INLINE int is_gre_in_udp(const void *at, const void *end)
{
	const struct ports *ports = at;

	return (const void *)(ports + 1) <= end && ports->destination == NETWORK16(GRE_IN_UDP);
}

/* Whether the packet that an ICMP error quotes at `at` is a tunnel's, sent by `us`: by the one the
 * error is for. We send no options, so a header that has some is not ours. */
INLINE int quotes_our_tunnel4(const void *at, const void *end, u32 us)
{
	const struct ipv4 *ip = at;

	if ((const void *)(ip + 1) > end)
		return 0;
	if (ip->version_and_words != 0x45 || ip->source != us)
		return 0;
	if (ip->protocol == GRE)
		return 1;
	if (ip->protocol != UDP || ip->fragment & NETWORK16(IPV4_OFFSET))
		return 0;
	return is_gre_in_udp(ip + 1, end);
}

INLINE int is_our_tunnel4(const void *packet, const void *end, u32 vlan)
{
	const struct ipv4 *ip = packet;

	if ((const void *)(ip + 1) > end)
		return 0;
	if (ip->version_and_words >> 4 != 4 || (ip->version_and_words & 15) < 5)
		return 0;

	u32 destination = ip->destination;
	if (ip->protocol != GRE) {
		const void *behind = packet + (ip->version_and_words & 15) * 4;
		const struct icmp *error = behind;

		if (ip->protocol == UDP) {
			if (ip->fragment & NETWORK16(IPV4_OFFSET))
				return 0;
			if (!is_gre_in_udp(behind, end))
				return 0;
		} else if (ip->protocol == ICMPV4) {
			if (ip->fragment & NETWORK16(IPV4_OFFSET | IPV4_MORE))
				return 0;
			if ((const void *)(error + 1) > end)
				return 0;
			if (error->type != ICMPV4_UNREACHABLE || error->code != ICMPV4_TOO_BIG)
				return 0;
			if (!quotes_our_tunnel4(error + 1, end, destination))
				return 0;
		} else {
			return 0;
		}
	}
	return is_our_vlan(vlan) && lookup(&endpoints, &destination);
}

INLINE int is_same(const struct address6 *a, const struct address6 *b)
{
	return a->words[0] == b->words[0] && a->words[1] == b->words[1] &&
	       a->words[2] == b->words[2] && a->words[3] == b->words[3];
}

/* As `quotes_our_tunnel4`; we send no extension headers either. */
INLINE int quotes_our_tunnel6(const void *at, const void *end, const struct address6 *us)
{
	const struct ipv6 *ip = at;

	if ((const void *)(ip + 1) > end)
		return 0;
	if (*(const u8 *)at >> 4 != 6 || !is_same(&ip->source, us))
		return 0;
	return ip->next == GRE || (ip->next == UDP && is_gre_in_udp(ip + 1, end));
}

/* How many extension headers are walked. */
enum { EXTENSIONS_MAX = 4 };

INLINE int is_our_tunnel6(const void *packet, const void *end, u32 vlan)
{
	const struct ipv6 *ip = packet;

	if ((const void *)(ip + 1) > end)
		return 0;
	if (*(const u8 *)packet >> 4 != 6)
		return 0;

	const void *behind = ip + 1;
	u8 next = ip->next;
	u16 part = 0; /* where in its packet this is, as the last fragment header says */
#pragma clang loop unroll(full)
	for (int walked = 0; walked < EXTENSIONS_MAX; walked++) {
		const struct extension *extension = behind;

		if (next != HOP_BY_HOP && next != DESTINATION_OPTIONS && next != ROUTING &&
		    next != FRAGMENT)
			break;
		if ((const void *)(extension + 1) > end)
			return 0;
		behind = extension + 1;
		if (next == FRAGMENT)
			part |= extension->fragment & NETWORK16(IPV6_OFFSET | IPV6_MORE);
		else
			behind += extension->units * 8;
		next = extension->next;
		if (part & NETWORK16(IPV6_OFFSET))
			break;
	}

	struct address6 destination = ip->destination;
	if (next != GRE) {
		const struct icmp *error = behind;

		if (next == UDP) {
			if (part & NETWORK16(IPV6_OFFSET))
				return 0;
			if (!is_gre_in_udp(behind, end))
				return 0;
		} else if (next == ICMPV6) {
			if (part)
				return 0;
			if ((const void *)(error + 1) > end)
				return 0;
			if (error->type != ICMPV6_TOO_BIG)
				return 0;
			if (!quotes_our_tunnel6(error + 1, end, &destination))
				return 0;
		} else {
			return 0;
		}
	}
	return is_our_vlan(vlan) && lookup(&endpoints6, &destination);
}

/* Whether a frame of an underlay is ours. One tag is looked behind; two are nobody's we know. */
INLINE int is_our_tunnel(const void *data, const void *end)
{
	const struct ethernet *ethernet = data;
	const void *packet = ethernet + 1;
	u32 vlan = 0;

	if (packet > end)
		return 0;

	u16 type = ethernet->type;
	if (type == NETWORK16(ETHERTYPE_8021Q) || type == NETWORK16(ETHERTYPE_8021AD)) {
		const struct tag *tag = packet;

		packet = tag + 1;
		if (packet > end)
			return 0;
		vlan = NETWORK16(tag->priority_and_vlan) & 0x0fff;
		type = tag->type;
	}
	if (type == NETWORK16(ETHERTYPE_IPV4))
		return is_our_tunnel4(packet, end, vlan);
	if (type == NETWORK16(ETHERTYPE_IPV6))
		return is_our_tunnel6(packet, end, vlan);
	return 0;
}

SECTION("xdp.frags")
int steer(struct xdp_md *frame)
{
	const void *data = (void *)(u64)frame->data;
	const void *end = (void *)(u64)frame->data_end;
	u32 only = 0;
	u32 *mode = lookup(&steer_mode, &only);
	int verdict = XDP_PASS;

	if (mode && (*mode == EVERYTHING || (*mode == TUNNELS && is_our_tunnel(data, end))))
		verdict = redirect_map(&xsks, frame->rx_queue_index, XDP_PASS);

	u32 where = verdict == XDP_REDIRECT ? TO_US : TO_KERNEL;
	u64 *count = lookup(&steered, &where);
	if (count)
		*count += 1;
	return verdict;
}

/* It calls nothing that the kernel keeps for programs under the GPL, so its licence is ours. */
const char LICENSE[] SECTION("license") = "Apache-2.0";
