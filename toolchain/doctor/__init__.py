"""`doctor`: what has to be right for a run to go well, each thing looked at by itself, with its fix beside it."""
