"""What every request of the API goes through: ids, bodies, fields, pagination, and the one error mapper."""
