"""Says what a load test found: a summary for programs, thresholds that decide, a page for people, a live display."""
