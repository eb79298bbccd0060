# One interface target carries the warnings and the hardening of all our own code.
# Generated protobuf code does not link it.
add_library(uds_options INTERFACE)
target_compile_definitions(uds_options INTERFACE _GNU_SOURCE)
target_compile_options(uds_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wundef -Wvla -Wformat=2
  -Wwrite-strings -Wcast-align -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes
  -Wmissing-declarations -Wold-style-definition -Wswitch-enum -Wimplicit-fallthrough
  -Wnull-dereference -Wdouble-promotion
  -Wno-missing-field-initializers # designated literals leave the rest zero, on purpose
  -Werror=implicit-function-declaration -Werror=incompatible-pointer-types
  -Werror=int-conversion -Werror=return-type)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  target_compile_options(uds_options INTERFACE
    -Wlogical-op -Wduplicated-cond -Wduplicated-branches
    -Wcast-qual) # clang's also refuses string literals for the char * fields of generated protobuf structs
elseif(CMAKE_C_COMPILER_ID MATCHES "Clang")
  # gnu11 extensions that the kernel interface needs, and macros of Criterion.
  target_compile_options(uds_options INTERFACE
    -Wconditional-uninitialized -Wcomma -Wno-gnu-zero-variadic-macro-arguments
    -Wno-gnu-statement-expression)
endif()
if(UDS_WERROR)
  target_compile_options(uds_options INTERFACE -Werror)
endif()

# Hardening. FORTIFY needs an optimised build and fights with ASan.
add_library(uds_hardening INTERFACE)
target_compile_options(uds_hardening INTERFACE
  -fstack-protector-strong -fstack-clash-protection -fno-common
  $<$<STREQUAL:${CMAKE_SYSTEM_PROCESSOR},x86_64>:-fcf-protection>)
if(NOT UDS_SANITIZE AND NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
  target_compile_options(uds_hardening INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
endif()
target_link_options(uds_hardening INTERFACE -Wl,-z,relro,-z,now -Wl,--as-needed)
target_link_libraries(uds_options INTERFACE uds_hardening)
