"""Kafka topics as sources: ``collector`` reads them, ``settings`` says which and how.

Needs the extra ``clew[kafka]``.
"""
