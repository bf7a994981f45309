/* tables_source_d.h - tables of source D (moedl). */
#ifndef ANALYSIS_TABLES_SOURCE_D_H
#define ANALYSIS_TABLES_SOURCE_D_H

#include "analysis/tables.h"

extern const struct table source_d_tables[];
extern const int32_t source_d_table_count;

#endif
