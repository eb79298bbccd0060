find_program(PROTOC_C protoc-c REQUIRED)

# uds_proto_library(NAME file.proto…): protoc-c into the build tree, a static library, its directory as include path.
function(uds_proto_library name)
  set(out ${CMAKE_CURRENT_BINARY_DIR})
  set(sources)
  foreach(proto ${ARGN})
    get_filename_component(base ${proto} NAME_WE)
    get_filename_component(abs ${proto} ABSOLUTE)
    get_filename_component(dir ${abs} DIRECTORY)
    add_custom_command(
      OUTPUT ${out}/${base}.pb-c.c ${out}/${base}.pb-c.h
      COMMAND ${PROTOC_C} --c_out=${out} -I${dir} ${abs}
      DEPENDS ${abs} VERBATIM)
    list(APPEND sources ${out}/${base}.pb-c.c ${out}/${base}.pb-c.h)
  endforeach()
  add_library(${name} STATIC ${sources})
  target_include_directories(${name} SYSTEM PUBLIC ${out})
  target_link_libraries(${name} PUBLIC PkgConfig::PROTOBUFC uds_sanitize)
endfunction()
