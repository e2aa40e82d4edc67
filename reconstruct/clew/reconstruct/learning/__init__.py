"""From what flows did to a definition of what they owe: the part of learning that knows no store.

:mod:`.evidence` is what a store counts of its flows, :mod:`.ordering` says which event comes
before which, :mod:`.structure` nests the events into sequences, choices and parallel parts, and
:mod:`.synthesis` makes a :class:`~clew.reconstruct.definitions.Definition` of it.
"""
