# ASan + UBSan on everything that links uds_sanitize. uds-sandbox-init does not: it is static, and it lives inside
# seccomp and RLIMIT_AS, under which LSan and the shadow memory cannot work.
add_library(uds_sanitize INTERFACE)
if(UDS_SANITIZE)
  target_compile_options(uds_sanitize INTERFACE
    -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  target_link_options(uds_sanitize INTERFACE -fsanitize=address,undefined)
  # The router's seccomp filter is widened at compile time for the sanitizers' own system calls.
  target_compile_definitions(uds_sanitize INTERFACE UDS_SANITIZED=1)
endif()
target_link_libraries(uds_options INTERFACE uds_sanitize)
