/* test: rooms=core label=fast */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/progress.h"
#include "core/text.h"

enum { ROWS = 40, COLUMNS = 256 };

/* A terminal that understands what progress writes: new lines, returns, cursor up, erase to the end of line
 * and screen. */
struct screen {
    char cells[ROWS][COLUMNS];
    int row, column;
    int widest; /* furthest column written */
};

static void erase(struct screen *s, int row, int from) {
    memset(s->cells[row] + from, 0, (size_t)(COLUMNS - from));
}

static size_t escape(struct screen *s, const char *text) {
    int n = 1, used = 0;
    if (sscanf(text, "\033[%dA%n", &n, &used) == 1 && used > 0) {
        s->row -= n;
        assert_true(s->row >= 0); /* never above what it drew itself */
        return (size_t)used;
    }
    assert_int_equal(text[1], '[');
    assert_true(text[2] == 'K' || text[2] == 'J');
    erase(s, s->row, s->column);
    for (int row = s->row + 1; text[2] == 'J' && row < ROWS; row++)
        erase(s, row, 0);
    return 3;
}

static void show(struct screen *s, const char *text) {
    for (size_t i = 0; text[i] != 0;) {
        if (text[i] == '\033') {
            i += escape(s, text + i);
        } else if (text[i] == '\n') {
            s->row++;
            s->column = 0;
            assert_true(s->row < ROWS);
            i++;
        } else if (text[i] == '\r') {
            s->column = 0;
            i++;
        } else {
            s->cells[s->row][s->column++] = text[i++];
            if (s->column > s->widest) s->widest = s->column;
        }
    }
}

/* Runs `act` with a progress display and gives back what it wrote (to be freed). */
static char *written(const struct progress_options *options, void (*act)(struct progress *)) {
    char *text = NULL;
    size_t size = 0;
    moe_err err = {0};
    struct progress *p = NULL;
    struct progress_options used = *options;
    used.out = open_memstream(&text, &size);
    assert_non_null(used.out);
    assert_int_equal(progress_open(&used, 100, &p, &err), MOE_OK);
    act(p);
    fclose(used.out);
    return text;
}

static struct progress_report at(int64_t step) {
    return (struct progress_report){.step = step,
                                    .total_steps = 100,
                                    .loss = 5.25,
                                    .validation = step > 50 ? 5.5 : NAN,
                                    .tokens_per_second = 12345,
                                    .seconds_left = (double)(100 - step)};
}

static void two_runs(struct progress *p) {
    struct progress_report r;
    progress_start(p, 0, "dense.corrected.s1", 100);
    progress_start(p, 1, "top2@moe.lb_coeff=0.05.corrected.s1", 100.5);
    for (int64_t step = 1; step <= 60; step++) {
        r = at(step);
        progress_update(p, 0, &r, 100 + 0.5 * (double)step);
        r = at(step / 2);
        progress_update(p, 1, &r, 100 + 0.5 * (double)step);
    }
    progress_end(p, 0, PROGRESS_DONE, NULL, 131);
    progress_end(p, 1, PROGRESS_FAILED, "the disk is full\n\033[2J", 132);
    progress_close(p, 132);
}

static void a_terminal_shows_each_run_once(void **state) {
    (void)state;
    const struct progress_options options = {
        .terminal = true, .columns = 120, .rows = 24, .runs = 3, .done_before = 7};
    struct screen *s = calloc(1, sizeof *s);
    char *text = written(&options, two_runs);
    char *middle = strstr(text, "[7/10]"); /* only a failed run ends without counting as done */
    assert_null(middle);
    show(s, text);
    assert_string_equal(s->cells[0],
                        "[8/10] dense.corrected.s1: done after 60 steps in 0:31, validation 5.5000");
    assert_string_equal(s->cells[1],
                        "[8/10] top2@moe.lb_coeff=0.05.corrected.s1: FAILED after 30 steps in 0:31: the disk "
                        "is full??[2J");
    assert_int_equal(strncmp(s->cells[2], "8 of 10 runs done, 1 failed, 0 running, 0:32 elapsed, ", 54), 0);
    assert_string_equal(s->cells[3], "");
    assert_int_equal(s->row, 3); /* the cursor stands below */
    free(text);
    free(s);
}

static void start_two(struct progress *p) {
    struct progress_report r = at(25);
    progress_start(p, 0, "dense.corrected.s1", 100);
    progress_start(p, 1, "\xc3\xa4\xc3\xb6", 100);
    progress_update(p, 0, &r, 101);
    progress_tick(p, 120);
    progress_close(p, 120);
}

static void lines_fit_every_width(void **state) {
    (void)state;
    for (int columns = 1; columns <= 200; columns++) {
        const struct progress_options options = {.terminal = true, .columns = columns, .rows = 24, .runs = 2};
        struct screen *s = calloc(1, sizeof *s);
        char *text = written(&options, start_two);
        for (char *line = strtok(text, "\n\r"); line != NULL; line = strtok(NULL, "\n\r")) {
            char *end = strstr(line, "\033[K");
            if (end == NULL || line[0] == '\033') continue;
            *end = 0;
            if (text_columns(line) > (size_t)columns) fail_msg("%d columns: '%s'", columns, line);
        }
        free(text);
        free(s);
    }
    const struct progress_options options = {.terminal = true, .columns = 110, .rows = 24, .runs = 2};
    struct screen *s = calloc(1, sizeof *s);
    char *text = written(&options, start_two);
    show(s, text);
    assert_string_equal(s->cells[0],
                        "dense.corrected.s1  [####--------------]      25/100     loss  5.2500  val       -  "
                        "12.3k tok/s     1:15 left");
    assert_int_equal(strncmp(s->cells[1], "\xc3\xa4\xc3\xb6    ", 8), 0);
    free(text);
    free(s);
}

static void start_many(struct progress *p) {
    char name[32];
    for (int32_t i = 0; i < 30; i++) {
        snprintf(name, sizeof name, "run%d", i);
        progress_start(p, i, name, 100);
    }
    progress_close(p, 120);
}

static void more_runs_than_rows_do_not_scroll(void **state) {
    (void)state;
    const struct progress_options options = {.terminal = true, .columns = 80, .rows = 10, .runs = 30};
    struct screen *s = calloc(1, sizeof *s);
    char *text = written(&options, start_many);
    show(s, text);
    assert_int_equal(strncmp(s->cells[6], "run6 ", 5), 0);
    assert_int_equal(strncmp(s->cells[7], "and 23 more", 11), 0);
    assert_int_equal(strncmp(s->cells[8], "0 of 30 runs done, 30 running", 29), 0);
    assert_int_equal(s->row, 9);
    free(text);
    free(s);
}

static void a_log_has_few_plain_lines(void **state) {
    (void)state;
    const struct progress_options options = {.log_seconds = 10, .runs = 2};
    char *text = written(&options, two_runs);
    assert_string_equal(
        text,
        "dense.corrected.s1: started\n"
        "top2@moe.lb_coeff=0.05.corrected.s1: started\n"
        "dense.corrected.s1: step 20/100, loss 5.2500, 12.3k tokens/s, 1:20 left\n"
        "top2@moe.lb_coeff=0.05.corrected.s1: step 10/100, loss 5.2500, 12.3k tokens/s, 1:30 left\n"
        "dense.corrected.s1: step 40/100, loss 5.2500, 12.3k tokens/s, 1:00 left\n"
        "top2@moe.lb_coeff=0.05.corrected.s1: step 20/100, loss 5.2500, 12.3k tokens/s, 1:20 left\n"
        "dense.corrected.s1: step 60/100, loss 5.2500, validation 5.5000, 12.3k tokens/s, 0:40 left\n"
        "[1/2] dense.corrected.s1: done after 60 steps in 0:31, validation 5.5000\n"
        "[1/2] top2@moe.lb_coeff=0.05.corrected.s1: FAILED after 30 steps in 0:31: the disk is full??[2J\n");
    free(text);
}

static void wrong_numbers(struct progress *p) {
    struct progress_report r = {.step = INT64_MAX,
                                .total_steps = -5,
                                .loss = INFINITY,
                                .validation = -INFINITY,
                                .tokens_per_second = -1,
                                .seconds_left = 1e300};
    progress_update(p, 0, &r, 100); /* before its start */
    progress_end(p, 0, PROGRESS_DONE, NULL, 100);
    progress_update(p, -1, &r, 100);
    progress_start(p, 5, "beyond", 100);
    progress_start(p, 0, "x", 100);
    progress_update(p, 0, &r, 200);
    r.total_steps = 1;
    progress_update(p, 0, &r, 300);
    progress_say(p, "a word", 300);
    progress_end(p, 0, PROGRESS_INTERRUPTED, NULL, 50);
    progress_end(p, 0, PROGRESS_DONE, NULL, 50); /* twice */
    progress_close(p, 400);
}

static void odd_reports_do_no_harm(void **state) {
    (void)state;
    struct progress_options options = {.terminal = true, .columns = 100, .rows = 10, .runs = 1};
    struct screen *s = calloc(1, sizeof *s);
    char *text = written(&options, wrong_numbers);
    show(s, text);
    assert_string_equal(s->cells[0], "a word");
    assert_string_equal(s->cells[1], "x: interrupted after 9223372036854775807 steps in -");
    free(text);
    free(s);
    options.terminal = false;
    text = written(&options, wrong_numbers);
    assert_non_null(strstr(text, "x: interrupted after"));
    assert_null(strstr(text, "beyond"));
    assert_null(strchr(text, '\033'));
    free(text);
}

static void times_and_rates_read_well(void **state) {
    (void)state;
    static const struct {
        double seconds;
        const char *text;
    } times[] = {{0, "0:00"},
                 {42.9, "0:42"},
                 {725, "12:05"},
                 {11229, "3:07:09"},
                 {86400 * 2 + 4 * 3600, "2d 04h"},
                 {86399, "23:59:59"},
                 {-1, "-"},
                 {NAN, "-"},
                 {INFINITY, "-"}};
    static const struct {
        double rate;
        const char *text;
    } rates[] = {{0, "0"},        {812, "812"},       {999.4, "999"},  {999.6, "1.00k"}, {12345, "12.3k"},
                 {99990, "100k"}, {1.234e6, "1.23M"}, {5e10, "50.0G"}, {NAN, "-"},       {-3, "-"}};
    char text[PROGRESS_TIME_MAX];
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        progress_time(times[i].seconds, text);
        assert_string_equal(text, times[i].text);
    }
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        progress_rate(rates[i].rate, text);
        assert_string_equal(text, rates[i].text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_terminal_shows_each_run_once),
        cmocka_unit_test(lines_fit_every_width),
        cmocka_unit_test(more_runs_than_rows_do_not_scroll),
        cmocka_unit_test(a_log_has_few_plain_lines),
        cmocka_unit_test(odd_reports_do_no_harm),
        cmocka_unit_test(times_and_rates_read_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
