/* SPDX-License-Identifier: MIT */
/*
 * uds-broker: options in, supervisor on, one line on failure. uds-broker(8) is the same for people.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include <uds/addr.h>
#include <uds/version.h>

#include "profile.h"
#include "supervisor.h"

enum {
    EXIT_RUNTIME = 1, /* could not start, or could not go on */
    EXIT_USAGE = 2,
    EXIT_STACK = 3, /* the stack file is malformed or not to be trusted */
};

#define LISTEN_MAX 64

struct arguments {
    struct supervisor_options options;
    const char *listen[LISTEN_MAX];
    const char *config;
    char router[4200];
    bool check;
    const char
        *profile; /* of this sandbox, "" = the only one, the options of uds run; NULL = not asked */
};

static void print_help(FILE *out)
{
    fputs(
        "usage: uds-broker [--listen ADDR]... [--config FILE] [options]\n"
        "\n"
        "Runs a message broker, and the sandboxes that a stack file declares, until a signal ends "
        "it.\n"
        "Without a stack file the user who runs it and root may do everything, others nothing.\n"
        "\n"
        "  -l, --listen ADDR    listen on ADDR (may repeat; instead of the stack file's "
        "addresses):\n"
        "                       unix:/PATH, unix:@NAME, seqpacket:/PATH, fd:N\n"
        "                       default: broker.sock in the run directory\n"
        "  -c, --config FILE    stack file, see uds-stack(5)\n"
        "      --run-dir DIR    where sockets and records live; default: /run/uds for root, else\n"
        "                       $XDG_RUNTIME_DIR/uds or /tmp/uds-UID\n"
        "      --router PROGRAM run PROGRAM in the router's place (for tests)\n"
        "      --profile NAME   print the entry of that sandbox as options for uds run --profile\n"
        "                       (\"\": of the only one), each with a NUL, exit\n"
        "      --check          read the stack file, print what would be started, exit\n"
        "      --json           status lines as JSON objects\n"
        "      --ready-fd N     write a byte to descriptor N when all is up\n"
        "  -h, --help           this text\n"
        "  -V, --version        the version\n"
        "\n"
        "Examples:\n"
        "  uds-broker --listen unix:/tmp/b.sock      try things out, no configuration\n"
        "  uds-broker --config /etc/uds/stack.yaml   the broker and its sandboxes as a service\n"
        "  uds-broker --config stack.yaml --check    is the file right, and what would it do?\n"
        "\n"
        "Exit status: 0 ended by a signal, 1 could not start or go on, 2 usage, 3 stack file "
        "refused.\n",
        out);
}

__attribute__((noreturn, format(printf, 1, 2))) static void usage(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("uds-broker: ", stderr);
    vfprintf(stderr, format, args);
    va_end(args);
    fputs(": see uds-broker --help\n", stderr);
    exit(EXIT_USAGE);
}

static void add_listen(struct arguments *a, const char *text)
{
    struct supervisor_options *o = &a->options;
    struct uds_addr addr;
    int r = uds_addr_parse(text, &addr);

    if (r < 0 || addr.sock_type == SOCK_DGRAM)
        usage("--listen %s: %s", text,
              r == -ENAMETOOLONG ? "too long for a socket address"
                                 : "no address to listen on (unix:/PATH, unix:@NAME, "
                                   "seqpacket:/PATH or fd:N)");
    if (o->nlisten == LISTEN_MAX)
        usage("--listen %s: more than %d addresses", text, LISTEN_MAX);
    o->listen = a->listen;
    a->listen[o->nlisten++] = text;
}

static int parse_fd(const char *text)
{
    char *end;
    long fd = strtol(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || *end || fd > 1 << 20 || fcntl((int)fd, F_GETFD) < 0)
        usage("--ready-fd %s: no open descriptor", text);
    return (int)fd;
}

static void parse(struct arguments *a, int argc, char **argv)
{
    enum {
        OPT_RUN_DIR = 256,
        OPT_ROUTER,
        OPT_CHECK,
        OPT_JSON,
        OPT_READY_FD,
        OPT_PROFILE
    };
    static const struct option options[] = {
        {"listen", required_argument, NULL, 'l'},
        {"config", required_argument, NULL, 'c'},
        {"run-dir", required_argument, NULL, OPT_RUN_DIR},
        {"router", required_argument, NULL, OPT_ROUTER},
        {"check", no_argument, NULL, OPT_CHECK},
        {"json", no_argument, NULL, OPT_JSON},
        {"ready-fd", required_argument, NULL, OPT_READY_FD},
        {"profile", required_argument, NULL, OPT_PROFILE},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };
    int option;

    opterr = 0;
    while ((option = getopt_long(argc, argv, ":l:c:hV", options, NULL)) != -1) {
        switch (option) {
        case 'l':
            add_listen(a, optarg);
            break;
        case 'c':
            a->config = optarg;
            break;
        case OPT_RUN_DIR:
            if (optarg[0] != '/')
                usage("--run-dir %s: must be an absolute path", optarg);
            a->options.run_dir = optarg;
            break;
        case OPT_ROUTER:
            snprintf(a->router, sizeof(a->router), "%s", optarg);
            break;
        case OPT_CHECK:
            a->check = true;
            break;
        case OPT_PROFILE:
            a->profile = optarg;
            break;
        case OPT_JSON:
            a->options.json = true;
            break;
        case OPT_READY_FD:
            a->options.ready_fd = parse_fd(optarg);
            break;
        case 'h':
            print_help(stdout);
            exit(0);
        case 'V':
            printf("uds-broker %s\n", uds_version());
            exit(0);
        case ':':
            usage("%s: needs an argument", argv[optind - 1]);
        default:
            usage("%s: unknown option", argv[optind - 1]);
        }
    }
    if (optind < argc)
        usage("%s: unexpected argument", argv[optind]);
}

/* Descriptors 0, 1 and 2 are always open, so that nothing of ours becomes one of them by chance. */
static void fill_standard_fds(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= 2);
    if (fd > 2)
        close(fd);
}

static int find_router(struct arguments *a, struct sbx_error *error)
{
    if (a->router[0] == 0)
        return sbx_find_program("uds-router", a->router, error);
    if (access(a->router, X_OK) == 0)
        return 0;
    error->err = errno;
    snprintf(error->text, sizeof(error->text),
             "router: %.300s: %s: name an executable with --router", a->router,
             strerror(error->err));
    return -error->err;
}

static int run(struct arguments *a, struct sbx_error *error)
{
    a->options.router = a->router;
    if (find_router(a, error) < 0)
        return EXIT_RUNTIME;
    if (a->check)
        return supervisor_check(&a->options, stdout, error) < 0 ? EXIT_RUNTIME : 0;
    return supervisor_run(&a->options, error) < 0 ? EXIT_RUNTIME : 0;
}

int main(int argc, char **argv)
{
    struct arguments a = {.options = {.ready_fd = -1}};
    struct sbx_error error = {0};
    struct stack *stack = NULL;
    int status = 0;

    static char line[4096];

    fill_standard_fds();
    (void)setvbuf(stderr, line, _IOLBF,
                  sizeof(line)); /* one write a line: sandboxes write there, too */
    signal(SIGPIPE, SIG_IGN);
    parse(&a, argc, argv);
    if (a.options.ready_fd > 2)
        (void)fcntl(a.options.ready_fd, F_SETFD, FD_CLOEXEC);
    if (a.config ? stack_load(&stack, a.config, &error) < 0 : stack_new(&stack) < 0)
        status = EXIT_STACK;
    a.options.stack = stack;
    if (status == 0 && a.profile)
        status = profile_print(stack, a.profile[0] ? a.profile : NULL, stdout, &error) < 0
                     ? EXIT_STACK
                     : 0;
    else if (status == 0)
        status = run(&a, &error);
    if (status)
        fprintf(stderr, "uds-broker: %s\n", error.text[0] ? error.text : strerror(ENOMEM));
    stack_free(stack);
    return status;
}
