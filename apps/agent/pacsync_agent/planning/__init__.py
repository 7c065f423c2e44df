"""What a transaction has to do, computed without touching anything."""
