"""What is checked: a class for each check, and their list."""
