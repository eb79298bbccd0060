# cmake --install: the four libraries with headers, pkg-config files and a CMake package; programs, their helpers, man
# pages. Whatever is installed finds the rest relative to itself, so `cmake --install build --prefix DIR`, DESTDIR and a
# moved tree all work. Components, for who packages it: runtime (shared libraries), development, programs, manual.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/libuds)

foreach(lib uds uds-event uds-pb uds-sandbox)
  string(REPLACE "-" "_" target ${lib})
  string(REGEX REPLACE "^uds-" "" export ${lib})
  install(TARGETS ${target}_shared EXPORT libuds-${export}
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT runtime NAMELINK_COMPONENT development)
  install(TARGETS ${target} EXPORT libuds-${export}
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
  # One file of targets for each, so that nobody needs libevent to find libuds.
  install(EXPORT libuds-${export} NAMESPACE libuds:: FILE libuds-${export}-targets.cmake
    DESTINATION ${package_dir} COMPONENT development)
endforeach()
configure_package_config_file(cmake/libudsConfig.cmake.in ${CMAKE_BINARY_DIR}/libudsConfig.cmake
  INSTALL_DESTINATION ${package_dir} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/libudsConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/libudsConfig.cmake ${CMAKE_BINARY_DIR}/libudsConfigVersion.cmake
  DESTINATION ${package_dir} COMPONENT development)
install(DIRECTORY libuds/include/uds sandbox/include/sbx DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development
  FILES_MATCHING PATTERN "*.h")

# The prefix as seen from the .pc file; absolute where the packager's directories are.
set(prefix ${CMAKE_INSTALL_PREFIX})
set(libdir ${CMAKE_INSTALL_LIBDIR})
set(includedir ${CMAKE_INSTALL_INCLUDEDIR})
if(NOT IS_ABSOLUTE ${libdir})
  file(RELATIVE_PATH up /prefix/${libdir}/pkgconfig /prefix)
  string(REGEX REPLACE "/$" "" up ${up})
  set(prefix "\${pcfiledir}/${up}")
  set(libdir "\${prefix}/${libdir}")
endif()
if(NOT IS_ABSOLUTE ${includedir})
  set(includedir "\${prefix}/${includedir}")
endif()
function(uds_pkg_config name description requires libs)
  set(PC_NAME ${name})
  set(PC_REQUIRES_PRIVATE ${ARGN})
  set(PC_DESCRIPTION ${description})
  set(PC_REQUIRES ${requires})
  set(PC_LIBS ${libs})
  configure_file(cmake/package.pc.in ${CMAKE_BINARY_DIR}/${name}.pc @ONLY)
  install(FILES ${CMAKE_BINARY_DIR}/${name}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)
endfunction()
uds_pkg_config(libuds "Framed messages, descriptors and identity over Unix sockets" "" "-luds")
uds_pkg_config(libuds-event "libuds driven by libevent" "libuds >= ${PROJECT_VERSION}, libevent_core >= 2.1" "-luds-event")
uds_pkg_config(libuds-pb "protobuf-c services over libuds" "libuds >= ${PROJECT_VERSION}, libprotobuf-c >= 1.4" "-luds-pb")
uds_pkg_config(libuds-sandbox "Confined processes: namespaces, cgroups, jails, seccomp" "libuds >= ${PROJECT_VERSION}"
  "-luds-sandbox" "libseccomp >= 2.5")

install(TARGETS uds-cli uds-broker RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT programs)
if(TARGET uds-bench)
  install(TARGETS uds-bench RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT programs)
  install(TARGETS uds-bench-floor RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/uds COMPONENT programs)
endif()
install(TARGETS uds-router uds-sandbox-init uds-cleaner
  RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/uds COMPONENT programs)
if(UDS_CLI_MUSL)
  install(TARGETS uds-ls uds-sandbox-answer
    RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/uds COMPONENT programs)
endif()
# For who wants bubblewrap's command line under its own name in PATH; not in bin, where the distribution's may be.
file(RELATIVE_PATH uds ${CMAKE_INSTALL_FULL_LIBEXECDIR}/uds ${CMAKE_INSTALL_FULL_BINDIR}/uds)
file(CREATE_LINK ${uds} ${CMAKE_BINARY_DIR}/bwrap SYMBOLIC)
install(FILES ${CMAKE_BINARY_DIR}/bwrap DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/uds COMPONENT programs)
install(FILES cli/uds.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME uds COMPONENT programs)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT manual)
foreach(section 1 3 5 7 8)
  file(GLOB pages ${CMAKE_SOURCE_DIR}/docs/man/*.${section})
  if(pages)
    install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section} COMPONENT manual)
  endif()
endforeach()
