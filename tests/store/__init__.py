"""Checks what the store remembers, on a real Valkey."""
