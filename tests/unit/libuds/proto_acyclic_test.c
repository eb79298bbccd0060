/* SPDX-License-Identifier: MIT */
/*
 * protobuf-c unpacks by recursion without a limit, so no message type that a peer can send us may contain itself. The
 * walk starts from everything that a service takes or gives, in both directions, and from the event that is published.
 */
#include <criterion/criterion.h>
#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <uds/pb.h>

#include "admin.pb-c.h"
#include "guard.h"
#include "supervisor.pb-c.h"
#include "test.pb-c.h"

static void check_service(const ProtobufCServiceDescriptor *service)
{
    cr_assert_gt(service->n_methods, 0);
    for (unsigned i = 0; i < service->n_methods; i++) {
        const ProtobufCMethodDescriptor *method = &service->methods[i];

        cr_assert(uds_pb_is_acyclic(method->input), "%s is recursive", method->input->name);
        cr_assert(uds_pb_is_acyclic(method->output), "%s is recursive", method->output->name);
    }
}

Test(proto_acyclic, no_message_of_ours_contains_itself)
{
    UDS_TEST_GUARD;
    check_service(&uds__supervisor__router__descriptor);
    check_service(&uds__supervisor__supervisor__descriptor);
    check_service(&uds__admin__broker__descriptor);
    cr_assert(uds_pb_is_acyclic(&uds__admin__sandbox_event__descriptor));
}

/* The names of all messages that the walk above saw. */
struct names {
    const char *names[200];
    size_t count;
};

static void reach(struct names *names, const ProtobufCMessageDescriptor *desc)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->names[i], desc->short_name) == 0)
            return;
    cr_assert_lt(names->count, 200);
    names->names[names->count++] = desc->short_name;
    for (unsigned i = 0; i < desc->n_fields; i++)
        if (desc->fields[i].type == PROTOBUF_C_TYPE_MESSAGE)
            reach(names, desc->fields[i].descriptor);
}

static void reach_service(struct names *names, const ProtobufCServiceDescriptor *service)
{
    cr_assert_lt(names->count, 200);
    names->names[names->count++] = service->short_name;
    for (unsigned i = 0; i < service->n_methods; i++) {
        reach(names, service->methods[i].input);
        reach(names, service->methods[i].output);
    }
}

/* Whoever adds a .proto, a service or a message that no service mentions is told to add it here. */
Test(proto_acyclic, looks_at_every_message_and_service_of_the_tree)
{
    UDS_TEST_GUARD;
    struct names names = {.count = 0};
    glob_t found;
    unsigned seen = 0;

    reach_service(&names, &uds__supervisor__router__descriptor);
    reach_service(&names, &uds__supervisor__supervisor__descriptor);
    reach_service(&names, &uds__admin__broker__descriptor);
    reach(&names, &uds__admin__sandbox_event__descriptor);
    cr_assert_eq(glob(UDS_TEST_DATA "/../proto/*.proto", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        FILE *f = fopen(found.gl_pathv[i], "re");
        char line[512], name[128];

        cr_assert_not_null(f);
        while (fgets(line, sizeof(line), f)) {
            bool known = false;

            if (sscanf(line, " message %127[A-Za-z0-9_]", name) != 1 &&
                sscanf(line, " service %127[A-Za-z0-9_]", name) != 1)
                continue;
            for (size_t n = 0; n < names.count; n++)
                known = known || strcmp(names.names[n], name) == 0;
            cr_expect(known, "%s: %s is not looked at", found.gl_pathv[i], name);
            seen++;
        }
        (void)fclose(f);
    }
    globfree(&found);
    cr_expect_geq(seen, 15);
}

Test(proto_acyclic, finds_a_type_that_contains_itself)
{
    UDS_TEST_GUARD;
    cr_assert_not(uds_pb_is_acyclic(&uds__test__knot__descriptor));
}

Test(proto_acyclic, finds_a_cycle_of_two)
{
    UDS_TEST_GUARD;
    cr_assert_not(uds_pb_is_acyclic(&uds__test__left__descriptor));
    cr_assert_not(uds_pb_is_acyclic(&uds__test__right__descriptor));
}

Test(proto_acyclic, finds_a_cycle_through_a_map)
{
    UDS_TEST_GUARD;
    cr_assert_not(uds_pb_is_acyclic(&uds__test__mapped__descriptor));
}

Test(proto_acyclic, finds_a_cycle_further_down)
{
    UDS_TEST_GUARD;
    cr_assert_not(uds_pb_is_acyclic(&uds__test__above_knot__descriptor));
}

Test(proto_acyclic, takes_a_type_that_is_reached_twice_for_no_cycle)
{
    UDS_TEST_GUARD;
    cr_assert(uds_pb_is_acyclic(&uds__test__diamond__descriptor));
    cr_assert(uds_pb_is_acyclic(&uds__test__words__descriptor));
}
