"""What every page does with a request: permissions, filters, forms, and the response to an action."""
