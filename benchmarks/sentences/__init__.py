"""Sentences that choose or judge, in worlds with a known truth; one file a kind of sentence."""
