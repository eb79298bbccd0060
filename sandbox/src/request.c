/* SPDX-License-Identifier: MIT */
/*
 * A start that another process of ours has asked for. What is to be run is in a parcel that we pass on unread. Of its control
 * socket, whose far end is who asked, the payload's process has one copy until its execve, to say why that failed; ours says
 * how it ended, and hears signals and that nobody is interested any more.
 */

#include "request.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include "cleanup.h"
#include "error.h"
#include "waiting.h"

enum {
    COMMANDS_PER_TURN = 16
};

static bool is_text(const char *text, size_t size)
{
    return memchr(text, '\0', size) != NULL;
}

bool sbxi_admin_start_is_sound(const struct sbxi_admin_start *start)
{
    unsigned char flag;
    memcpy(&flag, &start->limits.swap_named, sizeof flag);
    return is_text(start->entry, sizeof start->entry) && is_text(start->name, sizeof start->name) &&
           is_text(start->hostname, sizeof start->hostname) && flag <= 1 &&
           is_text(start->limits.cpus, sizeof start->limits.cpus) &&
           start->limits.nio <= SBX_IO_DEVICES;
}

int sbxi_request_new(sbx_request **ret,
                     const struct sbxi_admin_start *start,
                     struct sbxi_parcel *parcel)
{
    sbx_request *request = calloc(1, sizeof *request);
    if (!request)
        return -ENOMEM;
    request->start = *start;
    request->control = fcntl(parcel->fds[SBXI_SESSION_CONTROL], F_DUPFD_CLOEXEC, 3);
    if (request->control < 0) {
        int r = -errno;
        free(request);
        return r;
    }
    request->parcel = *parcel;
    parcel->n = 0;
    *ret = request;
    return 0;
}

int sbxi_request_adopt(sbx *s, sbx_request *request, struct sbx_error *error)
{
    const struct sbxi_admin_start *start = &request->start;
    const struct sbx_adoption what = {.name = start->name[0] ? start->name : NULL,
                                      .hostname = start->hostname[0] ? start->hostname : NULL,
                                      .limits = start->limited ? &start->limits : NULL};
    int r = sbxi_adoption_settle(s, &what, error);
    if (r == 0)
        r = sbxi_adopt(s, &request->parcel, error);
    sbxi_parcel_close(&request->parcel);
    return r;
}

const char *sbx_request_get_name(const sbx_request *request)
{
    return request->start.name;
}

int sbx_request_get_fd(const sbx_request *request)
{
    return request->control;
}

int sbx_request_process(sbx_request *request, sbx *s)
{
    struct sbxi_command command;
    ssize_t n = 1;
    /* What is more waits for the next turn: who asked may send without end, and we have others. */
    for (int left = COMMANDS_PER_TURN; left > 0 && n > 0; left--) {
        n = recv(request->control, &command, sizeof command, MSG_DONTWAIT);
        if (n == (ssize_t)sizeof command && command.type == SBXI_SIGNAL && command.value < NSIG)
            (void)sbx_signal(s, (int)command.value);
    }
    if (n > 0)
        return 0;
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -EPIPE;
}

sbx_request *sbx_request_end(sbx_request *request, const struct sbx_result *result)
{
    if (!request)
        return NULL;
    if (result && result->size == sizeof *result) {
        struct sbxi_event event = {.type = SBXI_RESULT,
                                   .step = (uint32_t)result->outcome,
                                   .value = result->value,
                                   .cpu_usec = result->stats.cpu_usec,
                                   .peak_kib = result->stats.memory_peak_bytes / 1024,
                                   .refused = result->memory_refused,
                                   .refused_bytes = result->memory_refused_bytes};
        snprintf(event.detail, sizeof event.detail, "%.220s", result->error.text);
        (void)send(request->control, &event, sizeof event, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    sbxi_parcel_close(&request->parcel);
    sbxi_closep(&request->control);
    free(request);
    return NULL;
}
