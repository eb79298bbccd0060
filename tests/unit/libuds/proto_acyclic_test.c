/* SPDX-License-Identifier: MIT */
/*
 * protobuf-c unpacks by recursion without a limit, so no message type that a peer can send us may contain itself. The
 * walk starts from everything that a service takes or gives, in both directions, and from the event that is published.
 */
#include <criterion/criterion.h>

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
