"""Where hosts of jobs run: one module or package a launcher, behind one interface."""
