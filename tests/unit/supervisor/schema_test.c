/* SPDX-License-Identifier: MIT */
/*
 * Malformed stack files: each complaint names file, line, column and field, and says what is
 * allowed.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guard.h"
#include "stack.h"

/* The whole message must begin with @where and hold @what. */
static void expect_refusal(const char *text, size_t len, const char *where, const char *what)
{
    struct sbx_error error = {0};
    struct stack *stack = NULL;
    int r = stack_parse(&stack, "s.yaml", text, len, &error);

    cr_assert_eq(r, -EINVAL, "accepted or failed otherwise (%d): %.200s", r, text);
    cr_expect_null(stack);
    cr_expect_eq(error.err, EINVAL);
    cr_expect_eq(strncmp(error.text, where, strlen(where)), 0, "'%s', not '%s'", error.text, where);
    cr_expect_not_null(strstr(error.text, what), "'%s' lacks '%s'", error.text, what);
    cr_expect_null(strchr(error.text, '\n'));
}

static const struct {
    const char *text, *where, *what;
} malformed[] = {
    /* YAML itself */
    {"", "s.yaml:1:1: ", "empty"},
    {"a: [1\nb: 2\n", "s.yaml:2:2: not valid YAML", "flow sequence"},
    {"\tbroker: {}\n", "s.yaml:1:1: not valid YAML", "token"},
    {"a: &x [1]\n", "s.yaml:1:4: anchors", "not allowed"},
    {"a: [1]\nb: *x\n", "s.yaml:2:4: aliases", "not allowed"},
    {"a: !!str x\n", "s.yaml:1:4: tags", "not allowed"},
    {"broker: {}\nbroker: {}\n", "s.yaml:2:1: duplicate key 'broker'", "line 1"},
    {"sandboxes:\n  a: {command: [/x]}\n  a: {command: [/y]}\n", "s.yaml:3:3: duplicate key 'a'",
     "line 2"},
    {"sandboxes: {a: {command: [/x], capabilities: [nosuch]}}\n",
     "s.yaml:1:47: field 'sandboxes.a.capabilities': 'nosuch' is no capability", "net_raw"},
    {"sandboxes: {a: {command: [/x], seccomp: lenient}}\n",
     "s.yaml:1:41: field 'sandboxes.a.seccomp': 'lenient' is not default", "uds-seccomp(5)"},
    {"sandboxes: {a: {command: [/x], landlock: {ro: [usr]}}}\n",
     "s.yaml:1:48: field 'sandboxes.a.landlock.ro[0]': 'usr' is not an absolute path", "sees it"},
    {"sandboxes: {a: {command: [/x], landlock: {connect: 80}}}\n",
     "s.yaml:1:52: field 'sandboxes.a.landlock.connect': must be a list", "which may be empty"},
    {"[a]: b\n", "s.yaml:1:1: a key must be", "plain word"},
    {"sandboxes:\n  a: {command: [/x]}\ntemplates:\n  a: {}\n",
     "s.yaml:4:3: field 'templates.a': the sandbox in line 2 has this name", "otherwise"},
    {"templates:\n  a: {}\nsandboxes:\n  a: {command: [/x]}\n",
     "s.yaml:4:3: field 'sandboxes.a': the template in line 2 has this name", "otherwise"},
    {"broker: {}\n---\nbroker: {}\n", "s.yaml:2:1: a second document", "one document"},
    {"a: \"x\\0y\"\n", "s.yaml:1:4: a text may not", "NUL"},
    {"a: [[[[[[[[[[[[[[[[[[x]]]]]]]]]]]]]]]]]]\n", "s.yaml:1:19: nested", "16 levels"},
    /* the top */
    {"- a\n", "s.yaml:1:1: is a list", "must be a map"},
    {"borker: {}\n", "s.yaml:1:1: field 'borker': unknown key",
     "broker, sandboxes, templates or policy"},
    {"broker: []\n", "s.yaml:1:9: field 'broker': is a list", "map"},
    {"broker:\nsandboxes: {}\n", "s.yaml:1:8: field 'broker': is one value", "map"},
    /* broker */
    {"broker: {lisen: [a]}\n", "s.yaml:1:10: field 'broker.lisen': unknown key",
     "listen, run_dir or quota"},
    {"broker: {listen: x}\n", "s.yaml:1:18: field 'broker.listen': is one value", "list"},
    {"broker: {listen: []}\n", "s.yaml:1:18: field 'broker.listen': is an empty list",
     "at least one"},
    {"broker:\n  listen: [unix:/a, 'tcp:1']\n",
     "s.yaml:2:21: field 'broker.listen[1]': 'tcp:1' is no address", "unix:/PATH"},
    {"broker: {listen: ['dgram:/a']}\n",
     "s.yaml:1:19: field 'broker.listen[0]': 'dgram:/a' is no address", "unix:"},
    {"broker: {listen: ['unix:run/b']}\n",
     "s.yaml:1:19: field 'broker.listen[0]': 'unix:run/b' is not an absolute path", "'/'"},
    {"broker: {run_dir: run}\n",
     "s.yaml:1:19: field 'broker.run_dir': 'run' is not an absolute path", "'/'"},
    {"broker: {quota: {connections: 0}}\n",
     "s.yaml:1:31: field 'broker.quota.connections': 0 is out of range", "1 to"},
    {"broker: {quota: {connections: -1}}\n",
     "s.yaml:1:31: field 'broker.quota.connections': '-1' is not a whole number", ""},
    {"broker: {quota: {queued_fds: 99999999999}}\n",
     "s.yaml:1:30: field 'broker.quota.queued_fds': 99999999999 is out of range", "4294967295"},
    {"broker: {quota: {queued_bytes: 5X}}\n",
     "s.yaml:1:32: field 'broker.quota.queued_bytes': '5X' is no amount", "64M"},
    /* sandboxes */
    {"sandboxes: [a]\n", "s.yaml:1:12: field 'sandboxes': must be a map", "NAME"},
    {"sandboxes:\n  'a b': {command: [/x]}\n",
     "s.yaml:2:3: field 'sandboxes.a b': 'a b' is no name", "letters"},
    {"sandboxes:\n  ../x: {command: [/x]}\n",
     "s.yaml:2:3: field 'sandboxes.../x': '../x' is no name", "letters"},
    {"sandboxes:\n  a: {command: [/x], time: {boottime: soon}}\n",
     "s.yaml:2:39: field 'sandboxes.a.time.boottime': 'soon' is no offset of a clock", "seconds"},
    {"sandboxes:\n  a: {command: [/x], net: some}\n",
     "s.yaml:2:27: field 'sandboxes.a.net': 'some' is not none, host", "pasta"},
    {"sandboxes:\n  a: {command: [/x], net_rate: 9}\n",
     "s.yaml:2:32: field 'sandboxes.a.net_rate': '9' is too little", "1K"},
    {"sandboxes:\n  a:\n    limits: {}\n", "s.yaml:3:5: field 'sandboxes.a.command': is missing",
     "required"},
    {"sandboxes:\n  a: {command: []}\n",
     "s.yaml:2:16: field 'sandboxes.a.command': is an empty list", "at least one"},
    {"sandboxes:\n  a: {command: /bin/x}\n",
     "s.yaml:2:16: field 'sandboxes.a.command': is one value", "list"},
    {"sandboxes:\n  a: {command: [x, y]}\n",
     "s.yaml:2:17: field 'sandboxes.a.command[0]': 'x' is not an absolute path",
     "nothing is expanded"},
    {"sandboxes:\n  a: {command: [~/x]}\n",
     "s.yaml:2:17: field 'sandboxes.a.command[0]': '~/x' is not an absolute path", ""},
    {"sandboxes:\n  a: {command: [$HOME/x]}\n",
     "s.yaml:2:17: field 'sandboxes.a.command[0]': '$HOME/x' is not an absolute path", ""},
    {"sandboxes:\n  a: {command: [/x, [y]]}\n",
     "s.yaml:2:21: field 'sandboxes.a.command[1]': is a list", "text"},
    {"sandboxes:\n  a: {command: [/x], isolate: [ned]}\n",
     "s.yaml:2:32: field 'sandboxes.a.isolate[0]': 'ned' is unknown", "ipc, uts, cgroup or time"},
    {"sandboxes:\n  a: {command: [/x], root: {jail: [x]}}\n",
     "s.yaml:2:36: field 'sandboxes.a.root.jail[0]': 'x' is not an absolute path", ""},
    {"sandboxes:\n  a: {command: [/x], root: {}}\n",
     "s.yaml:2:28: field 'sandboxes.a.root': names no files", ""},
    {"sandboxes:\n  a: {command: [/x], root: {jail: [/x], layers: [/]}}\n",
     "s.yaml:2:28: field 'sandboxes.a.root': is a jail or has layers", ""},
    {"sandboxes:\n  a: {command: [/x], root: {jail: [/x], upper: tmpfs}}\n",
     "s.yaml:2:28: field 'sandboxes.a.root': has an upper directory", ""},
    {"sandboxes:\n  a: {command: [/x], root: {dir: /, upper: tmp}}\n",
     "s.yaml:2:44: field 'sandboxes.a.root.upper': 'tmp' is not an absolute path", ""},
    {"sandboxes:\n  a: {command: [/x], root: overlay}\n",
     "s.yaml:2:28: field 'sandboxes.a.root': must be", "jail"},
    {"sandboxes:\n  a: {command: [/x], env: [A]}\n",
     "s.yaml:2:27: field 'sandboxes.a.env': must be a map", ""},
    {"sandboxes:\n  a: {command: [/x], env: {'A=B': c}}\n",
     "s.yaml:2:28: field 'sandboxes.a.env.A=B': is no name", ""},
    {"sandboxes:\n  a: {command: [/x], env: {UDS_BROKER: c}}\n",
     "s.yaml:2:28: field 'sandboxes.a.env.UDS_BROKER': is set by the broker", "remove"},
    {"templates:\n  a: {env: {LISTEN_FDS: 1}}\n",
     "s.yaml:2:13: field 'templates.a.env.LISTEN_FDS': is set by the broker", "remove"},
    {"sandboxes:\n  a: {command: [/x], notify: false, watchdog: 3s}\n",
     "s.yaml:2:30: field 'sandboxes.a.notify': is false, but", "leave it out"},
    {"sandboxes:\n  a:\n    command: [/x]\n    limits: {cpu: 50}\n",
     "s.yaml:4:19: field 'sandboxes.a.limits.cpu': '50' is no share", "50%"},
    {"sandboxes:\n  a:\n    command: [/x]\n    limits: {memory: lots}\n",
     "s.yaml:4:22: field 'sandboxes.a.limits.memory': 'lots' is no amount", "64M"},
    {"sandboxes:\n  a: {command: [/x], limits: {memory: 1K}}\n",
     "s.yaml:2:39: field 'sandboxes.a.limits.memory': '1K' is too little", "1M"},
    {"sandboxes:\n  a: {command: [/x], limits: {pids: 0}}\n",
     "s.yaml:2:37: field 'sandboxes.a.limits.pids': 0 is out of range", ""},
    {"sandboxes:\n  a: {command: [/x], limits: {pids: 1e3}}\n",
     "s.yaml:2:37: field 'sandboxes.a.limits.pids': '1e3' is not a whole number", ""},
    {"sandboxes:\n  a: {command: [/x], limits: {ram: 1}}\n",
     "s.yaml:2:31: field 'sandboxes.a.limits.ram': unknown key",
     "cpu, cpu_weight, memory, pids, cpuset, memory_high, swap, io_max or io_weight"},
    {"sandboxes:\n  a: {command: [/x], serve: [a..b]}\n",
     "s.yaml:2:30: field 'sandboxes.a.serve[0]': 'a..b' is no subject pattern", ""},
    {"sandboxes:\n  a: {command: [/x], call: ['>.a']}\n",
     "s.yaml:2:29: field 'sandboxes.a.call[0]': '>.a' is no subject pattern", ""},
    {"sandboxes:\n  a: {command: [/x], fds: {send: [memfs]}}\n",
     "s.yaml:2:35: field 'sandboxes.a.fds.send[0]': 'memfs' is unknown",
     "memfd, memfd-open, file-ro"},
    {"sandboxes:\n  a: {command: [/x], restart: maybe}\n",
     "s.yaml:2:31: field 'sandboxes.a.restart': 'maybe' is unknown", "no, on-failure or always"},
    {"sandboxes:\n  a: {command: [/x], restart: }\n",
     "s.yaml:2:31: field 'sandboxes.a.restart': has no value", "word"},
    {"sandboxes:\n  a: {command: [/x], degrade: [all]}\n",
     "s.yaml:2:32: field 'sandboxes.a.degrade[0]': 'all' is unknown", "id-range"},
    {"sandboxes:\n  a: {command: [/x], stdio: pipe}\n",
     "s.yaml:2:29: field 'sandboxes.a.stdio': 'pipe' is unknown", "inherit or null"},
    {"sandboxes:\n  a: {command: [/x], uid: root}\n",
     "s.yaml:2:27: field 'sandboxes.a.uid': 'root' is not a whole number", ""},
    {"sandboxes:\n  a: {command: [/x], timeout: 30}\n",
     "s.yaml:2:31: field 'sandboxes.a.timeout': '30' is no time", "30s"},
    {"sandboxes:\n  a: {command: [/x], timeout: 99999999999h}\n",
     "s.yaml:2:31: field 'sandboxes.a.timeout': '99999999999h' is no time", ""},
    {"sandboxes:\n  a: {command: [/x], colour: red}\n",
     "s.yaml:2:22: field 'sandboxes.a.colour': unknown key", "restart"},
    /* policy */
    {"policy: {uid: 0}\n", "s.yaml:1:9: field 'policy': must be a list", "uid: 0"},
    {"policy:\n  - {call: [a]}\n", "s.yaml:2:5: field 'policy[0]': names no peer", "exactly one"},
    {"policy:\n  - {uid: 0, gid: 0, call: [a]}\n", "s.yaml:2:5: field 'policy[0]': names several",
     "exactly one"},
    {"policy:\n  - {uid: 0}\n", "s.yaml:2:5: field 'policy[0]': says who but not what", "or fds"},
    {"policy:\n  - {uid: 0, deny: true, fds: {send: [pipe]}}\n",
     "s.yaml:2:5: field 'policy[0]': says who but not what", "admin"},
    {"policy:\n  - {uid: 0, admin: yes}\n",
     "s.yaml:2:21: field 'policy[0].admin': 'yes' is neither", "false"},
    {"policy:\n  - {uid: 0, admin: true}\n  - {uid: bob, admin: true}\n",
     "s.yaml:3:11: field 'policy[1].uid': 'bob' is not a whole number", ""},
    {"policy:\n  - {sandbox: a, call: [x]}\nsandboxes:\n  b: {command: [/x]}\n",
     "s.yaml:2:15: field 'policy[0].sandbox': no sandbox 'a'", "declared"},
    {"policy:\n  - {uid: 0, cal: [x]}\n", "s.yaml:2:14: field 'policy[0].cal': unknown key",
     "call"},
};

Test(schema, names_line_column_and_field_of_every_mistake)
{
    UDS_TEST_GUARD;

    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++)
        expect_refusal(malformed[i].text, strlen(malformed[i].text), malformed[i].where,
                       malformed[i].what);
}

Test(schema, refuses_a_file_above_one_mebibyte)
{
    UDS_TEST_GUARD;
    size_t len = (1u << 20) + 1;
    char *text = malloc(len);

    cr_assert_not_null(text);
    memset(text, '#', len);
    expect_refusal(text, len, "s.yaml:1:1: ", "larger than 1048576 bytes");
    free(text);
}

Test(schema, refuses_more_values_than_a_stack_can_need)
{
    UDS_TEST_GUARD;
    size_t n = 30000;
    char *text = malloc(n * 2 + 16), *p = text;

    cr_assert_not_null(text);
    p += sprintf(p, "a: [");
    for (size_t i = 0; i < n; i++)
        p += sprintf(p, "x,");
    sprintf(p, "]\n");
    expect_refusal(text, strlen(text), "s.yaml:1:", "too many values");
    free(text);
}

Test(schema, never_writes_control_characters_of_the_file_to_the_terminal)
{
    UDS_TEST_GUARD;
    struct sbx_error error = {0};
    struct stack *stack = NULL;
    const char text[] = "sandboxes: {a: {command: [\"\\e[31m\"]}}\n";

    cr_assert_eq(stack_parse(&stack, "s.yaml", text, sizeof(text) - 1, &error), -EINVAL);
    for (const char *p = error.text; *p; p++)
        cr_assert((unsigned char)*p >= ' ', "%s", error.text);
}
