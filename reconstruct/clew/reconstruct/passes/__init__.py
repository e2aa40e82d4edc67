"""The engine: an ordered tuple of passes, each a function over tables.

``identify`` → ``attribute`` → ``fold`` → ``judge`` run over each batch inside a store;
``order`` runs over one flow's steps when somebody looks at it, since nothing that is
stored depends on it.
"""
