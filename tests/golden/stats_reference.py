#!/usr/bin/env python3
"""Reference values of the statistics, by SciPy; writes tests/golden/stats_reference.h.

    python3 -m venv venv && venv/bin/pip install scipy==1.17.1 numpy==2.4.6
    venv/bin/python tests/golden/stats_reference.py > tests/golden/stats_reference.h
"""
import numpy
import scipy
from scipy import optimize, special, stats

assert scipy.__version__ == "1.17.1", scipy.__version__
assert numpy.__version__ == "2.4.6", numpy.__version__

A = [9.3698, 9.3711, 9.3675, 9.3702, 9.3689]
B = [9.3608, 9.3633, 9.3597, 9.3664, 9.3621, 9.3642, 9.3611]
PAIR = [9.3608, 9.3741, 9.3597, 9.3664, 9.3621]
X = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]
Y = [1.118, 1.1247, 1.1296, 1.1247, 1.14, 1.139, 1.151]


def array(name, values):
    print(f"static const double {name}[{len(values)}] = {{{', '.join(repr(float(v)) for v in values)}}};")


def number(name, value):
    print(f"static const double {name} = {float(value)!r};")


def rows(name, columns, table):
    print(f"static const double {name}[{len(table)}][{columns}] = {{")
    for row in table:
        print("    {" + ", ".join(repr(float(v)) for v in row) + "},")
    print("};")


print("/* Written by tests/golden/stats_reference.py with SciPy " + scipy.__version__ + ". */")
print("/* clang-format off */")
print("#ifndef GOLDEN_STATS_REFERENCE_H\n#define GOLDEN_STATS_REFERENCE_H\n")
for name, values in (("ref_a", A), ("ref_b", B), ("ref_pair", PAIR), ("ref_x", X), ("ref_y", Y)):
    array(name, values)

rows("ref_beta", 4, [(a, b, x, special.betainc(a, b, x))
                     for a in (0.5, 1.0, 2.5, 50.0, 400.0) for b in (0.5, 3.0, 120.0)
                     for x in (1e-6, 0.01, 0.3, 0.5, 0.77, 0.999)])
rows("ref_t_cdf", 3, [(t, df, stats.t.cdf(t, df))
                      for t in (-40.0, -3.2, -0.1, 0.0, 1e-4, 0.7, 2.0, 12.0) for df in (1, 2, 4, 4.73, 30, 1000)])
rows("ref_t_quantile", 3, [(p, df, stats.t.ppf(p, df))
                           for p in (1e-4, 0.025, 0.3, 0.5, 0.9, 0.975, 0.9995) for df in (1, 2, 4, 4.73, 30, 1000)])

ci = stats.t.interval(0.95, len(A) - 1, numpy.mean(A), stats.sem(A))
number("ref_mean_low", ci[0])
number("ref_mean_high", ci[1])

welch = stats.ttest_ind(A, B, equal_var=False)
ci = welch.confidence_interval(0.95)
rows("ref_welch", 6, [(numpy.mean(A) - numpy.mean(B), ci.low, ci.high, welch.statistic, welch.df, welch.pvalue)])
paired = stats.ttest_rel(A, PAIR)
ci = paired.confidence_interval(0.95)
rows("ref_paired", 6, [(numpy.mean(A) - numpy.mean(PAIR), ci.low, ci.high, paired.statistic, paired.df,
                        paired.pvalue)])
difference = numpy.subtract(A, PAIR)
number("ref_sign_p", stats.binomtest(int((difference > 0).sum()), int((difference != 0).sum())).pvalue)
permutation = stats.permutation_test((difference,), numpy.mean, permutation_type="samples", n_resamples=numpy.inf)
number("ref_permutation_p", permutation.pvalue)

rho = stats.spearmanr(X, Y)
number("ref_rho", rho.statistic)
number("ref_rho_p", rho.pvalue)

fit = stats.linregress(X, Y)
t = stats.t.ppf(0.975, len(X) - 2)
rows("ref_fit", 8, [(fit.slope, fit.slope - t * fit.stderr, fit.slope + t * fit.stderr, fit.intercept,
                     fit.intercept - t * fit.intercept_stderr, fit.intercept + t * fit.intercept_stderr,
                     fit.rvalue ** 2, fit.pvalue)])
# A parabola through seven positions with two values each, and where its minimum lies.
GRID = [-6.0, -5.0, -4.0, -3.0, -2.0, -1.0, 0.0] * 2
LOSS = [5.91, 5.84, 5.80, 5.79, 5.81, 5.86, 5.95, 5.93, 5.85, 5.79, 5.77, 5.82, 5.88, 5.94]
array("ref_grid", GRID)
array("ref_loss", LOSS)
c, b, a = numpy.polyfit(GRID, LOSS, 2)
bounded = optimize.minimize_scalar(lambda x: a + b * x + c * x * x, bounds=(-6.0, 0.0), method="bounded",
                                   options={"xatol": 1e-12})
rows("ref_parabola", 5, [(a, b, c, -b / (2 * c), a - b * b / (4 * c))])
number("ref_parabola_minimum", bounded.x)
# Standard error of the minimum's place by the delta method, to which a bootstrap's interval comes close.
design = numpy.vander(GRID, 3)
residuals = numpy.array(LOSS) - design @ (c, b, a)
covariance = residuals @ residuals / (len(GRID) - 3) * numpy.linalg.inv(design.T @ design)
gradient = numpy.array([b / (2 * c * c), -1 / (2 * c), 0.0])
number("ref_parabola_error", numpy.sqrt(gradient @ covariance @ gradient))
array("ref_quantiles", numpy.quantile(sorted(Y), [0.0, 0.025, 0.5, 0.8, 1.0]))
print("\n#endif")
