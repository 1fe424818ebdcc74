/* steer: which frames of an interface are ours, and which the kernel's.
 *
 * Ours go to the AF_XDP socket of the queue they came in on; everything else goes on to the kernel
 * as if nothing were here. So does a frame of ours whose queue has no socket. No policy is in
 * here: the maps say what is ours, and the program is never replaced to change that.
 *
 * What holds, whatever arrives: no frame is dropped, changed or sent out again.
 *
 * Names and layouts of the maps are repeated in lib.rs.
 */
#include "kernel.h"

/* The values of `steer_mode`. */
enum { NOTHING = 0, EVERYTHING = 1, TUNNELS = 2 };

/* The indices of `steered`. */
enum { TO_US = 0, TO_KERNEL = 1 };

/* What to take: one value. */
struct {
	NUMBER(type, BPF_MAP_TYPE_ARRAY);
	NUMBER(max_entries, 1);
	TYPE(key, u32);
	TYPE(value, u32);
} steer_mode SECTION(".maps");

/* Our tunnels' IPv4 addresses on this interface, as they stand in a packet. */
struct {
	NUMBER(type, BPF_MAP_TYPE_HASH);
	NUMBER(max_entries, 16);
	TYPE(key, u32);
	TYPE(value, u8);
} endpoints SECTION(".maps");

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

/* The headers we look at, as they stand on the wire: no compiler puts padding into these. */
struct ethernet {
	u8 destination[6];
	u8 source[6];
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

enum { ETHERTYPE_IPV4 = 0x0800, PROTOCOL_GRE = 47 };

/* Whether this is an untagged IPv4 packet, GRE by its protocol field, to one of our endpoints.
 * A fragment is one whichever part it carries. What stands behind the 20 fixed bytes of the IPv4
 * header is the datapath's to check and count. */
static __attribute__((always_inline)) int is_our_tunnel(const void *data, const void *end)
{
	const struct ethernet *ethernet = data;
	const struct ipv4 *ip = data + sizeof(*ethernet);

	if ((const void *)(ip + 1) > end)
		return 0;
	if (ethernet->type != NETWORK16(ETHERTYPE_IPV4))
		return 0;
	if (ip->version_and_words >> 4 != 4 || (ip->version_and_words & 15) < 5)
		return 0;
	if (ip->protocol != PROTOCOL_GRE)
		return 0;

	u32 destination = ip->destination;
	return lookup(&endpoints, &destination) != 0;
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
