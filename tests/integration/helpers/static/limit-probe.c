/* SPDX-License-Identifier: MIT */
/*
 * Wants more than its limits give, and prints one number: what it got.
 *
 *   limit-probe cpu THREADS MS [go]       percent of one CPU that busy threads used; go: says "ready" on stderr and
 *                                         begins at the end of standard input, so that several can begin together
 *   limit-probe cpus                      list of CPUs that it may run on
 *   limit-probe rbps|wbps FILE MS         bytes a second, O_DIRECT, 64 KiB at a time
 *   limit-probe riops|wiops FILE MS       operations a second, O_DIRECT, 4 KiB at a time
 *   limit-probe calls MS                  microseconds of a call to another process: "p50 p99 most", a call a millisecond
 *   limit-probe bomb                      forks for ever
 *   limit-probe memory MIB MS             touches so much memory, prints "ready", holds it
 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double until;

static void *be_busy(void *unused)
{
    while (seconds(CLOCK_MONOTONIC) < until)
        for (volatile int i = 0; i < 10000; i++)
            continue;
    return unused;
}

static void wait_for_go(void)
{
    char c;
    fputs("ready\n", stderr);
    while (read(0, &c, 1) > 0)
        continue;
}

static int cpu(int threads, double time)
{
    pthread_t ids[64];
    double start = seconds(CLOCK_MONOTONIC);
    until = start + time;
    for (int i = 0; i < threads && i < 64; i++)
        if (pthread_create(&ids[i], NULL, be_busy, NULL) != 0)
            return 1;
    for (int i = 0; i < threads && i < 64; i++)
        pthread_join(ids[i], NULL);
    printf("%.2f\n", seconds(CLOCK_PROCESS_CPUTIME_ID) / (seconds(CLOCK_MONOTONIC) - start) * 100);
    return 0;
}

static int cpus(void)
{
    cpu_set_t set;
    const char *comma = "";
    if (sched_getaffinity(0, sizeof set, &set) < 0)
        return 1;
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &set)) {
            printf("%s%d", comma, i);
            comma = ",";
        }
    putchar('\n');
    return 0;
}

static int io(const char *what, const char *path, double time)
{
    int write = what[0] == 'w', operations = strcmp(what + 1, "iops") == 0;
    size_t size = operations ? 4096 : 65536;
    struct stat st;
    int fd = open(path, (write ? O_WRONLY : O_RDONLY) | O_DIRECT | O_CLOEXEC);
    void *block = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (fd < 0 || block == MAP_FAILED || fstat(fd, &st) < 0 || st.st_size < (off_t)size) {
        perror(path);
        return 1;
    }
    off_t at = 0;
    double n = 0, start = seconds(CLOCK_MONOTONIC);
    while (seconds(CLOCK_MONOTONIC) < start + time) {
        ssize_t r = write ? pwrite(fd, block, size, at) : pread(fd, block, size, at);
        if (r != (ssize_t)size) {
            perror(path);
            return 1;
        }
        at = at + 2 * (off_t)size > st.st_size ? 0 : at + (off_t)size;
        n += operations ? 1 : (double)r;
    }
    printf("%.0f\n", n / (seconds(CLOCK_MONOTONIC) - start));
    return 0;
}

static int memory(size_t bytes, double time)
{
    volatile char *p =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t i = 0; i < bytes; i += 4096)
        p[i] = 1;
    puts("ready");
    fflush(stdout);
    usleep((useconds_t)(time * 1e6));
    return 0;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void answer(int fd)
{
    char c;
    while (read(fd, &c, 1) == 1 && write(fd, &c, 1) == 1)
        continue;
    _exit(0);
}

static int calls(double time)
{
    static double took[100000];
    size_t n = 0;
    char c = 0;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        return 1;
    pid_t child = fork();
    if (child == 0) {
        close(pair[0]);
        answer(pair[1]);
    }
    double end = seconds(CLOCK_MONOTONIC) + time;
    while (n < sizeof took / sizeof took[0] && seconds(CLOCK_MONOTONIC) < end) {
        double start = seconds(CLOCK_MONOTONIC);
        if (write(pair[0], &c, 1) != 1 || read(pair[0], &c, 1) != 1)
            return 1;
        took[n++] = (seconds(CLOCK_MONOTONIC) - start) * 1e6;
        usleep(1000);
    }
    qsort(took, n, sizeof took[0], by_size);
    if (n)
        printf("%.0f %.0f %.0f\n", took[n / 2], took[n * 99 / 100], took[n - 1]);
    return n == 0;
}

static int bomb(void)
{
    for (;;)
        if (fork() < 0)
            usleep(100);
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    double time = argc > 3 ? strtod(argv[3], NULL) / 1000 : 0;
    if (argc == 5 && strcmp(argv[4], "go") == 0) {
        wait_for_go();
        argc--;
    }
    if (strcmp(verb, "cpu") == 0 && argc == 4)
        return cpu((int)strtol(argv[2], NULL, 10), time);
    if (strcmp(verb, "calls") == 0 && argc == 3)
        return calls(strtod(argv[2], NULL) / 1000);
    if (strcmp(verb, "bomb") == 0)
        return bomb();
    if (strcmp(verb, "cpus") == 0)
        return cpus();
    if (strcmp(verb, "memory") == 0 && argc == 4)
        return memory((size_t)strtol(argv[2], NULL, 10) << 20, time);
    if (argc == 4 && strlen(verb) >= 4 && strchr("rw", verb[0]))
        return io(verb, argv[2], time);
    fputs("usage: limit-probe cpu|cpus|calls|bomb|rbps|wbps|riops|wiops|memory …\n", stderr);
    return 2;
}
