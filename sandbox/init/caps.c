/* SPDX-License-Identifier: MIT */
/* What a process may: its capability sets, the bounding set, and the securebits that keep both as they are. */

#include <errno.h>
#include <unistd.h>

#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "init.h"

int init_drop_bounds(void)
{
    for (unsigned long cap = 0; cap < 64; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return errno == EINVAL && cap > 0 ? 0 : -errno;
    return 0;
}

int init_get_caps(uint64_t *ret)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) < 0)
        return -errno;
    *ret = data[0].permitted | (uint64_t)data[1].permitted << 32;
    return 0;
}

int init_set_caps(uint64_t keep)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    for (int i = 0; i < 2; i++) {
        data[i].effective = data[i].permitted = (uint32_t)(keep >> (32 * i));
        data[i].inheritable = 0;
    }
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return -errno;
    return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

/* A new user namespace has given all of them back. EINVAL: it is above the last there is; EPERM: out of reach. */
static int keep_bounds(uint64_t keep)
{
    for (unsigned long cap = 0; cap < 64; cap++)
        if (!(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EPERM)
            return errno == EINVAL ? 0 : -errno;
    return 0;
}

/* The kernel refuses those that are not permitted and inheritable (EPERM), and an old one all (EINVAL). */
static int raise_ambient(uint64_t caps)
{
    for (unsigned long cap = 0; cap < 64; cap++)
        if ((caps >> cap & 1) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0 &&
            errno != EINVAL && errno != EPERM)
            return -errno;
    return 0;
}

/* Ambient too: an exec by a uid that is not 0 keeps no others. */
static int keep_caps(uint64_t keep)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) < 0 ||
        (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL))
        return -errno;
    for (int i = 0; i < 2; i++) {
        data[i].permitted &= (uint32_t)(keep >> (32 * i));
        data[i].effective = data[i].inheritable = data[i].permitted;
    }
    if (syscall(SYS_capset, &header, data) < 0)
        return -errno;
    return raise_ambient(data[0].permitted | (uint64_t)data[1].permitted << 32);
}

/* Keeps exec from giving a uid of 0 what it does not have, and the bits as they are. */
static int lock_securebits(void)
{
    const unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                               SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
                               SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
    return prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) < 0 ? -errno : 0;
}

int init_lock_bounds(void)
{
    int r = init_drop_bounds();
    return r < 0 ? r : lock_securebits();
}

static int set_all(uint64_t keep)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    for (int i = 0; i < 2; i++)
        data[i].effective = data[i].permitted = data[i].inheritable = (uint32_t)(keep >> (32 * i));
    return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

/*
 * Every set becomes @keep, ambient too: no other survives an exec. Dropping bounds and locking securebits take CAP_SETPCAP,
 * which the change of ids has made ineffective; the securebits come after the ambient set, because they end its raising.
 */
static int grant(struct init *init, uint64_t keep)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) < 0)
        return -errno;
    uint64_t have = data[0].permitted | (uint64_t)data[1].permitted << 32;
    int r = keep & ~have ? init_fail(init, EPERM, "it is not ours to give") : set_all(have);
    for (unsigned long cap = 0; r == 0 && cap < 64; cap++)
        if (!(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EINVAL)
            r = -errno;
        else if ((keep >> cap & 1) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
            r = -errno;
    if (r == 0)
        r = lock_securebits();
    return r < 0 ? r : set_all(keep);
}

int init_act_caps(struct init *init, const struct sbxi_step *step)
{
    switch (step->op) {
    case SBXI_DROP_BOUNDS:
        init->bounded = true;
        return init_lock_bounds();
    case SBXI_BOUNDS:
        return keep_bounds(step->args[0]);
    case SBXI_CAPS:
        return keep_caps(step->args[0]);
    case SBXI_AMBIENT:
        return raise_ambient(step->args[0]);
    case SBXI_NO_CAPS:
        return init_set_caps(0);
    case SBXI_GRANT:
        return grant(init, step->args[0]);
    default:
        return -ENOSYS;
    }
}
