"""People's accounts: wrong passwords that are counted, the audit of logins and passwords, sessions that end."""
