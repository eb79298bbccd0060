# Pages of section 3 are made from the public headers, where the contracts are written once (docs/man/from-header.py).
find_package(Python3 REQUIRED COMPONENTS Interpreter)
set(man_dir ${CMAKE_SOURCE_DIR}/docs/man)
set(UDS_MAN_MADE ${CMAKE_BINARY_DIR}/man)
file(MAKE_DIRECTORY ${UDS_MAN_MADE})
file(GLOB templates CONFIGURE_DEPENDS ${man_dir}/uds_*.3.in)
set(pages)
foreach(template ${templates})
  get_filename_component(page ${template} NAME_WE)
  string(REGEX REPLACE "^uds_" "" noun ${page})
  set(header ${CMAKE_SOURCE_DIR}/libuds/include/uds/${noun}.h)
  add_custom_command(OUTPUT ${UDS_MAN_MADE}/${page}.3
    COMMAND Python3::Interpreter ${man_dir}/from-header.py ${header} ${template} ${UDS_MAN_MADE}/${page}.3
    DEPENDS ${man_dir}/from-header.py ${header} ${template} VERBATIM)
  list(APPEND pages ${UDS_MAN_MADE}/${page}.3)
endforeach()
add_custom_target(man ALL DEPENDS ${pages})
install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man3 COMPONENT manual)
install(DIRECTORY ${UDS_MAN_MADE}/functions/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man3 COMPONENT manual)
