"""Numbers the steps: one file each, never changed once it was released."""
