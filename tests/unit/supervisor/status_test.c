/* SPDX-License-Identifier: MIT */
/*
 * Status lines: aligned for people, valid JSON for programs, and no control character of a
 * stranger's text in either.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "guard.h"
#include "status.h"

static char *say(bool json, const struct status_fact *facts, const char *text)
{
    struct status status;
    char *out = NULL;
    size_t size;
    FILE *memory = open_memstream(&out, &size);

    cr_assert_not_null(memory);
    status_init(&status, memory, json);
    status_fit(&status, "thumbnailer");
    status_say(&status, "decoder", "ended", facts, "%s", text);
    fclose(memory);
    return out;
}

Test(status, lines_are_aligned_with_the_longest_name)
{
    UDS_TEST_GUARD;
    char *line = say(false, NULL, "exited");

    cr_expect_str_eq(line, "decoder:     exited\n");
    free(line);
}

Test(status, a_line_stays_one_line_without_control_characters)
{
    UDS_TEST_GUARD;
    char *line = say(false, NULL, "a\nb\x1b[31m");

    cr_expect_str_eq(line, "decoder:     a?b?[31m\n");
    free(line);
}

Test(status, json_has_facts_by_type_and_escapes_text)
{
    UDS_TEST_GUARD;
    const struct status_fact facts[] = {{"cause", "o\"o\\m", 0}, {"value", NULL, 64}, {0}};
    char *line = say(true, facts, "a\nb");

    cr_expect_not_null(
        strstr(line, ",\"subject\":\"decoder\",\"event\":\"ended\",\"cause\":\"o\\\"o\\\\m\","
                     "\"value\":64,\"text\":\"a\\u000ab\"}\n"),
        "%s", line);
    cr_expect_eq(strncmp(line, "{\"time_ms\":", 11), 0, "%s", line);
    free(line);
}
