"""Shows what one node delivers, with its neighbours played by the test."""
