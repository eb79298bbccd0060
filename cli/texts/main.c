/* SPDX-License-Identifier: MIT */
/*
 * Runs once, when `uds` is built: writes strerror() and its like with the machine's own texts as a C file, for the program
 * that is linked with musl. Otherwise the same failure would read "Resource busy" from one verb and "Device or resource busy"
 * from another, and from the command inside.
 */
#include <stdio.h>
#include <string.h>

enum {
    ERRORS = 200,
    SIGNALS = 32
};

static void print_table(const char *name, int n, const char *(*get)(int))
{
    printf("static const char *const %s[] = {\n", name);
    for (int i = 0; i < n; i++)
        if (get(i))
            printf("    [%d] = \"%s\",\n", i, get(i));
    puts("};\n");
}

static void print_function(const char *head, const char *table, const char *unknown)
{
    printf("%s\n{\n"
           "    static char text[32];\n"
           "    if (number >= 0 && number < (int)(sizeof %s / sizeof %s[0]) && %s[number])\n"
           "        return (char *)(uintptr_t)%s[number];\n"
           "    snprintf(text, sizeof text, \"%s %%d\", number);\n"
           "    return text;\n}\n\n",
           head, table, table, table, table, unknown);
}

int main(void)
{
    puts("/* Made by cli/texts/main.c. */\n#include <stdint.h>\n#include <stdio.h>\n#include "
         "<string.h>\n");
    print_table("errors", ERRORS, strerrordesc_np);
    puts("const char *strerrordesc_np(int number)\n{\n"
         "    return number >= 0 && number < (int)(sizeof errors / sizeof errors[0]) ? "
         "errors[number] : NULL;\n}\n");
    print_function("char *strerror(int number)", "errors", "Unknown error");
    print_table("signals", SIGNALS, sigdescr_np);
    print_function("char *strsignal(int number)", "signals", "Unknown signal");
    return fflush(stdout) ? 1 : 0;
}
