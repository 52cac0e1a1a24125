"""Says what a fleet needs: from what load tests measured to nodes, Redis, memory, network, and what breaks first."""
