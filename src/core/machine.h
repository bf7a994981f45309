/* machine.h - what the machine lets this process have. */
#ifndef CORE_MACHINE_H
#define CORE_MACHINE_H

#include <stdint.h>

/* Bytes of memory: what is installed, or less where a control group (version 1 or 2) of this process, such as
 * a container's or a batch system's, sets a limit. INT64_MAX if the system does not say. */
int64_t machine_memory(void);

#endif
