"""Scripts import it along with the rest of the package; what is in it is for servers alone, and not here."""
