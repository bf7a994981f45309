/* tables_source_c.h - tables of source C (slicing). */
#ifndef ANALYSIS_TABLES_SOURCE_C_H
#define ANALYSIS_TABLES_SOURCE_C_H

#include "analysis/tables.h"

extern const struct table source_c_tables[];
extern const int32_t source_c_table_count;

#endif
