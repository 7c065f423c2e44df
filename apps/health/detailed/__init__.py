"""The detailed report: who may see it, and the forms that it comes in."""
