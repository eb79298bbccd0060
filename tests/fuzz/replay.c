/* SPDX-License-Identifier: MIT */

/*
 * The inputs that fuzzing has found, run without a fuzzer: main() for a target in a build of any compiler. The arguments are
 * files and directories of files (corpus/TARGET, regress/TARGET); one that is not there is passed over.
 *
 * What goes wrong aborts, and the handler says with which input. No input may take longer than SECONDS.
 */

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>

#define SECONDS   20
#define INPUT_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char current[4096];

static void say_which(int sig)
{
    const char *parts[] = {"\nreplay: ", sig == SIGALRM ? "took too long: " : "failed: ", current,
                           "\n"};

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        (void)!write(STDERR_FILENO, parts[i], strlen(parts[i]));
    (void)signal(sig, SIG_DFL);
    (void)raise(sig);
}

static int run_file(const char *path)
{
    FILE *file = fopen(path, "re");
    uint8_t *data;
    size_t len;

    if (!file)
        return -errno;
    /* Of its own size, so that a read past its end is seen. */
    data = malloc(INPUT_MAX);
    len = data ? fread(data, 1, INPUT_MAX, file) : 0;
    (void)fclose(file);
    if (data && len > 0)
        data = realloc(data, len);
    if (!data)
        return -ENOMEM;
    (void)snprintf(current, sizeof(current), "%s", path);
    (void)alarm(SECONDS);
    (void)LLVMFuzzerTestOneInput(data, len);
    (void)alarm(0);
    free(data);
    return 0;
}

/* How many inputs were run, or -errno. */
static int run(const char *path)
{
    struct dirent **entries;
    struct stat st;
    int n, count = 0, r = 0;

    if (stat(path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISDIR(st.st_mode)) {
        r = run_file(path);
        return r < 0 ? r : 1;
    }
    n = scandir(path, &entries, NULL, alphasort);
    if (n < 0)
        return -errno;
    for (int i = 0; i < n; i++) {
        char name[4096];

        (void)snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
        if (r >= 0 && entries[i]->d_name[0] != '.') {
            r = run(name);
            count += r > 0 ? r : 0;
        }
        free(entries[i]);
    }
    free(entries);
    return r < 0 ? r : count;
}

int main(int argc, char **argv)
{
    static const uint8_t nothing;
    int count = 0;

    (void)signal(SIGABRT, say_which);
    (void)signal(SIGALRM, say_which);
    (void)LLVMFuzzerTestOneInput(&nothing, 0);
    for (int i = 1; i < argc; i++) {
        int r = run(argv[i]);

        if (r < 0) {
            (void)fprintf(stderr, "replay: cannot read: %s: %s\n", argv[i], strerror(-r));
            return 1;
        }
        count += r;
    }
    (void)printf("%d inputs\n", count);
    return 0;
}
