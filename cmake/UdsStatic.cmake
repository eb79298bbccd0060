# uds_static_program(target): a static program of few pages that is started with every sandbox.
#
# musl where it is there (Debian: musl-tools), because of how programs begin: glibc asks the processor what it can do by
# some twenty cpuid instructions, each of which leaves a virtual machine. Clone, exec and exit of an empty program took
# 0.48 ms with glibc and 0.18 with musl (VM of two CPUs). glibc otherwise: the same program, later.
option(UDS_MUSL "Link uds and the sandbox's static helpers with musl where gcc's specs for it are found" ON)
set(UDS_MUSL_SPECS "")
if(UDS_MUSL AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
  execute_process(COMMAND ${CMAKE_C_COMPILER} -print-multiarch OUTPUT_VARIABLE multiarch
    OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  string(REPLACE "-gnu" "-musl" musl "${multiarch}")
  find_file(musl_specs musl-gcc.specs PATHS /usr/lib/${musl} /usr/lib/musl/lib /usr/local/musl/lib NO_DEFAULT_PATH NO_CACHE)
  find_path(kernel_headers linux/openat2.h NO_CACHE)
  find_path(kernel_asm asm/unistd.h PATHS /usr/include/${multiarch} NO_CACHE)
  find_path(queue_header sys/queue.h PATHS /usr/include/${multiarch} NO_CACHE)
  if(musl_specs AND kernel_headers AND kernel_asm AND queue_header)
    # The kernel's headers and nothing of glibc's, which lie beside them, but the BSD macros, which musl does not have.
    set(UDS_MUSL_HEADERS ${CMAKE_BINARY_DIR}/kernel-headers)
    file(MAKE_DIRECTORY ${UDS_MUSL_HEADERS})
    file(CREATE_LINK ${kernel_headers}/linux ${UDS_MUSL_HEADERS}/linux SYMBOLIC)
    file(CREATE_LINK ${kernel_headers}/asm-generic ${UDS_MUSL_HEADERS}/asm-generic SYMBOLIC)
    file(CREATE_LINK ${kernel_asm}/asm ${UDS_MUSL_HEADERS}/asm SYMBOLIC)
    file(MAKE_DIRECTORY ${UDS_MUSL_HEADERS}/sys)
    file(CREATE_LINK ${queue_header}/sys/queue.h ${UDS_MUSL_HEADERS}/sys/queue.h SYMBOLIC)
    # They know no program that is static and at no fixed address, but what begins it, rcrt1.o, may lie beside them.
    get_filename_component(musl_directory ${musl_specs} DIRECTORY)
    file(READ ${musl_specs} specs)
    if(EXISTS ${musl_directory}/rcrt1.o)
      string(REPLACE "/Scrt1.o" "/rcrt1.o" specs "${specs}")
      string(REPLACE "%{static:-static}" "%{static:-static -pie --no-dynamic-linker -z text}" specs "${specs}")
    endif()
    set(UDS_MUSL_SPECS ${musl_specs})
    set(UDS_MUSL_LINK_SPECS ${CMAKE_BINARY_DIR}/musl.specs)
    file(WRITE ${UDS_MUSL_LINK_SPECS} "${specs}")
  endif()
endif()

# How what goes into a static program is compiled.
function(uds_static_options target)
  target_compile_definitions(${target} PRIVATE _GNU_SOURCE)
  get_target_property(warnings uds_options INTERFACE_COMPILE_OPTIONS)
  target_compile_options(${target} PRIVATE ${warnings} -O2)
  target_link_libraries(${target} PRIVATE uds_hardening)
  if(UDS_MUSL_SPECS)
    target_include_directories(${target} SYSTEM PRIVATE ${CMAKE_SOURCE_DIR}/sandbox/musl ${UDS_MUSL_HEADERS})
    target_compile_options(${target} PRIVATE -specs=${UDS_MUSL_SPECS} -fPIE)
  endif()
endfunction()

function(uds_static_program target)
  uds_static_options(${target})
  target_link_options(${target} PRIVATE -static)
  if(UDS_MUSL_SPECS)
    target_link_options(${target} PRIVATE -specs=${UDS_MUSL_LINK_SPECS})
  endif()
endfunction()

# `uds` itself the same way, as `uds run` begins with every sandbox too (docs/decisions/0013). Not where musl is not, in
# sanitizer builds, and where what is built cannot be run here (cli/texts).
set(UDS_CLI_MUSL OFF)
if(UDS_MUSL_SPECS AND NOT UDS_SANITIZE AND (NOT CMAKE_CROSSCOMPILING OR CMAKE_CROSSCOMPILING_EMULATOR))
  set(UDS_CLI_MUSL ON)
endif()

# uds_musl_library(NAME SOURCE…): sources of the tree, compiled a second time, for that program. The first time has seen to it
# that no number is converted by accident; musl's types of the same system calls differ (msg_controllen, ioctl's request).
function(uds_musl_library name)
  add_library(${name} STATIC ${ARGN})
  uds_static_options(${name})
  target_compile_options(${name} PRIVATE -Wno-conversion -Wno-sign-conversion -Wno-overflow -Wno-incompatible-pointer-types)
endfunction()
