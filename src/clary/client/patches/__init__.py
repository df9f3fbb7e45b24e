"""Changes to the modules of AWS clients, made by ``hook/sitecustomize.py`` in the programs that are connected.

They run in the program's own Python: standard library only, Python 3.8 and later, and no import of ours.
"""
