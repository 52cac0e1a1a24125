"""Does everything to a cluster that can happen to one, at random, for as long as wanted, and judges the outcome."""
