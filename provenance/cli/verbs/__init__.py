"""The verbs, one module for each noun. Each returns an exit code; heavy imports wait until a verb runs."""
