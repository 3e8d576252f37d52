"""Texts that an LLM writes freely: requests, replies, and replies on disk."""
