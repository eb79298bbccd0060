/* SPDX-License-Identifier: MIT */
/*
 * Guests: a template of the stack file says how a sandbox is made, who asks through the admin socket says what runs in it.
 *
 *   asked ── one waits ──▶ runs ── its end, or who asked is gone ──▶ told, freed
 *     └── none does ──▶ due ── the next that is made is its own ──▶ runs
 *
 * The loop waits for nobody's sandbox to be made, but where more than GUESTS_DUE_MAX are due: they hold what they are to be given.
 * They are nobody to the router: there is no link, no place in /run/uds, no name on the bus. What they are to talk with they
 * get as descriptors from who starts them. At most GUESTS_MAX run at a time; each ends with who asked for it, and with us.
 */
#include "guests.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launch.h"
#include "report.h"

struct guest {
    struct template *template;
    sbx *sbx;
    sbx_request *request;
    struct event *io, *ask;
    struct guest *next, **at;
    struct guest *due_next; /* while it has no sandbox */
};

static void add_timer(struct event *event, int ms)
{
    struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

    event_add(event, ms < 0 ? NULL : &tv);
    if (ms < 0)
        event_remove_timer(event); /* which event_add(…, NULL) leaves as it was */
}

static void fill_soon(struct template *template)
{
    if (template->due)
        reserve_hurry(&template->reserve);
    else
        reserve_fill_soon(&template->reserve, template->guests->count > 0);
}

static void make_due(struct guest *guest)
{
    struct template *template = guest->template;

    guest->due_next = NULL;
    *template->due_end = guest;
    template->due_end = &guest->due_next;
    template->guests->due++;
}

/* The next, or NULL. */
static struct guest *take_due(struct template *template)
{
    struct guest *guest = template->due;

    if (!guest)
        return NULL;
    template->due = guest->due_next;
    if (!template->due)
        template->due_end = &template->due;
    template->guests->due--;
    return guest;
}

static void end(struct guest *guest, const struct sbx_result *result)
{
    struct template *template = guest->template;

    if (guest->io)
        event_free(guest->io);
    if (guest->ask)
        event_free(guest->ask);
    sbx_request_end(guest->request, result); /* what is closed is watched no more */
    sbx_free(guest->sbx);
    *guest->at = guest->next;
    if (guest->next)
        guest->next->at = guest->at;
    template->guests->count--;
    free(guest);
    fill_soon(template); /* and what is left of it goes */
}

static void on_io(evutil_socket_t fd, short what, void *arg)
{
    struct guest *guest = arg;
    struct sbx_result result = SBX_RESULT_INIT;
    int r = sbx_process(guest->sbx, &result);

    (void)fd;
    (void)what;
    if (r == 0) {
        add_timer(guest->io, sbx_get_timeout(guest->sbx));
        return;
    }
    if (r < 0)
        result = (struct sbx_result){
            .size = sizeof(struct sbx_result), .outcome = SBX_SETUP_FAILED, .value = (uint64_t)-r};
    end(guest, &result);
}

static void on_ask(evutil_socket_t fd, short what, void *arg)
{
    struct guest *guest = arg;

    (void)fd;
    (void)what;
    if (sbx_request_process(guest->request, guest->sbx) < 0)
        end(guest, NULL);
}

static int watch(struct guest *guest)
{
    struct event_base *base = guest->template->guests->env->base;

    guest->io = event_new(base, sbx_get_fd(guest->sbx), EV_READ | EV_PERSIST, on_io, guest);
    guest->ask =
        event_new(base, sbx_request_get_fd(guest->request), EV_READ | EV_PERSIST, on_ask, guest);
    if (!guest->io || !guest->ask || event_add(guest->ask, NULL) < 0)
        return -ENOMEM;
    add_timer(guest->io, sbx_get_timeout(guest->sbx));
    return 0;
}

static struct template *find(const struct guests *guests, const char *name)
{
    for (size_t i = 0; i < guests->n; i++)
        if (strcmp(guests->templates[i].entry->name, name) == 0)
            return &guests->templates[i];
    return NULL;
}

bool guests_has(const struct guests *guests, const char *name)
{
    return find(guests, name) != NULL;
}

static void enlist(struct guest *guest)
{
    struct guests *guests = guest->template->guests;

    guest->at = &guests->first;
    guest->next = guests->first;
    if (guest->next)
        guest->next->at = &guest->next;
    guests->first = guest;
    guests->count++;
}

static int run(struct guest *guest, struct sbx_error *error)
{
    struct template *template = guest->template;
    int r;

    reserve_unwatch(&template->reserve);
    r = sbx_pool_start_request(&guest->sbx, template->reserve.pool, guest->request, error);
    if (r == 0)
        r = watch(guest);
    if (r == 0)
        fill_soon(template);
    return r;
}

static void fail(struct guest *guest, const struct sbx_error *error)
{
    const struct sbx_result result = {.size = sizeof(struct sbx_result),
                                      .outcome = SBX_SETUP_FAILED,
                                      .value = (uint64_t)error->err,
                                      .error = *error};

    end(guest, &result);
}

int guests_start(struct guests *guests,
                 const char *name,
                 sbx_request *request,
                 struct sbx_error *error)
{
    struct template *template = find(guests, name);
    struct guest *guest;
    int r;

    if (!template)
        return -ENOENT;
    if (guests->count >= GUESTS_MAX) {
        snprintf(error->text, sizeof(error->text),
                 "start %s: %u run already that were started so; let one end first", name,
                 GUESTS_MAX);
        return -EMFILE;
    }
    guest = calloc(1, sizeof(*guest));
    if (!guest)
        return -ENOMEM;
    guest->template = template;
    guest->request = request;
    enlist(guest);
    if (guests->due < GUESTS_DUE_MAX && (template->due || !reserve_count(&template->reserve))) {
        make_due(guest);
        fill_soon(template);
        return 0;
    }
    r = run(guest, error);
    if (r < 0) {
        guest->request = NULL; /* who called ends it */
        end(guest, NULL);
    }
    return r;
}

/* ---- make ---- */

static void on_reserve(void *arg, const struct sbx_error *error)
{
    struct template *template = arg;

    if (error)
        report_not_warm(template->guests->status, template->entry->name, error->text);
    while (template->due && reserve_count(&template->reserve) > 0) {
        struct guest *guest = take_due(template);
        struct sbx_error why = {0};
        int r = run(guest, &why);

        if (r < 0 && !why.err)
            why.err = -r;
        if (r < 0)
            fail(guest, &why);
    }
}

/* What is wrong with one is so with the next. */
static void on_failed(void *arg, const struct sbx_error *error)
{
    struct template *template = arg;
    struct guest *due = template->due, *guest;

    template->due = NULL; /* who fails hurries nobody */
    template->due_end = &template->due;
    while ((guest = due)) {
        due = guest->due_next;
        template->guests->due--;
        fail(guest, error);
    }
}

static int make(struct template *template, struct sbx_error *error)
{
    const struct cell_env *env = template->guests->env;
    const struct launch launch = {.stack = env->stack,
                                  .entry = template->entry,
                                  .doors = env->doors,
                                  .vault = env->vault,
                                  .link = -1,
                                  .redial = -1,
                                  .nofile = env->nofile,
                                  .waits = true};
    struct reserve_options options = {.base = env->base,
                                      .cleaner = env->cleaner,
                                      .admin = env->admin,
                                      .size = template->entry->warm};
    int r = launch_plan(&options.plan, &launch, error);

    template->reserve.on_changed = on_reserve;
    template->reserve.on_failed = on_failed;
    template->reserve.arg = template;
    if (r == 0)
        r = reserve_make(&template->reserve, &options, error);
    sbx_plan_free(options.plan);
    if (r == 0)
        fill_soon(template);
    else
        launch_name_sandbox(template->entry, error);
    return r;
}

int guests_make(struct guests *guests,
                const struct cell_env *env,
                const struct status *status,
                struct sbx_error *error)
{
    const struct stack *stack = env->stack;
    int r = 0;

    *guests = (struct guests){.env = env, .status = status};
    if (stack->ntemplates == 0)
        return 0;
    guests->templates = calloc(stack->ntemplates, sizeof(*guests->templates));
    if (!guests->templates)
        return -ENOMEM;
    for (size_t i = 0; r == 0 && i < stack->ntemplates; i++) {
        struct template *template = &guests->templates[guests->n++];

        template->guests = guests;
        template->due_end = &template->due;
        template->entry = &stack->templates[i];
        r = make(template, error);
    }
    return r;
}

void guests_clear(struct guests *guests)
{
    const struct sbx_result stopped = {.size = sizeof(struct sbx_result), .outcome = SBX_STOPPED};

    for (size_t i = 0; i < guests->n; i++)
        while (take_due(&guests->templates[i]))
            ;
    while (guests->first)
        end(guests->first, &stopped);
    for (size_t i = 0; i < guests->n; i++)
        reserve_clear(&guests->templates[i].reserve);
    free(guests->templates);
    *guests = (struct guests){0};
}
