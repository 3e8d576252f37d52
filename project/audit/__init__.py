"""What a few hundred human labels tell about a pool that an LLM has labelled.

An *audit* is a sample of the pool that people label. This room estimates from it how good the LLM
is, how good a classifier trained on its labels is, and what human labels would have given instead.
"""
