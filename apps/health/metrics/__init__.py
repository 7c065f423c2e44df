"""What is counted and measured, and the memory in which workers share it."""
