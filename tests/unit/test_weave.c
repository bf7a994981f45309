/* test: rooms=analysis,record,core label=fast */
/* Weaving: what directives become, and everything that must make it fail, with file and line. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "analysis/weave.h"
#include "analysis/weave_format.h"
#include "analysis/weave_lint.h"
#include "fixture_paper.h"
#include "fixture_runs.h"

static char root[] = "/tmp/moe-weave-XXXXXX";
static char runs_dir[64], figures_dir[64], out_dir[64];

static const char ledger[] =
    "source = \"A\"\nsuite = \"moe-vs-dense\"\ndocument = \"D\"\n"
    "[[claim]]\nid = \"A-01-loss\"\nplace = \"p\"\nstatement = \"a < b, top2_x | c\"\nkind = \"measured\"\n"
    "[claim.runs]\nquantity = [\"best_loss@baseline - best_loss@dense\"]\nsays = \"q\"\nabove = \"0\"\n"
    "[[claim]]\nid = \"A-02-sum\"\nplace = \"p\"\nstatement = \"s\"\nkind = \"arithmetic\"\nuntested = "
    "\"w\"\n"
    "[claim.printed]\nquantity = [\"audit.tokens.dense\"]\nsays = \"q\"\nnear = \"rate.tokens\"\nwithin = "
    "\"1\"\n"
    "[[claim]]\nid = \"A-03-then\"\nplace = \"p\"\nstatement = \"s\"\nkind = \"measured\"\n"
    "presumes = [\"A-01\", \"A-02:printed\"]\n"
    "[claim.runs]\nquantity = [\"best_loss@baseline - best_loss@dense\"]\nsays = \"q\"\nabove = \"0\"\n";

static moe_status open_runs(const char *folder, struct report **out, moe_err *err) {
    const char *const roots[] = {folder};
    const struct run_selection selection = {roots, 1, NULL};
    return report_open(&selection, root, out, err);
}

/* The runs and the ledger, read once for all chapters; forget() after a change to either. */
static struct report *kept;

static void forget(void) {
    report_close(kept);
    kept = NULL;
}

/* Weaves one chapter. */
static moe_status weave_text(const char *chapter, struct woven *out, moe_err *err) {
    moe_status status = MOE_OK;
    *out = (struct woven){0};
    assert_int_equal(fixture_file(root, "chapters/10-a.md", chapter), 0);
    if (kept == NULL) moe_try(open_runs(runs_dir, &kept, err));
    const struct weave_request request = {kept, figures_dir, out_dir};
    moe_try(weave_build(&request, out, err));
out:
    return status;
}

static void expect(const char *chapter, const char *part) {
    struct woven woven;
    moe_err err = {0};
    if (weave_text(chapter, &woven, &err) != MOE_OK) fail_msg("%s: %s", chapter, err.message);
    if (strstr(woven.markdown, part) == NULL)
        fail_msg("\"%s\" gives \"%s\", without \"%s\"", chapter, woven.markdown, part);
    woven_free(&woven);
}

static void refuse(const char *chapter, int line, const char *part) {
    struct woven woven;
    moe_err err = {0};
    char place[64];
    snprintf(place, sizeof place, "chapters/10-a.md:%d: ", line);
    if (weave_text(chapter, &woven, &err) == MOE_OK)
        fail_msg("\"%s\" was woven: %s", chapter, woven.markdown);
    if (strstr(err.message, place) == NULL || strstr(err.message, part) == NULL)
        fail_msg("\"%s\" lacks \"%s\" or \"%s\"", err.message, place, part);
}

/* ---------------------------------------------------------------- numbers */

static void test_numbers(void **state) {
    (void)state;
    expect("{{source A}}[{{published loss.dense}}]", "[9.3700]");
    expect("{{source A}}[{{published loss.dense - loss.baseline; .2+}}]", "[\xe2\x88\x92"
                                                                          "0.01]");
    expect("{{source A}}[{{published rate.dense / rate.tokens; .0%}}]", "[25\xc2\xa0%]");
    expect("{{source A}}[{{audit tokens.dense; .0}}]", "[200]");
    expect("{{source A}}[{{number parameters@dense; corrected; .0}}]", "[9,924,608\xc2\xa0\xc2\xb1\xc2\xa0"
                                                                       "0]");
    expect("{{source A}}[{{number parameters@dense; corrected; .0 mean}}]", "[9,924,608]");
    expect("{{source A}}[{{number best_ce@dense; corrected; seeds}}]", "[3]");
    expect("{{source A}}[{{number best_ce@dense; corrected; .1 interval}}]", "[6.2 to 6.2]");
    expect("[{{literal 10,000; size of the vocabulary}}]", "[10,000]");
    expect("{{source A}}[{{fact runs}} {{fact tier}} {{fact seeds}}]", "[30 desk 3]");
}

static void test_words(void **state) {
    (void)state;
    expect("{{source A}}{{sign best_ce@top2 - best_ce@dense; corrected; lower; higher; level}}", "\nhigher");
    expect("{{source A}}{{sign best_ce@dense - best_ce@top2; corrected; lower; higher; level}}", "\nlower");
    expect("{{source A}}{{sign best_ce@dense - mean(best_ce@dense, best_ce@dense); corrected; lower; higher; "
           "level}}",
           "\nlevel");
    expect("{{verdict A-01; as-published}} {{verdict A-01; corrected}} {{verdict A-02; printed}}",
           "**reproduced** **contradicted** **impossible as printed**");
    expect("{{when A-01; corrected; yes; no; open}} {{when A-02; as-published; yes; no; open; untested}}",
           "no untested");
    expect("{{reason A-01; as-published}}", "the claim needs more than 0");
    expect("{{effect A-02; printed}}", "\n200.0000");
    expect("{{verdicts A}}",
           "| [A-01](#a-01-loss) | a \\< b, top2\\_x \\| c | \xe2\x80\x93 | **reproduced**: 0.0");
    expect("{{verdicts A; A-02; A-02}}", "|---|\n| [A-02]");
    expect("{{evidence A}}", "#### A-01-loss\n");
    expect("{{evidence A}}",
           "(measured; p.) Presumes A-01, A-02 (printed).\n\n- as-published: **inconclusive**. ");
    expect("{{counts A}}", "| reproduced | 0 | 1 | 0 |");
    expect("{{audits A}}", "| `tokens.dense` | tokens an epoch would have | 200 | tokens |");
    expect("{{margins A}}", "| `loss` | 0.01 | a difference that counts |");
    expect("{{table a-runs}}", "| dense ");
    expect("{{figure a-usage}}",
           "![Expert usage at the end of training](../figures/a-usage.png)\n\n*Expert usage");
}

static void test_formats(void **state) {
    (void)state;
    static const char *const wrong[] = {".", ".x", "4", ".4 best", "% .4", ".4ci"};
    struct number_format format;
    moe_err err = {0};
    assert_int_equal(number_format_parse(".2%+ interval", "f:1", &format, &err), MOE_OK);
    assert_true(format.digits == 2 && format.percent && format.sign && format.style == STYLE_INTERVAL);
    assert_int_equal(number_format_parse("", "f:1", &format, &err), MOE_OK);
    assert_true(format.digits == 4 && !format.percent && format.style == STYLE_MEAN_CI);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(number_format_parse(wrong[i], "f:1", &format, NULL), MOE_ECONFIG);
}

/* ---------------------------------------------------------------- what must fail */

static void test_unknown(void **state) {
    (void)state;
    refuse("a\n\nb {{nmber x; y}}", 3, "did you mean number");
    refuse("{{verdict A-77; corrected}}", 1, "no claim A-77");
    refuse("{{verdict A-01; printed}}", 1, "not judged under \"printed\"");
    refuse("{{verdict X; corrected}}", 1, "no claim X");
    refuse("x\n{{table a-keynumbers}}", 2, "did you mean \"a-key-numbers\"?");
    refuse("{{figure a-usag}}", 1, "did you mean \"a-usage\"?");
    refuse("{{figure a-entropy}}", 1, "draw it with `moe-report figure a-entropy`");
    refuse("{{source A}}\n{{published loss.nothing}}", 2, "no loss.nothing");
    refuse("{{source A}}\n{{audit tokens.dens}}", 2, "did you mean tokens.dense?");
    refuse("{{source A}} {{fact age}}", 1, "{{fact age}}");
    refuse("{{source E}}", 1, "expected a source");
    refuse("{{published loss.dense}}", 1, "{{source A}} first");
    refuse("{{source A}}{{number best_los@dense; corrected}}", 1, "did you mean \"best_loss\"?");
    refuse("{{source A}}{{number best_loss@dense}}", 1, "expected {{number EXPRESSION; PROTOCOL; FORMAT}}");
    refuse("{{source A}}{{number best_loss@dense; corrected; x}}", 1, "format \"x\"");
    refuse("{{source A}}{{published best_loss@dense}}", 1, "has no place here");
    refuse("{{}}", 1, "no name");
    refuse("a\nb {{verdict A-01", 2, "without");
    refuse("{{verdict A {{x}}", 1, "without");
}

static void test_missing_run(void **state) {
    (void)state;
    refuse("{{source A}}\n\n{{number best_ce@temperature_none; corrected}}", 3,
           "no runs of moe-vs-dense corrected");
    refuse("{{source A}}{{sign best_ce@dense; correct; a; b; c}}", 1, "no runs of moe-vs-dense correct,");
}

static void test_typed_by_hand(void **state) {
    (void)state;
    refuse("Fine.\n\nThe loss is 9.37 nats.", 3, "9.37 is typed by hand");
    refuse("Two lines\nand 1234 tokens", 2, "1234");
    refuse("About 65 % of it", 1, "65");
    refuse("- a list\n- of 12,345 items", 2, "12,345");
    refuse("## A heading of 3.5 words", 1, "3.5");
    refuse("| a | b |\n|---|---|\n| x | 0.5 |\n", 3, "0.5");
    refuse("**6.2** and {{literal 6.2; fine}}", 1, "6.2");
    refuse("{{source A}}\n\n{{published loss.dense;\n.2}} and 42.0", 4, "42.0");
    refuse("text <b>bold</b>", 1, "raw HTML");
    refuse("<div>\n\n9\n\n</div>", 1, "raw HTML");
}

static void test_allowed(void **state) {
    (void)state;
    moe_err err = {0};
    static const char fine[] =
        "In 2017 and 1991, arXiv 2605.13769, top2, WikiText-2, two of 8 experts, 10 of them, A-01, x2.\n\n"
        "`moe train --seed 1234 --set x=0.5` and [a link](https://example.org/2.5/1234).\n\n"
        "    code 9.3698\n\n```\n1234.5\n```\n";
    if (weave_lint(fine, "f", &err) != MOE_OK) fail_msg("%s", err.message);
}

/* A chapter of a source without runs is a line that says so; whatever follows is not looked at. */
static void test_chapter_without_runs(void **state) {
    (void)state;
    struct woven woven;
    moe_err err = {0};
    assert_int_equal(fixture_file(root, "claims/D.toml",
                                  "source = \"D\"\nsuite = \"moedl\"\ndocument = \"E\"\n[[claim]]\nid = "
                                  "\"D-01-x\"\nplace = \"p\"\nstatement = \"s\"\nkind = \"measured\"\n"
                                  "[claim.runs]\nquantity = [\"last_ce@a\"]\nsays = \"q\"\nabove = \"0\"\n"),
                     0);
    assert_int_equal(fixture_file(root, "published/D.toml", "[x]\ny = 1\n"), 0);
    assert_int_equal(
        fixture_file(root, "audit/D.toml", "[a.b]\nvalue = \"x.y\"\nunit = \"\"\nsays = \"one\"\n"), 0);
    forget();
    expect(
        "## D\n\n{{chapter D}}\n\n{{number last_ce@a; corrected}}",
        "## D\n\n*This report is made without runs of the suite `moedl`; `moe suite moedl` trains them.*\n");
    if (weave_text("## D\n\n{{chapter D}}Rest {{number last_ce@a; corrected}}", &woven, &err) != MOE_OK)
        fail_msg("%s", err.message);
    assert_null(strstr(woven.markdown, "Rest"));
    woven_free(&woven);
    expect("{{chapter A}}Rest {{fact runs}}", "\nRest 30");
    expect("{{figure d-lr-sweep}}", "left out, these runs hold nothing for it");
    expect("{{table d-lr-sweep}}", "left out, these runs hold nothing for it");
    refuse("{{source D}}\n\n{{number last_ce@a; corrected}}", 3, "no runs of moedl corrected");
    refuse("{{chapter D}}\n\nHand 1234", 3, "1234");
    refuse("{{chapter X}}", 1, "expected a source");
}

/* ---------------------------------------------------------------- files */

static void test_stale(void **state) {
    (void)state;
    struct report *report = NULL;
    moe_err err = {0};
    char path[128], *text = NULL;
    assert_int_equal(fixture_file(root, "chapters/10-a.md",
                                  "# T\n\n{{source A}}Loss {{number best_ce@dense; corrected; .6}}.\n"),
                     0);
    assert_int_equal(open_runs(runs_dir, &report, &err), MOE_OK);
    const struct weave_request request = {report, figures_dir, out_dir};
    assert_int_equal(weave_check(&request, &err), MOE_ENOTFOUND); /* nothing woven yet */
    assert_int_equal(weave_write(&request, &err), MOE_OK);
    assert_int_equal(weave_check(&request, &err), MOE_OK);
    /* a run more changes the number: the report is stale */
    const struct fixture_run more = {runs_dir, "desk", 0, "corrected", 7, 0};
    assert_int_equal(fixture_write(&more, &err), MOE_OK);
    struct report *grown = NULL;
    assert_int_equal(open_runs(runs_dir, &grown, &err), MOE_OK);
    const struct weave_request again = {grown, figures_dir, out_dir};
    err = (moe_err){0};
    assert_int_equal(weave_check(&again, &err), MOE_EMISMATCH);
    assert_non_null(strstr(err.message, "report.md:5: stale"));
    report_close(grown);
    fixture_path(&more, path, sizeof path);
    remove(path);
    /* so is one that somebody edited */
    snprintf(path, sizeof path, "%s/report.md", out_dir);
    assert_int_equal(file_read_all(path, 1 << 20, (unsigned char **)&text, NULL, &err), MOE_OK);
    *strstr(text, "Loss") = 'M';
    assert_int_equal(fixture_file(out_dir, "report.md", text), 0);
    free(text);
    err = (moe_err){0};
    assert_int_equal(weave_check(&request, &err), MOE_EMISMATCH);
    assert_non_null(strstr(err.message, "Moss"));
    report_close(report);
}

static void test_page(void **state) {
    (void)state;
    struct woven woven;
    moe_err err = {0};
    if (weave_text(
            "# A & \"B\"\n\n## First part\n\n### Inner\n\n{{figure a-usage}}\n\n{{verdicts A}}\n\n## Last\n",
            &woven, &err) != MOE_OK)
        fail_msg("%s", err.message);
    const char *html = woven.html;
    assert_non_null(strstr(html, "<title>A &amp; &quot;B&quot;</title>"));
    assert_non_null(strstr(html, "<a href=\"#first-part\">First part</a>"));
    assert_non_null(strstr(html, "<a id=\"inner\"></a>Inner</h3>"));
    assert_non_null(
        strstr(html, "src=\"data:image/png;base64,R0lGODk=\"")); /* the bytes of the figure below */
    assert_non_null(strstr(html, "<div class=\"scroll\" tabindex=\"0\">"));
    /* a figure is as wide as the page, and a switch around it shows it in full */
    const char *zoom = strstr(html, "<label class=\"zoom\"><input type=\"checkbox\"");
    assert_non_null(zoom);
    assert_true(strstr(zoom, "<img ") < strstr(zoom, "</label>"));
    assert_null(strstr(html, "min-width: 36rem"));
    assert_non_null(strstr(html, ".zoom input:checked + img { width: auto; max-width: none;"));
    assert_non_null(strstr(html, "<strong><span class=\"no\">contradicted</span></strong>"));
    assert_non_null(strstr(html, "a &lt; b, top2_x | c"));
    assert_null(strstr(html, "<script"));
    assert_null(strstr(html, "http"));
    assert_null(strstr(html, "src=\"../"));
    assert_null(strstr(html, "omitted"));
    woven_free(&woven);
}

static int set_up(void **state) {
    (void)state;
    moe_err err = {0};
    if (mkdtemp(root) == NULL || fixture_paper(root) != 0 || fixture_file(root, "claims/A.toml", ledger) != 0)
        return -1;
    snprintf(runs_dir, sizeof runs_dir, "%s/runs", root);
    snprintf(figures_dir, sizeof figures_dir, "%s/figures", root);
    snprintf(out_dir, sizeof out_dir, "%s/out", root);
    if (fixture_file(figures_dir, "a-usage.png", "GIF89") != 0) return -1;
    const moe_status status = fixture_write_suite(runs_dir, "desk", 3, &err);
    if (status != MOE_OK) print_error("%s\n", err.message);
    return status == MOE_OK ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    forget();
    return fixture_remove(root);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),     cmocka_unit_test(test_words),
        cmocka_unit_test(test_formats),     cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_missing_run), cmocka_unit_test(test_typed_by_hand),
        cmocka_unit_test(test_allowed),     cmocka_unit_test(test_stale),
        cmocka_unit_test(test_page),        cmocka_unit_test(test_chapter_without_runs),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
