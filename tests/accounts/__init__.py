"""Wrong passwords, the audit of accounts, sessions that end."""
