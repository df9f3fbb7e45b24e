"""The way from every older store to this one, step by step; alembic runs the steps.

A new step is a file in ``versions`` that names the one before as its ``down_revision``. ``schema`` then describes what
it leads to, and ``schema.HEAD`` is its revision.
"""
