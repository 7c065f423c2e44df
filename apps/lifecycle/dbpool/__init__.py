"""The dbpool: its facade, its budget, what requests see of its errors, and the PostgreSQL backend (`ENGINE`)."""
