# uds_static_program(target): a static program of few pages that is started with every sandbox.
#
# musl where it is there (Debian: musl-tools), because of how programs begin: glibc asks the processor what it can do by
# some twenty cpuid instructions, each of which leaves a virtual machine. Clone, exec and exit of an empty program took
# 0.48 ms with glibc and 0.18 with musl (VM of two CPUs). glibc otherwise: the same program, later.
option(UDS_MUSL "Link the sandbox's static helpers with musl where gcc's specs for it are found" ON)
set(UDS_MUSL_SPECS "")
if(UDS_MUSL AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
  execute_process(COMMAND ${CMAKE_C_COMPILER} -print-multiarch OUTPUT_VARIABLE multiarch
    OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  string(REPLACE "-gnu" "-musl" musl "${multiarch}")
  find_file(musl_specs musl-gcc.specs PATHS /usr/lib/${musl} /usr/lib/musl/lib /usr/local/musl/lib NO_DEFAULT_PATH NO_CACHE)
  find_path(kernel_headers linux/openat2.h NO_CACHE)
  find_path(kernel_asm asm/unistd.h PATHS /usr/include/${multiarch} NO_CACHE)
  if(musl_specs AND kernel_headers AND kernel_asm)
    # The kernel's headers and nothing of glibc's, which lie beside them.
    set(UDS_MUSL_HEADERS ${CMAKE_BINARY_DIR}/kernel-headers)
    file(MAKE_DIRECTORY ${UDS_MUSL_HEADERS})
    file(CREATE_LINK ${kernel_headers}/linux ${UDS_MUSL_HEADERS}/linux SYMBOLIC)
    file(CREATE_LINK ${kernel_headers}/asm-generic ${UDS_MUSL_HEADERS}/asm-generic SYMBOLIC)
    file(CREATE_LINK ${kernel_asm}/asm ${UDS_MUSL_HEADERS}/asm SYMBOLIC)
    set(UDS_MUSL_SPECS ${musl_specs})
  endif()
endif()

function(uds_static_program target)
  target_compile_definitions(${target} PRIVATE _GNU_SOURCE)
  get_target_property(warnings uds_options INTERFACE_COMPILE_OPTIONS)
  target_compile_options(${target} PRIVATE ${warnings} -O2)
  target_link_libraries(${target} PRIVATE uds_hardening)
  target_link_options(${target} PRIVATE -static)
  if(UDS_MUSL_SPECS)
    target_include_directories(${target} SYSTEM PRIVATE ${CMAKE_SOURCE_DIR}/sandbox/musl ${UDS_MUSL_HEADERS})
    target_compile_options(${target} PRIVATE -specs=${UDS_MUSL_SPECS})
    target_link_options(${target} PRIVATE -specs=${UDS_MUSL_SPECS})
  endif()
endfunction()
