# The CUDA module: cuda/*.cu in a file of its own beside the program, which opens it at run time. AUTO builds it where
# nvcc is found (also in /usr/local/cuda/bin), ON insists, OFF leaves it out.
set(MOE_CUDA AUTO CACHE STRING "Build the CUDA module: AUTO, ON or OFF")
set_property(CACHE MOE_CUDA PROPERTY STRINGS AUTO ON OFF)

set(MOE_HAVE_CUDA OFF)
if(NOT MOE_CUDA STREQUAL "OFF" AND NOT MOE_SANITIZE)
  find_program(MOE_NVCC nvcc HINTS ENV CUDA_PATH ENV CUDA_HOME PATHS /usr/local/cuda PATH_SUFFIXES bin)
  if(MOE_NVCC)
    set(CMAKE_CUDA_COMPILER ${MOE_NVCC})
    if(NOT CMAKE_CUDA_COMPILER_LAUNCHER AND CMAKE_CXX_COMPILER_LAUNCHER)
      set(CMAKE_CUDA_COMPILER_LAUNCHER ${CMAKE_CXX_COMPILER_LAUNCHER})
    endif()
    # machine code for two generations, and PTX that newer ones translate when they load it
    set(CMAKE_CUDA_ARCHITECTURES 80-real 90)
    set(CMAKE_CUDA_STANDARD 20)
    enable_language(CUDA)
    set(MOE_HAVE_CUDA ON)
  elseif(MOE_CUDA STREQUAL "ON")
    message(FATAL_ERROR "MOE_CUDA=ON, but no nvcc is found; put it on PATH or set CUDA_PATH")
  endif()
endif()
message(STATUS "CUDA module: ${MOE_HAVE_CUDA}")
