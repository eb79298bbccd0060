# uds_unit_test(NAME source [library…]): one Criterion program, one ctest entry.
function(uds_unit_test name source)
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE ${ARGN} uds_test_support PkgConfig::CRITERION uds_options)
  add_test(NAME unit/${name} COMMAND ${name} --jobs=2 --timeout=60 --verbose) # which says what it skips
  # Criterion leaves exit status 0 after a leak report unless the sanitizer aborts (measured).
  set_tests_properties(unit/${name} PROPERTIES TIMEOUT 120 LABELS unit
    ENVIRONMENT "ASAN_OPTIONS=abort_on_error=1:detect_leaks=1;UBSAN_OPTIONS=abort_on_error=1:print_stacktrace=1")
endfunction()

# uds_plain_test(NAME source [library…]): a program with its own main; exit 0 passed, 77 skipped (reason on stdout).
function(uds_plain_test name source)
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE ${ARGN} uds_test_support uds_options)
  add_test(NAME plain/${name} COMMAND ${name})
  set_tests_properties(plain/${name} PROPERTIES TIMEOUT 120 SKIP_RETURN_CODE 77 LABELS plain)
endfunction()

# uds_script_test(NAME script [argument…]): a script that runs the built programs; $UDS_BIN is where they are.
function(uds_script_test name script)
  add_test(NAME integration/${name} COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/${script} ${ARGN})
  set_tests_properties(integration/${name} PROPERTIES TIMEOUT 180 SKIP_RETURN_CODE 77 LABELS integration
    RUN_SERIAL TRUE
    ENVIRONMENT "UDS_BIN=${CMAKE_BINARY_DIR}/bin;UDS_SOURCE=${CMAKE_SOURCE_DIR};UDS_BUILD=${CMAKE_BINARY_DIR};UDS_SANITIZED=$<BOOL:${UDS_SANITIZE}>")
endfunction()
