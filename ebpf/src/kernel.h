/* The little of the kernel's interface that steer.c needs, so that the object depends on the
 * compiler alone and comes out the same on every machine.
 *
 * Numbers and layouts are the kernel's own: include/uapi/linux/bpf.h, if_ether.h, in.h.
 */
#ifndef GREYHOUND_KERNEL_H
#define GREYHOUND_KERNEL_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

/* What an XDP program is given. */
struct xdp_md {
	u32 data;
	u32 data_end;
	u32 data_meta;
	u32 ingress_ifindex;
	u32 rx_queue_index;
	u32 egress_ifindex;
};

/* What it may answer. */
enum { XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX, XDP_REDIRECT };

/* Kinds of maps. */
enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_XSKMAP = 17,
};

/* How a map is described to the loader: in the types of a struct's members. */
#define SECTION(name) __attribute__((section(name), used))
#define NUMBER(name, value) int(*name)[value]
#define TYPE(name, type) type *name

/* Calls into the kernel, by their number. */
static void *(*lookup)(void *map, const void *key) = (void *)1;
static long (*redirect_map)(void *map, u64 key, u64 flags) = (void *)51;

/* A number as it stands in a packet. The target is little-endian. */
#define NETWORK16(x) ((u16)((((x)&0xff) << 8) | ((x) >> 8)))

#endif
