# uds_library(NAME SOURCES file… [USES uds] [NEEDS EVENT|PROTOBUFC] [HIDES SECCOMP] [DEFINES definition…])
# A library that is installed: its public headers in include/, what it exports in libNAME.sym. Compiled once, made static (target
# NAME with "_" for "-") and shared (…_shared). Whoever uses it needs what it NEEDS; of what it HIDES only the static one's users.
# Installed, a dependency is found under another name than in this build (cmake/libudsConfig.cmake.in).
function(uds_library name)
  cmake_parse_arguments(ARG "" "USES;NEEDS;HIDES" "SOURCES;DEFINES" ${ARGN})
  string(REPLACE "-" "_" target ${name})
  string(REGEX REPLACE "^uds-" "" export ${name})
  set(needs)
  if(ARG_NEEDS)
    set(needs $<BUILD_INTERFACE:PkgConfig::${ARG_NEEDS}> $<INSTALL_INTERFACE:PkgConfig::libuds_${ARG_NEEDS}>)
  endif()
  set(hidden)
  if(ARG_HIDES)
    set(hidden $<BUILD_INTERFACE:PkgConfig::${ARG_HIDES}> $<INSTALL_INTERFACE:PkgConfig::libuds_${ARG_HIDES}>)
  endif()
  set(include $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)

  add_library(${target}_objects OBJECT ${ARG_SOURCES})
  target_include_directories(${target}_objects PRIVATE include src)
  target_compile_definitions(${target}_objects PRIVATE ${ARG_DEFINES})
  target_link_libraries(${target}_objects PRIVATE ${ARG_USES} ${needs} ${hidden} uds_options)
  # As the library's own calls are bound when it is linked (below), the compiler may inline what it exports.
  target_compile_options(${target}_objects PRIVATE -fno-semantic-interposition)

  add_library(${target} STATIC $<TARGET_OBJECTS:${target}_objects>)
  target_include_directories(${target} PUBLIC ${include})
  target_link_libraries(${target} PUBLIC ${ARG_USES} ${needs} ${hidden})
  set_target_properties(${target} PROPERTIES OUTPUT_NAME ${name} EXPORT_NAME ${export}-static)

  # What a program may call is what the .sym file says. The library's own calls are bound when it is linked: they cost
  # no more than in the static one, and no program gets between them.
  set(sym ${CMAKE_CURRENT_SOURCE_DIR}/lib${name}.sym)
  add_library(${target}_shared SHARED $<TARGET_OBJECTS:${target}_objects>)
  target_include_directories(${target}_shared PUBLIC ${include})
  if(ARG_USES)
    target_link_libraries(${target}_shared PUBLIC ${ARG_USES}_shared)
    # Who links this one alone has a run path for it, and not for what it uses (CMAKE_SKIP_INSTALL_RPATH: a distribution's).
    set_target_properties(${target}_shared PROPERTIES INSTALL_RPATH $ORIGIN)
  endif()
  if(ARG_HIDES)
    target_link_libraries(${target}_shared PRIVATE $<BUILD_INTERFACE:PkgConfig::${ARG_HIDES}>)
  endif()
  target_link_libraries(${target}_shared PUBLIC ${needs} PRIVATE $<BUILD_INTERFACE:uds_options>)
  target_link_options(${target}_shared PRIVATE -Wl,--version-script=${sym} -Wl,-Bsymbolic-functions)
  if(NOT UDS_SANITIZE) # clang leaves the sanitizers' symbols to the program
    target_link_options(${target}_shared PRIVATE -Wl,-z,defs)
  endif()
  set_target_properties(${target}_shared PROPERTIES OUTPUT_NAME ${name} EXPORT_NAME ${export}
    VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR} LINK_DEPENDS ${sym})

  # The names that the installed package has, for who takes the tree into his own.
  add_library(libuds::${export} ALIAS ${target}_shared)
  add_library(libuds::${export}-static ALIAS ${target})
endfunction()
