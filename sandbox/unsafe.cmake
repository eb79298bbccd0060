# bin/unsafe: programs of the sandbox whose defences a test can take away at run time (src/without.h says how), to see that
# a check of that defence can fail. Nothing of it is part of what is installed; every one of them says so when it starts.
set(without src/without.c)
set(unsafe_dir ${CMAKE_BINARY_DIR}/bin/unsafe)

add_library(sbx_unsafe STATIC EXCLUDE_FROM_ALL ${sources} ${without} src/without-plan.c)
target_include_directories(sbx_unsafe PUBLIC include PRIVATE src)
target_compile_definitions(sbx_unsafe PRIVATE UDS_LIBEXECDIR="${unsafe_dir}"
  UDS_LIBEXECDIR_FROM_LIBRARY="" UDS_UNSAFE_TESTING)
target_link_libraries(sbx_unsafe PUBLIC uds PRIVATE PkgConfig::SECCOMP uds_options)

function(uds_unsafe_helper name)
  get_target_property(sources ${name} SOURCES)
  add_executable(${name}-unsafe ${sources} ${without})
  target_include_directories(${name}-unsafe PRIVATE src include)
  target_compile_definitions(${name}-unsafe PRIVATE UDS_UNSAFE_TESTING)
  uds_static_program(${name}-unsafe)
  set_target_properties(${name}-unsafe PROPERTIES OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${unsafe_dir})
endfunction()
uds_unsafe_helper(uds-sandbox-init)
uds_unsafe_helper(uds-cleaner)

# uds_unsafe_program(NAME TARGET SOURCE… LIBRARIES library…): the whole archive, or libraries in between would bring the product's.
function(uds_unsafe_program name target)
  cmake_parse_arguments(arg "" "" "LIBRARIES" ${ARGN})
  add_executable(${target} ${arg_UNPARSED_ARGUMENTS})
  target_link_libraries(${target} PRIVATE $<LINK_LIBRARY:WHOLE_ARCHIVE,sbx_unsafe> ${arg_LIBRARIES} uds_options)
  set_target_properties(${target} PROPERTIES OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${unsafe_dir})
endfunction()
uds_unsafe_program(uds uds-unsafe ${CMAKE_SOURCE_DIR}/cli/main.c LIBRARIES cli_core)
uds_unsafe_program(sbx-launch sbx-launch-unsafe ${CMAKE_SOURCE_DIR}/tests/integration/helpers/sbx-launch.c)
