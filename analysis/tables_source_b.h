/* tables_source_b.h - tables of source B (cifar-hierarchy). */
#ifndef ANALYSIS_TABLES_SOURCE_B_H
#define ANALYSIS_TABLES_SOURCE_B_H

#include "analysis/tables.h"

extern const struct table source_b_tables[];
extern const int32_t source_b_table_count;

#endif
