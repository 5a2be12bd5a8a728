"""The pure core, alone."""
