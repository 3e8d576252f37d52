"""Pure functions of arrays.

Conventions, here once: class codes are integers 0..n_classes-1; ``confusion`` has gold in rows and given labels
in columns; macro averages run over the whole label set, a class without any gold or given label counting 0 (as
scikit-learn does with ``labels=`` and ``zero_division=0``); spread is the sample standard deviation (ddof 1) and
is ``nan`` for fewer than two values; Krippendorff's alpha is ``nan`` where it is undefined; entropies are in bits.
"""
