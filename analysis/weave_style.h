/* weave_style.h - the style sheet of report.html. */
#ifndef ANALYSIS_WEAVE_STYLE_H
#define ANALYSIS_WEAVE_STYLE_H

extern const char weave_style[];

#endif
