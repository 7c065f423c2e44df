"""The gthread worker: connections, heads, bodies and answers, each with its limits."""
