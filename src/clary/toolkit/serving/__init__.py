"""A user's own serving code: their functions between a request and its answer, and the server that calls them.

Nothing here imports a package but Python's own and what the user's environment is made for: their requirements may
replace any other, and an environment of theirs may have none.
"""
