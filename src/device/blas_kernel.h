/* blas_kernel.h - which kernel of the BLAS a program should run on. */
#ifndef DEVICE_BLAS_KERNEL_H
#define DEVICE_BLAS_KERNEL_H

/* The value of OPENBLAS_CORETYPE with which a program should execute itself again, or NULL if the kernel in
 * use is right, was chosen by the user (the variable is set), or cannot be changed. An OpenBLAS older than
 * the processor takes a kernel of an older one: on a processor with AVX-512 an AVX2 kernel costs nearly half
 * of the speed. */
const char *blas_preferred_kernel(void);

#endif
