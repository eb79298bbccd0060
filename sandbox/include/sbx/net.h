/* SPDX-License-Identifier: MIT */
#ifndef SBX_NET_H
#define SBX_NET_H

#include <stddef.h>
#include <stdint.h>

#include <sys/types.h>

#include <uds/version.h>

/*
 * The network of a sandbox. In every network namespace that we make lo is up, and abstract socket names are its own.
 *
 *   none      nothing but lo
 *   host      the launcher's network namespace
 *   netns     one that exists
 *   pasta     what the launcher's user can reach, by a process of pasta(1) that lives as long as the sandbox:
 *   addresses and routes are the host's, neither side can connect to the other's loopback
 *   veth      eth0 inside, whose other end is in a named network namespace or the host's; root only
 *
 * The payload has no capabilities over its network, so it can neither configure nor move any of it.
 *
 * Unless a comment says otherwise: pointers are not NULL, nothing changes owner, there are no errors, blocking:
 * never, threads: any, since: 0.1.
 */

UDS_BEGIN_DECLS

enum sbx_net_kind {
    SBX_NET_DEFAULT =
        0, /* none if the sandbox has a network namespace of its own, else host or the one it joins */
    SBX_NET_NONE,
    SBX_NET_HOST,
    SBX_NET_NETNS,
    SBX_NET_PASTA,
    SBX_NET_VETH,
};

#define SBX_NET_RATE_MIN 1024u

struct sbx_net_address {
    int family; /* AF_INET, AF_INET6; 0 = none given */
    uint8_t bytes[16];
    unsigned prefix; /* of the network that it is in */
};

struct sbx_net {
    enum sbx_net_kind kind;
    /* netns, veth: a name below /run/netns, or an absolute path; veth: "" = the launcher's own */
    char netns[256];
    /*
     * veth: ours and the other end's, which is the default gateway inside; both or none. None: two of a network of four in
     * 198.19.0.0/18 that no other sandbox of this host has.
     */
    struct sbx_net_address address, peer;
    uint64_t rate_bytes; /* veth: a second, each way; 0 = no limit */
};

/* What a sandbox's network came to. */
struct sbx_net_report {
    enum sbx_net_kind kind;
    char link[16];                        /* veth: the other end's name, "" = none */
    struct sbx_net_address address, peer; /* veth */
    uint64_t rate_bytes;                  /* veth: a second, each way; 0 = no limit */
    pid_t pasta;                          /* 0 = none */
};

/**
 * sbx_net_parse() - a network as people write it
 * @text:    "none", "host", "netns:NAME", "pasta", "veth[:NAME][,address=IP/LENGTH,peer=IP]"
 * @ret:     its rate stays
 * @ret_why: static text, what is wrong with it; may be NULL
 *
 * Errors: -EINVAL.
 */
UDS_EXPORT int sbx_net_parse(const char *text, struct sbx_net *ret, const char **ret_why);
/** sbx_net_kind_name() - "none", "host", …; static, NULL = unknown */
UDS_EXPORT const char *sbx_net_kind_name(enum sbx_net_kind kind);
#define SBX_NET_ADDRESS_TEXT 64
/** sbx_net_address_print() - "198.19.0.2/30" into @ret, which it returns */
UDS_EXPORT const char *sbx_net_address_print(const struct sbx_net_address *address,
                                             char ret[SBX_NET_ADDRESS_TEXT]);

UDS_END_DECLS

#endif
