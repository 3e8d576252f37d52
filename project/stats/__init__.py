"""Statistics as pure functions of arrays.

Conventions: class codes are integers 0..n_classes-1, and -1 is a missing label. ``confusion`` has
gold labels in rows and given labels in columns; the given ones are judged. Macro-F1 runs over
the classes with a gold label. Spread is the sample standard deviation (ddof 1). Entropies are in
bits. Intervals are of level 95 % unless an argument says otherwise.

Degenerate cases:

====================================================  ==============================================
precision, recall or F1 of a class with ratio 0 / 0   0, as scikit-learn with ``zero_division=0``
accuracy or mean without any value                    nan
standard deviation of fewer than two values           nan
variance components, fewer than two draws or seeds    nan
alpha or kappa with one class only, or with no pair   nan (some packages return 1)
unchanged share of fewer than two raters              nan
pairwise agreement without a common example           nan
AUROC where all examples are wrong or none is         nan; without overlap it has no limits
a test with nothing to compare                        statistic and p-value nan
entropy of a row without counts                       0
entropy bounds of a row without a known class         nan
KL divergence where q is 0 and p is not               inf
row of a noise transition without gold examples       nan
reliability in an empty bin                           nan
rate of a power law without gain                      nan; its plateau is 0
intervals of a curve with one seed at any size        nan
gap closed where the gap may be zero                  nan
temperature fitted to no example                      1
noise-equivalent rate beyond the largest rate tried   inf; at least as good as gold: 0
an undefined replicate of a bootstrap                 left out; without any other, limits are nan
====================================================  ==============================================
"""
