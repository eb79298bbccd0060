/* SPDX-License-Identifier: MIT */
#ifndef UDS_VERSION_H
#define UDS_VERSION_H

/* The version of the headers, the version of the library that runs, and the marks on every declaration. */

#if defined(__GNUC__)
#define UDS_EXPORT    __attribute__((visibility("default")))
#define UDS_NODISCARD __attribute__((warn_unused_result))
#else
#define UDS_EXPORT
#define UDS_NODISCARD
#endif

#ifdef __cplusplus
#define UDS_BEGIN_DECLS extern "C" {
#define UDS_END_DECLS   }
#else
#define UDS_BEGIN_DECLS
#define UDS_END_DECLS
#endif

/* What the UDS_…_INIT of the headers are made of: all zero, but for the size and the fields named. C++17 has no designators. */
#ifdef __cplusplus
#define UDS_INIT_0(type)              \
    [] {                              \
        struct type uds_it = {};      \
        uds_it.size = sizeof(uds_it); \
        return uds_it;                \
    }()
#define UDS_INIT_1(type, a)           \
    [] {                              \
        struct type uds_it = {};      \
        uds_it.size = sizeof(uds_it); \
        uds_it a;                     \
        return uds_it;                \
    }()
#define UDS_INIT_2(type, a, b)        \
    [] {                              \
        struct type uds_it = {};      \
        uds_it.size = sizeof(uds_it); \
        uds_it a;                     \
        uds_it b;                     \
        return uds_it;                \
    }()
#else
#define UDS_INIT_0(type)            \
    {                               \
        .size = sizeof(struct type) \
    }
#define UDS_INIT_1(type, a)            \
    {                                  \
        .size = sizeof(struct type), a \
    }
#define UDS_INIT_2(type, a, b)            \
    {                                     \
        .size = sizeof(struct type), a, b \
    }
#endif

#define UDS_VERSION_MAJOR  0
#define UDS_VERSION_MINOR  1
#define UDS_VERSION_PATCH  0
#define UDS_VERSION_STRING "0.1.0"

UDS_BEGIN_DECLS

/**
 * uds_version() - the version of the library that is loaded
 *
 * Returns a static string such as "0.1.0"; compare it with UDS_VERSION_STRING, the version of the headers.
 *
 * Ownership: the library's.   Errors: none.   Blocking: never.   Threads: any.   Since: 0.1.
 */
UDS_EXPORT const char *uds_version(void);

UDS_END_DECLS

#endif
