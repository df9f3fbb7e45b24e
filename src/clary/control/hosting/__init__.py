"""Endpoints: one worker process a variant, and who keeps them alive."""
