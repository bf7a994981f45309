# Flags of every target, in one interface library.
#
# x86-64-v3 (AVX2, FMA) is the floor on x86: one binary, and own code gives the same bits on every such machine.
# Contraction is off, and so is everything else that lets the compiler reorder arithmetic (never -ffast-math): a
# fused multiply-add appears where the code asks for it. Loops that may be vectorised over a sum say so themselves.
add_library(moe_flags INTERFACE)
target_compile_options(moe_flags INTERFACE
  -Wall -Wextra -Wpointer-arith -Wshadow -Wvla -fno-math-errno -fno-trapping-math -ffp-contract=off
  $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes> $<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes>
  $<$<CONFIG:Release>:-O3>
  # clang warns where it cannot vectorise a loop that asks for it, as under a sanitizer
  $<$<COMPILE_LANG_AND_ID:C,Clang>:-Wno-pass-failed>)
if(MOE_WERROR)
  target_compile_options(moe_flags INTERFACE -Werror)
endif()
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  target_compile_options(moe_flags INTERFACE -march=x86-64-v3)
endif()
if(MOE_SANITIZE)
  target_compile_options(moe_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=undefined
    -fno-omit-frame-pointer -g
    $<$<COMPILE_LANG_AND_ID:C,GNU>:-Wno-format-truncation>) # gcc's guesses go wrong in instrumented code
  target_link_options(moe_flags INTERFACE -fsanitize=address,undefined)
endif()
target_compile_definitions(moe_flags INTERFACE _POSIX_C_SOURCE=200809L _DEFAULT_SOURCE)
target_include_directories(moe_flags INTERFACE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR})

# moe_room(NAME [LIBS...]): a static library from every .c and .cc file of the current folder (and below).
function(moe_room name)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.c
       ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cc)
  if(NOT sources)
    return()
  endif()
  add_library(moe_${name} STATIC ${sources})
  target_link_libraries(moe_${name} PUBLIC moe_flags ${ARGN})
endfunction()
