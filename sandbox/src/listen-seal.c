/* SPDX-License-Identifier: MIT */
/*
 * A TCP listener can be unmade by shutdown(2) and then connect to whatever our namespace reaches; what it has accepted can
 * be unmade as well, and then listen somewhere else. Nobody who only listens here is ever sent a SYN with an ACK, or
 * anything for another port or address: dropping those, by a filter that accepted sockets inherit and nobody can take off
 * again, leaves who tries it without an answer.
 *
 * A host that conspires answers by a SYN alone, as if it connected to the listener (a simultaneous open). Only the state of
 * the socket tells that: an extended filter reads it, which takes CAP_BPF; a classic one, which everybody may have, cannot.
 */

#include "listen-seal.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <linux/bpf.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <sys/syscall.h>

#include "cleanup.h"

/* What is in the packet must be this. */
struct demand {
    unsigned size, offset; /* BPF_W … */
    uint32_t value;
};
struct demands {
    struct demand v[5];
    unsigned n;
};
enum {
    FLAGS = 13, /* in the TCP header */
    DESTINATION = 2,
    INSTRUCTIONS = 32
};

static void demand(struct demands *d, unsigned size, unsigned offset, uint32_t value)
{
    d->v[d->n++] = (struct demand){size, offset, value};
}

/* To the address that it was bound to, if that is one. Of IPv6 those that stand for IPv4 are not looked at. */
static void demand_address(struct demands *d, const struct sockaddr *name)
{
    const unsigned header = (unsigned)SKF_NET_OFF;
    struct sockaddr_in ip;
    struct sockaddr_in6 ip6;
    uint32_t word;
    if (name->sa_family == AF_INET) {
        memcpy(&ip, name, sizeof ip);
        if (ip.sin_addr.s_addr != htonl(INADDR_ANY))
            demand(d, BPF_W, header + 16, ntohl(ip.sin_addr.s_addr));
        return;
    }
    memcpy(&ip6, name, sizeof ip6);
    if (IN6_IS_ADDR_UNSPECIFIED(&ip6.sin6_addr) || IN6_IS_ADDR_V4MAPPED(&ip6.sin6_addr))
        return;
    for (unsigned i = 0; i < 4; i++) {
        memcpy(&word, ip6.sin6_addr.s6_addr + (size_t)4 * i, sizeof word);
        demand(d, BPF_W, header + 24 + 4 * i, ntohl(word));
    }
}

static int attach_classic(int fd, const struct demands *d)
{
    struct sock_filter program[INSTRUCTIONS] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, FLAGS),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, TH_SYN | TH_ACK),
    };
    const unsigned drop = 3 + 2 * d->n + 1;
    unsigned n = 2;
    program[n] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TH_SYN | TH_ACK,
                                              (unsigned char)(drop - n - 1), 0);
    n++;
    for (unsigned i = 0; i < d->n; i++) {
        program[n++] = (struct sock_filter)BPF_STMT(
            (unsigned short)(BPF_LD | d->v[i].size | BPF_ABS), d->v[i].offset);
        program[n] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, d->v[i].value, 0,
                                                  (unsigned char)(drop - n - 1));
        n++;
    }
    program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, UINT32_MAX);
    program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
    const struct sock_fprog filter = {(unsigned short)n, program};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) < 0 ? -errno : 0;
}

struct extended {
    struct bpf_insn program[INSTRUCTIONS];
    unsigned n, drop; /* where to */
};

static void add(struct extended *e, unsigned code, int dst, int src, int offset, uint32_t value)
{
    e->program[e->n++] = (struct bpf_insn){.code = (uint8_t)code,
                                           .dst_reg = (uint8_t)(dst & 15),
                                           .src_reg = (uint8_t)(src & 15),
                                           .off = (int16_t)offset,
                                           .imm = (int32_t)value};
}

static void drop_if(struct extended *e, unsigned compare, int reg, uint32_t value)
{
    add(e, compare | BPF_K, reg, 0, (int)(e->drop - e->n - 1), value);
}

/* Reads packets by the old instructions, which want their context in register 6 and answer in register 0. */
static int load_extended(const struct demands *d)
{
    static const char license[] = "MIT";
    struct extended e = {.drop = 8 + 2 * d->n + 2};
    add(&e, BPF_ALU64 | BPF_MOV | BPF_X, 6, 1, 0, 0);
    add(&e, BPF_LDX | BPF_MEM | BPF_DW, 1, 6, (int)offsetof(struct __sk_buff, sk), 0);
    drop_if(&e, BPF_JMP | BPF_JEQ, 1, 0);
    add(&e, BPF_LDX | BPF_MEM | BPF_W, 1, 1, (int)offsetof(struct bpf_sock, state), 0);
    drop_if(&e, BPF_JMP | BPF_JEQ, 1, TCP_SYN_SENT);
    add(&e, BPF_LD | BPF_B | BPF_ABS, 0, 0, 0, FLAGS);
    add(&e, BPF_ALU | BPF_AND | BPF_K, 0, 0, 0, TH_SYN | TH_ACK);
    drop_if(&e, BPF_JMP32 | BPF_JEQ, 0, TH_SYN | TH_ACK);
    for (unsigned i = 0; i < d->n; i++) {
        add(&e, BPF_LD | d->v[i].size | BPF_ABS, 0, 0, 0, d->v[i].offset);
        drop_if(&e, BPF_JMP32 | BPF_JNE, 0, d->v[i].value);
    }
    add(&e, BPF_ALU | BPF_MOV | BPF_K, 0, 0, 0, UINT32_MAX);
    add(&e, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
    add(&e, BPF_ALU | BPF_MOV | BPF_K, 0, 0, 0, 0);
    add(&e, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
    union bpf_attr attr = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
                           .insns = (uint64_t)(uintptr_t)e.program,
                           .insn_cnt = e.n,
                           .license = (uint64_t)(uintptr_t)license};
    return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr);
}

static int attach(int fd, const struct demands *d)
{
    _cleanup_close_ int program = load_extended(d);
    if (program >= 0 && setsockopt(fd, SOL_SOCKET, SO_ATTACH_BPF, &program, sizeof program) == 0)
        return 0;
    return attach_classic(fd, d);
}

int sbxi_listen_seal(int fd, const struct sockaddr *name, in_port_t port)
{
    struct demands d = {.n = 0};
    const int on = 1;
    demand(&d, BPF_H, DESTINATION, ntohs(port));
    demand_address(&d, name);
    int r = attach(fd, &d);
    return r < 0 ? r : setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof on) < 0 ? -errno : 0;
}
