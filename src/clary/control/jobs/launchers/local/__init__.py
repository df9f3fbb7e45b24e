"""Hosts as processes of this machine. Nobody outside this package knows of process ids, locks and mounts."""
