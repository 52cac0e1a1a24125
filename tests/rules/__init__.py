"""Shows that every rule holds; each file of `relay/rules` is fully covered by the test file of its own name."""
