/* SPDX-License-Identifier: MIT */
/*
 * The broker's own messages on $SYS. They are noted where something happens and published at the end of the loop turn,
 * because a quota is hit in the middle of a match, and publishing is a match.
 *
 * The notes of one turn are bounded; each account is limited to one a second besides.
 */
#include "sysevent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/queue.h>

#include "admin.pb-c.h"
#include "publish.h"
#include "router.h"
#include "sandbox.h"
#include "subject.h"

#define NOTES_MAX 512u

struct sysevent {
    STAILQ_ENTRY(sysevent) next;
    size_t len;
    char subject[SUBJECT_MAX + 1];
    uint8_t body[];
};

static void note(struct router *router,
                 const char *kind,
                 const char *name,
                 const Uds__Admin__SandboxEvent *event)
{
    size_t len = uds__admin__sandbox_event__get_packed_size(event);
    struct sysevent *sysevent =
        router->note_count < NOTES_MAX ? malloc(sizeof(*sysevent) + len) : NULL;
    if (sysevent == NULL)
        return;
    int n = snprintf(sysevent->subject, sizeof(sysevent->subject), "$SYS.%s.%s.%s", kind, name,
                     event->event);
    if (n < 0 || (size_t)n >= sizeof(sysevent->subject)) {
        free(sysevent);
        return;
    }
    sysevent->len = uds__admin__sandbox_event__pack(event, sysevent->body);
    router_end_turn(router);
    STAILQ_INSERT_TAIL(&router->notes, sysevent, next);
    router->note_count++;
}

/* Generated structs want char * where nothing is changed. */
static char *text(const char *constant)
{
    union {
        const char *in;
        char *out;
    } cast = {.in = constant};
    return cast.out;
}

static void note_sandbox(struct router *router,
                         const Uds__Supervisor__Sandbox *info,
                         const char *name,
                         const char *detail)
{
    Uds__Admin__SandboxEvent event = UDS__ADMIN__SANDBOX_EVENT__INIT;
    event.name = info->name;
    event.event = text(name);
    event.generation = info->generation;
    event.pid = info->pid;
    event.value = info->value;
    event.peak_bytes = info->peak_bytes;
    event.detail = text(detail);
    note(router, "sandbox", info->name, &event);
}

static bool is_up(const Uds__Supervisor__Sandbox *info)
{
    return info->state == UDS__SUPERVISOR__STATE__RUNNING ||
           info->state == UDS__SUPERVISOR__STATE__STARTING;
}

static void note_refused(struct router *router, const Uds__Supervisor__Sandbox *info)
{
    Uds__Admin__SandboxEvent event = UDS__ADMIN__SANDBOX_EVENT__INIT;
    event.name = info->name;
    event.event = text("refused");
    event.generation = info->generation;
    event.pid = info->pid;
    event.value = info->refused;
    event.detail = info->refusal;
    note(router, "sandbox", info->name, &event);
}

void sysevent_changed(struct router *router,
                      const struct sandbox *sandbox,
                      const Uds__Supervisor__Sandbox *before)
{
    const Uds__Supervisor__Sandbox *info = sandbox->info;
    bool was_up = before != NULL && is_up(before);
    bool newer = before != NULL && info->generation != before->generation;
    if (was_up && (newer || !is_up(info)) && info->cause != UDS__SUPERVISOR__CAUSE__NONE) {
        char detail[512];
        uint64_t value;
        (void)sandbox_explain_end(sandbox, &value, detail, sizeof(detail));
        if (info->cause == UDS__SUPERVISOR__CAUSE__OOM)
            note_sandbox(router, info, "oom", detail);
        note_sandbox(router, info, "exited", detail);
    }
    bool runs = info->state == UDS__SUPERVISOR__STATE__RUNNING;
    if (runs && (before == NULL || newer || before->state != info->state))
        note_sandbox(router, info, "started", "");
    bool same = before != NULL && !newer;
    if (info->ready && !(same && before->ready))
        note_sandbox(router, info, "ready", info->status);
    if (info->refused > (same ? before->refused : 0))
        note_refused(router, info);
}

void sysevent_ready(struct router *router, const struct sandbox *sandbox)
{
    note_sandbox(router, sandbox->info, "ready", "");
}

static void limit(struct router *router, struct account *account, const char *what, uint64_t value)
{
    uint64_t now = router_now_usec();
    if (account->told_usec != 0 && now - account->told_usec < 1000000)
        return;
    account->told_usec = now;
    char detail[64], name[32];
    snprintf(detail, sizeof(detail), "quota %s reached", what);
    struct sandbox *sandbox = account->is_sandbox ? sandbox_get(router, account->sandbox_id) : NULL;
    Uds__Admin__SandboxEvent event = UDS__ADMIN__SANDBOX_EVENT__INIT;
    event.event = text("limit");
    event.value = value;
    event.detail = detail;
    if (sandbox != NULL) {
        event.name = sandbox->info->name;
        event.generation = sandbox->info->generation;
        event.pid = sandbox->info->pid;
        note(router, "sandbox", sandbox->info->name, &event);
        return;
    }
    const char *colon = strchr(account->name, ':');
    snprintf(name, sizeof(name), "%.31s", colon != NULL ? colon + 1 : account->name);
    event.name = account->name;
    note(router, "uid", name, &event);
}

void sysevent_limit(struct router *router, struct account *account, enum quota_kind kind)
{
    limit(router, account, quota_name(kind), quota_limit(account, kind));
}

void sysevent_rate(struct router *router, struct account *account)
{
    limit(router, account, "messages_per_second", router->quota.rate);
}

void sysevent_publish_all(struct router *router)
{
    /* Publishing may note more (a slow listener hits its quota): those come next turn. */
    for (size_t count = router->note_count; count > 0; count--) {
        struct sysevent *sysevent = STAILQ_FIRST(&router->notes);
        STAILQ_REMOVE_HEAD(&router->notes, next);
        router->note_count--;
        publish_own(router, sysevent->subject, sysevent->body, sysevent->len);
        free(sysevent);
    }
}

void sysevent_clear(struct router *router)
{
    while (!STAILQ_EMPTY(&router->notes)) {
        struct sysevent *sysevent = STAILQ_FIRST(&router->notes);
        STAILQ_REMOVE_HEAD(&router->notes, next);
        free(sysevent);
    }
    router->note_count = 0;
}
