"""Makes what watches a cluster from the one list of its metrics: dashboard, rules, their tests, and the runbook."""
