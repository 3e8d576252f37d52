"""Checks of a tracking store before anything is computed, and what its refusals mean."""
