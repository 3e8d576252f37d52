"""Reports, recomputed from the tracking store alone: store, render, questions, report."""
