/* tables_source_a.h - tables of source A (moe-vs-dense). */
#ifndef ANALYSIS_TABLES_SOURCE_A_H
#define ANALYSIS_TABLES_SOURCE_A_H

#include "analysis/tables.h"

extern const struct table source_a_tables[];
extern const int32_t source_a_table_count;

#endif
