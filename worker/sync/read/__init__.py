"""Reading both sides: everything that a decision is made from."""
